import { Megaphone, Plus, Rocket, Trash2, TriangleAlert } from "lucide-react";
import { type ReactNode, useState } from "react";
import { viewerZone } from "@/lib/format";
import { toWallTime } from "@/lib/zoned";
import { Badge } from "@/ui/badge";
import { BarChart } from "@/ui/bar-chart";
import { Button, IconButton } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { ChoiceCards } from "@/ui/choice-cards";
import { type Column, DataTable } from "@/ui/data-table";
import { DateTimeZoneField } from "@/ui/date-time-zone-field";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { Drawer } from "@/ui/drawer";
import { InputField } from "@/ui/field";
import { Gauge } from "@/ui/gauge";
import { LineChart } from "@/ui/line-chart";
import { Menu } from "@/ui/menu";
import { Notice, PageHeader, Panel, Stat } from "@/ui/panel";
import { Progress, StackedBar } from "@/ui/progress";
import { SearchField } from "@/ui/search-field";
import { Select } from "@/ui/select";
import { EmptyState, ErrorState, SkeletonRows } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Countdown, Time } from "@/ui/time";
import { toast } from "@/ui/toast";

/** Every part of the design system, in light and dark beside each other. */
export function DesignSystemPage() {
  return (
    <main className="mx-auto max-w-[100rem] px-4 py-8 sm:px-6">
      <PageHeader title="Design system" text="Each part in light and in dark. What is added to ui/ is shown here." />
      <div className="grid gap-6 xl:grid-cols-2">
        <Scheme scheme="light" />
        <Scheme scheme="dark" />
      </div>
    </main>
  );
}

function Scheme({ scheme }: { scheme: "light" | "dark" }) {
  return (
    <section
      aria-label={scheme === "light" ? "Light" : "Dark"}
      style={{ colorScheme: scheme }}
      className="scheme-sample grid min-w-0 gap-5 rounded-3xl p-4 text-ink sm:p-6"
    >
      <Actions />
      <Fields />
      <States />
      <Data />
      <Overlays />
    </section>
  );
}

function Row({ children }: { children: ReactNode }) {
  return <div className="flex flex-wrap items-center gap-2.5">{children}</div>;
}

function Actions() {
  return (
    <Panel title="Buttons and badges">
      <div className="grid gap-4">
        <Row>
          <Button variant="primary" icon={<Rocket aria-hidden className="size-4" />}>
            Primary
          </Button>
          <Button>Secondary</Button>
          <Button variant="ghost">Ghost</Button>
          <Button variant="danger" icon={<Trash2 aria-hidden className="size-4" />}>
            Danger
          </Button>
          <IconButton label="Add" icon={<Plus aria-hidden className="size-4" />} />
        </Row>
        <Row>
          <Button variant="primary" busy>
            Busy
          </Button>
          <Button disabledReason="The campaign is sent, so it cannot be paused.">Off, with a reason</Button>
          <Button size="small">Small</Button>
        </Row>
        <Row>
          <Badge tone="idle">Draft</Badge>
          <Badge tone="info">Scheduled</Badge>
          <Badge tone="accent" live>
            Sending
          </Badge>
          <Badge tone="warn">Paused</Badge>
          <Badge tone="good">Sent</Badge>
          <Badge tone="bad">Failed</Badge>
        </Row>
      </div>
    </Panel>
  );
}

function Fields() {
  const [zone, setZone] = useState(() => toWallTime(new Date(Date.now() + 22_320_000), viewerZone()));
  const [choice, setChoice] = useState<"burst" | "smooth">("burst");
  const [on, setOn] = useState(true);
  const [view, setView] = useState<"desktop" | "phone">("desktop");
  const [q, setQ] = useState("");
  return (
    <Panel title="Fields">
      <div className="grid gap-5">
        <InputField label="Name" hint="What mailboxes show." defaultValue="Harbour Books" />
        <InputField label="Address" error="This is no address: it has no @." defaultValue="hello" />
        <DateTimeZoneField value={zone} onChange={setZone} />
        <ChoiceCards
          label="Pacing"
          value={choice}
          onChange={setChoice}
          choices={[
            { value: "burst", title: "As fast as allowed", text: "Fill each window at once." },
            { value: "smooth", title: "Spread evenly", text: "Kinder to mailboxes." },
          ]}
        />
        <Checkbox checked={on} onChange={setOn} hint="Besides the account's limit.">
          A limit for this campaign
        </Checkbox>
        <Row>
          <Select
            label="View"
            value={view}
            onChange={setView}
            options={[
              { value: "desktop", label: "Desktop" },
              { value: "phone", label: "Phone" },
            ]}
          />
          <SearchField label="Search" value={q} onSearch={setQ} />
        </Row>
        <Tabs
          label="View"
          value={view}
          onChange={setView}
          tabs={[
            { value: "desktop", label: "Desktop", count: 12 },
            { value: "phone", label: "Phone" },
          ]}
        />
      </div>
    </Panel>
  );
}

