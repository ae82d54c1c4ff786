import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { ArrowLeft, Download, MailSearch, PencilLine, SearchX } from "lucide-react";
import { useCallback, useMemo } from "react";
import { type Campaign, type CampaignProgress, campaignQuery, isUnsettled, progressQuery } from "@/api/campaigns";
import { useLongList } from "@/api/long-list";
import { campaignMessagesSource, MESSAGE_STATUSES, type Message, type MessageStatus } from "@/api/messages";
import { CampaignActions } from "@/features/campaigns/campaign-actions";
import { CampaignFacts } from "@/features/campaigns/campaign-facts";
import { LedgerPanel } from "@/features/campaigns/ledger-panel";
import { CampaignBadge } from "@/features/campaigns/status";
import { ThroughputPanel } from "@/features/campaigns/throughput-panel";
import { MessageDrawer } from "@/features/messages/message-drawer";
import { MessageBadge } from "@/features/messages/status";
import { formatTemplate, formatWhen } from "@/lib/format";
import { downloads } from "@/lib/paths";
import { buttonClass } from "@/ui/button";
import { aboveRow, type Column, DataTable, rowTarget } from "@/ui/data-table";
import { Notice, PageHeader, Panel } from "@/ui/panel";
import { SearchField } from "@/ui/search-field";
import { Select } from "@/ui/select";
import { EmptyState, QueryState, SkeletonRows } from "@/ui/states";
import { Time } from "@/ui/time";

const route = getRouteApi("/app/campaigns/$id");

export function CampaignPage() {
  const { id } = route.useParams();
  const campaign = useQuery(campaignQuery(id));
  return (
    <QueryState
      query={campaign}
      what="The campaign"
      loading={
        <Panel>
          <SkeletonRows rows={8} />
        </Panel>
      }
    >
      {(data) => <CampaignView campaign={data} />}
    </QueryState>
  );
}

function CampaignView({ campaign }: { campaign: Campaign }) {
  const progress = useQuery(progressQuery(campaign.id));
  return (
    <>
      <PageHeader
        above={
          <Link to="/campaigns" search={{}} className="mb-2 text-link text-ink-2 hover:text-ink pointer-coarse:!mb-0">
            <ArrowLeft aria-hidden className="size-4" /> Campaigns
          </Link>
        }
        title={
          <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <span className="min-w-0 break-words">{campaign.name}</span>
            <CampaignBadge status={campaign.status} />
          </span>
        }
        text={formatTemplate(campaign.subject) || "No subject yet"}
        actions={<CampaignActions campaign={campaign} />}
      />
      {campaign.error !== null ? (
        <div className="mb-5">
          <Notice tone="bad">{campaign.error}</Notice>
        </div>
      ) : null}
      {campaign.status === "draft" ? (
        <DraftHint campaign={campaign} />
      ) : (
        <QueryState
          query={progress}
          what="The progress"
          loading={
            <Panel>
              <SkeletonRows rows={5} />
            </Panel>
          }
        >
          {(data) => (
            <div className="grid gap-5">
              <CampaignFacts campaign={campaign} progress={data} />
              <div className="grid gap-5 xl:grid-cols-[minmax(0,1fr)_minmax(0,1.25fr)]">
                <LedgerPanel campaign={campaign} counts={data} />
                <ThroughputPanel
                  campaignId={campaign.id}
                  moves={data.status === "sending"}
                  perSecond={data.per_second}
                />
              </div>
              <Messages campaign={campaign} progress={data} />
            </div>
          )}
        </QueryState>
      )}
    </>
  );
}

function DraftHint({ campaign }: { campaign: Campaign }) {
  return (
    <Panel>
      <EmptyState
        icon={<PencilLine aria-hidden />}
        title="This is a draft: nothing is sent"
        action={
          <Link to="/campaigns/$id/compose" params={{ id: campaign.id }} search={{}} className={buttonClass("primary")}>
            Go on composing
          </Link>
        }
      >
        Its counts and messages are shown here once it is launched.
      </EmptyState>
    </Panel>
  );
}

const STATUS_OPTIONS = [
  { value: "all", label: "All states" },
  ...MESSAGE_STATUSES.map((status) => ({ value: status, label: status.charAt(0).toUpperCase() + status.slice(1) })),
] satisfies Array<{ value: "all" | MessageStatus; label: string }>;

