import { getRouteApi } from "@tanstack/react-router";
import { History, SearchX } from "lucide-react";
import { useCallback, useMemo } from "react";
import { useLongList } from "@/api/long-list";
import { type Message, type MessageStatus, messagesSource } from "@/api/messages";
import { MessageDrawer } from "@/features/messages/message-drawer";
import { MessageBadge } from "@/features/messages/status";
import { formatTemplate } from "@/lib/format";
import { aboveRow, type Column, DataTable, rowTarget } from "@/ui/data-table";
import { PageHeader, Panel } from "@/ui/panel";
import { SearchField } from "@/ui/search-field";
import { EmptyState, QueryState } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Time } from "@/ui/time";

const route = getRouteApi("/app/sent");

const TABS = [
  { value: "sent", label: "Sent" },
  { value: "failed", label: "Failed" },
  { value: "uncertain", label: "Uncertain" },
  { value: "suppressed", label: "Suppressed" },
  { value: "cancelled", label: "Cancelled" },
  { value: "expired", label: "Expired" },
] as const satisfies ReadonlyArray<{ value: MessageStatus; label: string }>;

/** The history of all messages, of campaigns and from the API. */
export function SentPage() {
  const { status = "sent", q, message } = route.useSearch();
  const navigate = route.useNavigate();
  const { first, isEmpty, rows } = useLongList(messagesSource({ status, q }));
  const search = useCallback(
    (text: string) => void navigate({ search: (old) => ({ ...old, q: text || undefined }), replace: true }),
    [navigate],
  );
  const columns = useMemo(
    () => messageColumns((id) => void navigate({ search: (old) => ({ ...old, message: id }), resetScroll: false })),
    [navigate],
  );
  const tab = TABS.find((each) => each.value === status)?.value ?? "sent";
  return (
    <>
      <PageHeader
        title="Sent"
        text="The history of every message: what the server said, and why it went when it went."
      />
      <div className="mb-4 flex flex-wrap items-center justify-between gap-3">
        <Tabs
          label="State"
          value={tab}
          tabs={TABS}
          onChange={(value) =>
            void navigate({ search: (old) => ({ ...old, status: value === "sent" ? undefined : value }) })
          }
          className="min-w-0"
        />
        <SearchField label="Search recipients" value={q ?? ""} onSearch={search} />
      </div>
      <Panel flush>
        <QueryState
          query={first}
          what="The history"
          isEmpty={() => isEmpty}
          empty={
            q !== undefined ? (
              <EmptyState icon={<SearchX aria-hidden />} title="No message fits the search" />
            ) : (
              <EmptyState icon={<History aria-hidden />} title={`No ${tab} messages`}>
                {tab === "sent" ? "What goes out is listed here, newest first." : "That is a good thing to be empty."}
              </EmptyState>
            )
          }
        >
          {() => <DataTable label="Messages" columns={columns} rows={rows} rowKey={(row) => row.id} rowHeightPx={64} />}
        </QueryState>
      </Panel>
      <MessageDrawer
        id={message}
        onClose={() => void navigate({ search: (old) => ({ ...old, message: undefined }), resetScroll: false })}
      />
    </>
  );
}

function messageColumns(open: (id: string) => void): Array<Column<Message>> {
  return [
    {
      key: "to",
      header: "Recipient",
      width: "minmax(0,1.6fr)",
      cell: (message) => (
        <>
          <button type="button" onClick={() => open(message.id)} className={`${rowTarget} w-full`}>
            {message.to}
          </button>
          <p className="mt-1 flex items-center gap-2 text-[0.8125rem] text-ink-3 sm:hidden">
            <MessageBadge status={message.status} />
            <When message={message} />
          </p>
          <p className="truncate text-[0.8125rem] text-ink-3 max-sm:hidden">
            {message.subject === null ? "of a campaign" : formatTemplate(message.subject)}
          </p>
        </>
      ),
    },
    {
      key: "status",
      header: "State",
      width: "7.25rem",
      from: "sm",
      cell: (message) => <MessageBadge status={message.status} />,
    },
    {
      key: "reply",
      header: "Last reply",
      width: "minmax(0,1.5fr)",
      from: "lg",
      cell: (message) => (
        <span className="block truncate font-mono text-[0.8125rem] text-ink-2">{message.last_reply ?? "—"}</span>
      ),
    },
    {
      key: "when",
      header: "When",
      width: "9.5rem",
      align: "end",
      from: "sm",
      cell: (message) => (
        <span className="text-ink-2">
          <When message={message} />
        </span>
      ),
    },
  ];
}

function When({ message }: { message: Message }) {
  const at = message.sent_at ?? message.scheduled_at;
  return <span className={aboveRow}>{at ? <Time at={at} /> : "—"}</span>;
}
