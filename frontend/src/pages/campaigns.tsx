import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Megaphone, Plus, SearchX } from "lucide-react";
import { useCallback } from "react";
import { type Campaign, type CampaignSort, type CampaignStatus, campaignsQuery, STATUSES } from "@/api/campaigns";
import { allRows } from "@/api/fields";
import { CampaignMenu } from "@/features/campaigns/campaign-menu";
import { CampaignBadge, progressSegments, settledCount } from "@/features/campaigns/status";
import { useNewCampaign } from "@/features/campaigns/use-new-campaign";
import { formatCount, formatShare, formatTemplate } from "@/lib/format";
import { Button } from "@/ui/button";
import { aboveRow, type Column, DataTable, rowTarget } from "@/ui/data-table";
import { PageHeader, Panel } from "@/ui/panel";
import { StackedBar } from "@/ui/progress";
import { SearchField } from "@/ui/search-field";
import { Select } from "@/ui/select";
import { EmptyState, QueryState } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Time } from "@/ui/time";

const route = getRouteApi("/app/campaigns");

const TABS = [
  { value: "all", label: "All" },
  ...STATUSES.map((status) => ({ value: status, label: status.charAt(0).toUpperCase() + status.slice(1) })),
] satisfies Array<{ value: "all" | CampaignStatus; label: string }>;

const NEWEST = "-created";
const SORTS = [
  { value: NEWEST, label: "Newest first" },
  { value: "created", label: "Oldest first" },
  { value: "scheduled", label: "Soonest first" },
  { value: "-scheduled", label: "Latest first" },
  { value: "-updated", label: "Just changed" },
  { value: "name", label: "By name" },
  { value: "-name", label: "By name, last first" },
] as const satisfies ReadonlyArray<{ value: CampaignSort; label: string }>;

export function CampaignsPage() {
  const { status, q, sort } = route.useSearch();
  const navigate = route.useNavigate();
  const newCampaign = useNewCampaign();
  const query = useInfiniteQuery(campaignsQuery({ status, q, sort }));
  const rows = allRows(query.data);
  const search = useCallback(
    (text: string) => void navigate({ search: (old) => ({ ...old, q: text || undefined }), replace: true }),
    [navigate],
  );
  const newButton = (className?: string) => (
    <Button
      variant="primary"
      className={className}
      icon={<Plus aria-hidden className="size-4" />}
      busy={newCampaign.isPending}
      onClick={() => newCampaign.mutate()}
    >
      New campaign
    </Button>
  );
  return (
    <>
      <PageHeader
        title="Campaigns"
        text="One message to many, with the truth about each recipient."
        actions={newButton("md:hidden")}
      />
      <div className="mb-4 flex flex-wrap items-center justify-between gap-3">
        <Tabs
          label="State"
          value={status ?? "all"}
          tabs={TABS}
          onChange={(value) =>
            void navigate({ search: (old) => ({ ...old, status: value === "all" ? undefined : value }) })
          }
          className="min-w-0"
        />
        <div className="flex w-full items-center gap-2 sm:w-auto">
          <SearchField label="Search campaigns" value={q ?? ""} onSearch={search} />
          <Select
            label="Sort"
            size="small"
            value={SORTS.find((each) => each.value === sort)?.value ?? NEWEST}
            options={SORTS}
            onChange={(value) =>
              void navigate({ search: (old) => ({ ...old, sort: value === NEWEST ? undefined : value }) })
            }
            className="shrink-0"
          />
        </div>
      </div>
      <Panel flush>
        <QueryState
          query={query}
          what="The campaigns"
          isEmpty={() => rows.length === 0}
          empty={
            status !== undefined || q !== undefined ? (
              <EmptyState
                icon={<SearchX aria-hidden />}
                title="No campaign fits"
                action={<Button onClick={() => void navigate({ search: {} })}>Show all campaigns</Button>}
              />
            ) : (
              <EmptyState icon={<Megaphone aria-hidden />} title="No campaigns yet" action={newButton()}>
                Start with a CSV file or a list; the draft is kept while you write.
              </EmptyState>
            )
          }
        >
          {() => (
            <DataTable
              label="Campaigns"
              columns={COLUMNS}
              rows={rows}
              rowKey={(campaign) => campaign.id}
              rowHeightPx={68}
              hasMore={query.hasNextPage}
              isLoadingMore={query.isFetchingNextPage}
              onMore={() => void query.fetchNextPage()}
            />
          )}
        </QueryState>
      </Panel>
    </>
  );
}

const COLUMNS: Array<Column<Campaign>> = [
  {
    key: "name",
    header: "Campaign",
    width: "minmax(0,2fr)",
    cell: (campaign) => (
      <>
        <CampaignLink campaign={campaign} />
        <p className="mt-1 flex items-center gap-2 sm:hidden">
          <CampaignBadge status={campaign.status} />
          {campaign.counts.total > 0 ? (
            <span className="num text-[0.8125rem] text-ink-2">
              {formatShare(settledCount(campaign.counts), campaign.counts.total)}
            </span>
          ) : null}
        </p>
        <p className="truncate text-[0.8125rem] text-ink-3 max-sm:hidden">
          {formatTemplate(campaign.subject) || "No subject yet"}
        </p>
      </>
    ),
  },
  {
    key: "state",
    header: "State",
    width: "6.75rem",
    from: "sm",
    cell: (campaign) => <CampaignBadge status={campaign.status} />,
  },
  {
    key: "progress",
    header: "Progress",
    width: "minmax(9rem,1.2fr)",
    from: "md",
    cell: (campaign) => <ProgressCell campaign={campaign} />,
  },
  { key: "when", header: "When", width: "10rem", from: "sm", cell: (campaign) => <WhenCell campaign={campaign} /> },
  {
    key: "menu",
    header: "Actions",
    isQuiet: true,
    width: "2.25rem",
    align: "end",
    cell: (campaign) => (
      <span className={aboveRow}>
        <CampaignMenu campaign={campaign} />
      </span>
    ),
  },
];

function CampaignLink({ campaign }: { campaign: Campaign }) {
  if (campaign.status === "draft") {
    return (
      <Link to="/campaigns/$id/compose" params={{ id: campaign.id }} search={{}} className={rowTarget}>
        {campaign.name}
      </Link>
    );
  }
  return (
    <Link to="/campaigns/$id" params={{ id: campaign.id }} search={{}} className={rowTarget}>
      {campaign.name}
    </Link>
  );
}

function ProgressCell({ campaign }: { campaign: Campaign }) {
  const { counts } = campaign;
  if (counts.total === 0) {
    const estimate = campaign.recipients_estimate;
    return <span className="num text-ink-3">{estimate === null ? "—" : `${formatCount(estimate)} recipients`}</span>;
  }
  const settled = settledCount(counts);
  return (
    <div className="flex flex-col gap-1.5">
      <StackedBar label="Progress" segments={progressSegments(counts)} total={counts.total} />
      <span className="num text-xs text-ink-2">
        {formatCount(settled)} of {formatCount(counts.total)} · {formatShare(settled, counts.total)}
      </span>
    </div>
  );
}

function WhenCell({ campaign }: { campaign: Campaign }) {
  const at = campaign.finished_at ?? campaign.started_at ?? campaign.scheduled_at;
  return (
    <span className={`${aboveRow} text-ink-2`}>
      {at ? <Time at={at} /> : <span className="text-ink-3">not scheduled</span>}
    </span>
  );
}