function States() {
  return (
    <Panel title="States" flush>
      <SkeletonRows rows={2} />
      <ErrorState what="The campaigns" error={new Error("The server does not answer.")} onRetry={() => undefined} />
      <EmptyState
        icon={<Megaphone aria-hidden />}
        title="No campaigns yet"
        action={<Button variant="primary">New campaign</Button>}
      >
        Start with a CSV file or a list.
      </EmptyState>
      <div className="grid gap-2 p-5">
        <Notice tone="info">Begins tomorrow.</Notice>
        <Notice tone="good">The audience is customers.csv: 12,000 contacts.</Notice>
        <Notice tone="warn" icon={<TriangleAlert aria-hidden className="size-4" />}>
          Waiting on the hourly limit.
        </Notice>
        <Notice tone="bad">The mail server refused the sender.</Notice>
      </div>
    </Panel>
  );
}

type SampleRow = { id: string; name: string; count: number };
const ROWS: SampleRow[] = [
  { id: "1", name: "Spring letter", count: 12_480 },
  { id: "2", name: "Harbour news", count: 980 },
];
const COLUMNS: Array<Column<SampleRow>> = [
  {
    key: "name",
    header: "Campaign",
    width: "minmax(0,2fr)",
    cell: (row) => <span className="font-medium">{row.name}</span>,
  },
  { key: "count", header: "Recipients", width: "8rem", align: "end", cell: (row) => row.count.toLocaleString("en-US") },
];

/** A second by second wave, as a running campaign gives. */
const SAMPLE_TIMES = Array.from({ length: 120 }, (_, at) => 1_790_000_000 + at);
const SAMPLE_VALUES = SAMPLE_TIMES.map((_, at) => 90 + 30 * Math.sin(at / 9) + 8 * Math.sin(at / 2.3));
const HOURS = Array.from({ length: 24 }, (_, hour) => ({
  label: `${String(hour).padStart(2, "0")}:00`,
  title: `Today ${hour}:00`,
  value: Math.round(400 + 380 * Math.sin((hour - 6) / 3.8)),
  second: hour % 5 === 0 ? 24 : 0,
}));

function Data() {
  return (
    <>
      <Panel title="Numbers">
        <div className="grid gap-5">
          <dl className="grid grid-cols-3 gap-4">
            <Stat label="Done" value="68%" hint="8,486 of 12,480" />
            <Stat label="Per second" value="412" />
            <Stat
              label="Will be done"
              isWords
              value={<Time at={new Date(Date.now() + 600_000)} />}
              hint={<Countdown until={new Date(Date.now() + 600_000)} />}
            />
          </dl>
          <StackedBar
            label="Ledger"
            total={100}
            tall
            segments={[
              { label: "Sent", count: 68, tone: "good" },
              { label: "Failed", count: 4, tone: "bad" },
              { label: "Uncertain", count: 2, tone: "warn" },
            ]}
          />
          <Progress label="Upload" share={0.42} />
          <div className="flex justify-center">
            <Gauge label="Used" used={412} limit={1000} />
          </div>
        </div>
      </Panel>
      <Panel title="Charts">
        <LineChart
          label="Messages per second"
          times={SAMPLE_TIMES}
          series={[{ label: "sent", token: "--accent", values: SAMPLE_VALUES }]}
        />
        <BarChart label="By hour" names={["sent", "failed"]} bars={HOURS} />
      </Panel>
      <Panel title="Table" flush>
        <DataTable label="Sample" columns={COLUMNS} rows={ROWS} rowKey={(row) => row.id} />
      </Panel>
    </>
  );
}

function Overlays() {
  const [open, setOpen] = useState<"dialog" | "confirm" | "drawer" | null>(null);
  const close = () => setOpen(null);
  return (
    <Panel title="Overlays">
      <Row>
        <Button onClick={() => setOpen("dialog")}>Dialog</Button>
        <Button onClick={() => setOpen("confirm")}>Question</Button>
        <Button onClick={() => setOpen("drawer")}>Drawer</Button>
        <Button onClick={() => toast.success("Scheduled for tomorrow 09:00.")}>Toast</Button>
        <Menu
          trigger={<Button>Menu</Button>}
          items={[
            { label: "Duplicate", onSelect: () => undefined },
            { label: "Pause", onSelect: () => undefined, disabledReason: "It is a draft." },
            { label: "Delete", onSelect: () => undefined, danger: true },
          ]}
        />
      </Row>
      <Dialog
        open={open === "dialog"}
        onClose={close}
        title="A dialog"
        description="With a sentence."
        footer={<Button onClick={close}>Close it</Button>}
      >
        <InputField label="Name" />
      </Dialog>
      <ConfirmDialog
        open={open === "confirm"}
        onClose={close}
        title="Cancel this campaign?"
        confirm="Cancel it"
        onConfirm={async () => undefined}
      >
        What was sent stays sent.
      </ConfirmDialog>
      <Drawer open={open === "drawer"} onClose={close} title="A drawer">
        Details of one row.
      </Drawer>
    </Panel>
  );
}