function Messages({ campaign, progress }: { campaign: Campaign; progress: CampaignProgress }) {
  const { status, q, message } = route.useSearch();
  const navigate = route.useNavigate();
  const { first, isEmpty, rows } = useLongList(
    campaignMessagesSource(campaign.id, { status, q }, isUnsettled(progress)),
  );
  const search = useCallback(
    (text: string) =>
      void navigate({ search: (old) => ({ ...old, q: text || undefined }), replace: true, resetScroll: false }),
    [navigate],
  );
  const columns = useMemo(
    () => messageColumns((id) => void navigate({ search: (old) => ({ ...old, message: id }), resetScroll: false })),
    [navigate],
  );
  const close = () => void navigate({ search: (old) => ({ ...old, message: undefined }), resetScroll: false });
  const isFiltered = status !== undefined || q !== undefined;
  return (
    <Panel
      flush
      title="Messages"
      aside={
        <div className="flex w-full flex-wrap items-center gap-2 sm:w-auto">
          <SearchField label="Search recipients" value={q ?? ""} onSearch={search} />
          <Select
            label="Filter by state"
            size="small"
            value={status ?? "all"}
            options={STATUS_OPTIONS}
            onChange={(value) =>
              void navigate({
                search: (old) => ({ ...old, status: value === "all" ? undefined : value }),
                resetScroll: false,
              })
            }
          />
          <a
            href={downloads.campaignMessages(campaign.id)}
            download
            className={`${buttonClass("secondary", "small")} !h-9 pointer-coarse:!h-10`}
          >
            <Download aria-hidden className="size-3.5" /> CSV
          </a>
        </div>
      }
    >
      <QueryState
        query={first}
        what="The messages"
        isEmpty={() => isEmpty}
        empty={
          isFiltered ? (
            <EmptyState icon={<SearchX aria-hidden />} title="No message fits">
              Change the search or the state above.
            </EmptyState>
          ) : (
            <EmptyState icon={<MailSearch aria-hidden />} title="No messages yet">
              They are made shortly before the campaign begins.
            </EmptyState>
          )
        }
      >
        {() => <DataTable label="Messages" columns={columns} rows={rows} rowKey={(row) => row.id} rowHeightPx={64} />}
      </QueryState>
      <MessageDrawer id={message} onClose={close} />
    </Panel>
  );
}

function messageColumns(open: (id: string) => void): Array<Column<Message>> {
  return [
    {
      key: "to",
      header: "Recipient",
      width: "minmax(0,1.6fr)",
      cell: (message) => (
        <button type="button" onClick={() => open(message.id)} className={`${rowTarget} w-full`}>
          {message.to}
          <span className="mt-1 flex items-center gap-2 text-[0.8125rem] font-normal text-ink-2 sm:hidden">
            <MessageBadge status={message.status} />
            <span className="num">{whenOf(message)}</span>
          </span>
        </button>
      ),
    },
    {
      key: "status",
      header: "State",
      width: "7rem",
      from: "sm",
      cell: (message) => <MessageBadge status={message.status} />,
    },
    {
      key: "reply",
      header: "Last reply",
      width: "minmax(0,1.6fr)",
      from: "lg",
      cell: (message) => (
        <span className="block truncate font-mono text-[0.8125rem] text-ink-2">{message.last_reply ?? "—"}</span>
      ),
    },
    {
      key: "attempts",
      header: "Attempts",
      width: "4.5rem",
      align: "end",
      from: "md",
      cell: (message) => <span className="text-ink-2">{message.attempt_count}</span>,
    },
    {
      key: "when",
      header: "When",
      width: "9.5rem",
      align: "end",
      from: "sm",
      cell: (message) => {
        const at = instantOf(message);
        return <span className={`${aboveRow} text-ink-2`}>{at ? <Time at={at} /> : "—"}</span>;
      },
    },
  ];
}

/** On a phone, inside of the row's button, where nothing else may take the focus. */
function whenOf(message: Message): string {
  const at = instantOf(message);
  return at ? formatWhen(at) : "";
}

function instantOf(message: Message): Date | null {
  return message.sent_at ?? message.settled_at ?? message.scheduled_at;
}
