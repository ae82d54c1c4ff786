import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { ClipboardPaste, FileSpreadsheet, ListChecks, Users } from "lucide-react";
import { type ReactNode, useMemo, useState } from "react";
import type { Campaign } from "@/api/campaigns";
import { allRows } from "@/api/fields";
import { type ImportJob, importQuery } from "@/api/imports";
import { listsQuery } from "@/api/lists";
import { useChooseAudience } from "@/features/compose/use-audience";
import { formatCount, plural } from "@/lib/format";
import { readPasted } from "@/lib/paste";
import { Button } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { Field, Textarea } from "@/ui/field";
import { Notice } from "@/ui/panel";
import { EmptyState, QueryState, SkeletonRows } from "@/ui/states";
import { Tabs } from "@/ui/tabs";

const TABS = [
  { value: "csv", label: "CSV file", icon: <FileSpreadsheet aria-hidden className="size-3.5" /> },
  { value: "lists", label: "Lists", icon: <ListChecks aria-hidden className="size-3.5" /> },
  { value: "paste", label: "Paste", icon: <ClipboardPaste aria-hidden className="size-3.5" /> },
] as const;
type TabName = (typeof TABS)[number]["value"];

const TAB_OF = { import: "csv", lists: "lists", contacts: "paste" } as const;

type AudienceStepProps = {
  campaign: Campaign;
  /** The page brings the import: features do not know each other. */
  renderImport: (props: { importId: string | undefined; onStarted: (job: ImportJob) => void }) => ReactNode;
};

/** Who gets it. */
export function AudienceStep({ campaign, renderImport }: AudienceStepProps) {
  const [tab, setTab] = useState<TabName>(campaign.audience ? TAB_OF[campaign.audience.kind] : "csv");
  const choose = useChooseAudience(campaign);
  const importId = campaign.audience?.kind === "import" ? campaign.audience.import_id : undefined;
  return (
    <div className="flex flex-col gap-5">
      {campaign.audience ? <Chosen campaign={campaign} /> : null}
      <Tabs label="Where the audience comes from" value={tab} tabs={TABS} onChange={setTab}>
        {tab === "csv" ? (
          renderImport({ importId, onStarted: (job) => choose.mutate({ import_id: job.id }) })
        ) : tab === "lists" ? (
          <ListChoice
            campaign={campaign}
            onChoose={(listIds) => choose.mutate({ list_ids: listIds })}
            busy={choose.isPending}
          />
        ) : (
          <Paste onChoose={(contacts) => choose.mutate({ contacts })} busy={choose.isPending} />
        )}
      </Tabs>
    </div>
  );
}

function Chosen({ campaign }: { campaign: Campaign }) {
  const importId = campaign.audience?.kind === "import" ? campaign.audience.import_id : undefined;
  const job = useQuery({ ...importQuery(importId ?? ""), enabled: importId !== undefined }).data;
  const size =
    job?.status === "done"
      ? job.contacts_created + job.contacts_updated + job.rows_unchanged
      : campaign.recipients_estimate;
  const isReading = job?.status === "importing";
  return (
    <Notice tone="good" icon={<Users aria-hidden className="size-4" />}>
      <span className="num">
        {isReading
          ? `The audience is ${job.filename || "a file"}, which is still being read: ${formatCount(job.rows_read)} rows so far.`
          : `The audience is ${describeAudience(campaign, job?.filename)}${size === null ? "" : `: ${plural(size, "contact")}`}.`}
      </span>
    </Notice>
  );
}

function describeAudience(campaign: Campaign, filename: string | undefined): string {
  switch (campaign.audience?.kind) {
    case "import":
      return filename || "an imported file";
    case "lists":
      return campaign.audience.label || plural(campaign.audience.list_ids.length, "list");
    case "contacts":
      return "what you pasted";
    case undefined:
      return "not chosen";
  }
}

function ListChoice({
  campaign,
  onChoose,
  busy,
}: {
  campaign: Campaign;
  onChoose: (listIds: string[]) => void;
  busy: boolean;
}) {
  const query = useInfiniteQuery(listsQuery);
  const [picked, setPicked] = useState<string[]>(campaign.audience?.kind === "lists" ? campaign.audience.list_ids : []);
  const lists = allRows(query.data);
  return (
    <QueryState
      query={query}
      what="The lists"
      loading={<SkeletonRows rows={3} />}
      isEmpty={() => lists.length === 0}
      empty={
        <EmptyState icon={<ListChecks aria-hidden />} title="No lists yet">
          Import a CSV file and put its contacts on a list, or make one under Contacts.
        </EmptyState>
      }
    >
      {() => (
        <div className="flex flex-col gap-4">
          <ul className="inset-panel divide-y divide-line-2">
            {lists.map((list) => (
              <li key={list.id} className="px-4 py-3">
                <Checkbox
                  checked={picked.includes(list.id)}
                  onChange={(on) => setPicked(on ? [...picked, list.id] : picked.filter((id) => id !== list.id))}
                  hint={<span className="num">{plural(list.contact_count, "contact")}</span>}
                >
                  {list.name}
                </Checkbox>
              </li>
            ))}
          </ul>
          <p className="text-[0.8125rem] text-ink-2">Who is on several of them gets one message.</p>
          <div className="flex justify-end">
            <Button
              variant="primary"
              busy={busy}
              disabledReason={picked.length === 0 ? "Choose at least one list." : null}
              onClick={() => onChoose(picked)}
            >
              Use {picked.length > 1 ? `these ${picked.length} lists` : "this list"}
            </Button>
          </div>
        </div>
      )}
    </QueryState>
  );
}

/** What the server takes in one request. More is a file's work. */
const PASTE_MAX = 10_000;

function Paste({
  onChoose,
  busy,
}: {
  onChoose: (contacts: ReturnType<typeof readPasted>["contacts"]) => void;
  busy: boolean;
}) {
  const [text, setText] = useState("");
  const found = useMemo(() => readPasted(text), [text]);
  const count = found.contacts.length;
  const reason =
    count === 0
      ? "Paste at least one address."
      : count > PASTE_MAX
        ? `At most ${formatCount(PASTE_MAX)} can be pasted: use a CSV file for more.`
        : null;
  return (
    <div className="flex flex-col gap-4">
      <Field
        label="Addresses"
        hint="One on a line, or with commas between; “Ada <ada@example.com>” works too. A table with a line of column names gives merge tags."
      >
        {(ids) => (
          <Textarea
            {...ids}
            rows={9}
            spellCheck={false}
            value={text}
            onChange={(event) => setText(event.target.value)}
            placeholder={"email,first_name\nada@example.com,Ada\ngrace@example.com,Grace"}
            className="font-mono"
          />
        )}
      </Field>
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p className="num text-sm text-ink-2" aria-live="polite">
          {plural(count, "address", "addresses")}
          {found.duplicates > 0 ? `, ${formatCount(found.duplicates)} given twice` : ""}
          {found.bad.length > 0 ? (
            <span className="text-warn-text">
              , {formatCount(found.bad.length)} not understood: {found.bad.slice(0, 3).join("; ").slice(0, 90)}
            </span>
          ) : null}
        </p>
        <Button variant="primary" busy={busy} disabledReason={reason} onClick={() => onChoose(found.contacts)}>
          Use {count === 1 ? "this address" : "these addresses"}
        </Button>
      </div>
    </div>
  );
}
