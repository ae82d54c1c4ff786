import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Ban, CalendarClock, CalendarCog, SearchX, Undo2 } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import {
  actOnCampaign,
  blockedReason,
  type Campaign,
  campaignQuery,
  campaignsQuery,
  launchCampaign,
} from "@/api/campaigns";
import { allRows } from "@/api/fields";
import { describeError } from "@/api/http";
import { useLongList } from "@/api/long-list";
import { cancelMessage, type Message, messagesSource, rescheduleMessage } from "@/api/messages";
import { useCampaignAct } from "@/features/campaigns/use-campaign-act";
import { formatCount, formatTemplate, viewerZone } from "@/lib/format";
import { toInstant, toWallTime } from "@/lib/zoned";
import { Button, IconButton } from "@/ui/button";
import { aboveRow, type Column, DataTable, rowTarget } from "@/ui/data-table";
import { DateTimeZoneField } from "@/ui/date-time-zone-field";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { PageHeader, Panel } from "@/ui/panel";
import { SearchField } from "@/ui/search-field";
import { EmptyState, QueryState } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Countdown, Time } from "@/ui/time";
import { toast } from "@/ui/toast";

const route = getRouteApi("/app/scheduled");

const TABS = [
  { value: "campaigns", label: "Campaigns" },
  { value: "messages", label: "API messages" },
] as const;

type Moving = { kind: "campaign"; campaign: Campaign } | { kind: "message"; message: Message };
type Question = { act: "reschedule" | "cancel"; of: Moving };

/** What waits for its time, across campaigns and API messages. */
export function ScheduledPage() {
  const { tab = "campaigns", q } = route.useSearch();
  const navigate = route.useNavigate();
  const [question, setQuestion] = useState<Question | null>(null);
  const search = useCallback(
    (text: string) => void navigate({ search: (old) => ({ ...old, q: text || undefined }), replace: true }),
    [navigate],
  );
  return (
    <>
      <PageHeader title="Scheduled" text="What waits for its time. Everything here can still be moved or taken back." />
      <div className="mb-4 flex flex-wrap items-center justify-between gap-3">
        <Tabs label="What" value={tab} tabs={TABS} onChange={(value) => void navigate({ search: { tab: value } })} />
        <SearchField
          label={tab === "campaigns" ? "Search campaigns" : "Search recipients"}
          value={q ?? ""}
          onSearch={search}
        />
      </div>
      <Panel flush>
        {tab === "campaigns" ? (
          <ScheduledCampaigns q={q} onAsk={setQuestion} />
        ) : (
          <ScheduledMessages q={q} onAsk={setQuestion} />
        )}
      </Panel>
      {question?.act === "reschedule" ? <RescheduleDialog of={question.of} onClose={() => setQuestion(null)} /> : null}
      <CancelDialog of={question?.act === "cancel" ? question.of : null} onClose={() => setQuestion(null)} />
    </>
  );
}

type ListProps = { q: string | undefined; onAsk: (question: Question) => void };

function Nothing({ q }: { q: string | undefined }) {
  return q !== undefined ? (
    <EmptyState icon={<SearchX aria-hidden />} title="Nothing fits the search" />
  ) : (
    <EmptyState icon={<CalendarClock aria-hidden />} title="Nothing is scheduled">
      What you schedule for later waits here, with its countdown.
    </EmptyState>
  );
}

function ScheduledCampaigns({ q, onAsk }: ListProps) {
  const query = useInfiniteQuery(campaignsQuery({ status: "scheduled", q, sort: "scheduled" }));
  const rows = allRows(query.data);
  return (
    <QueryState
      query={query}
      what="The scheduled campaigns"
      isEmpty={() => rows.length === 0}
      empty={<Nothing q={q} />}
    >
      {() => (
        <DataTable
          label="Scheduled campaigns"
          columns={campaignColumns(onAsk)}
          rows={rows}
          rowKey={(row) => row.id}
          rowHeightPx={64}
          hasMore={query.hasNextPage}
          isLoadingMore={query.isFetchingNextPage}
          onMore={() => void query.fetchNextPage()}
        />
      )}
    </QueryState>
  );
}

function campaignColumns(onAsk: (question: Question) => void): Array<Column<Campaign>> {
  return [
    {
      key: "name",
      header: "Campaign",
      width: "minmax(0,2fr)",
      cell: (campaign) => (
        <>
          <Link to="/campaigns/$id" params={{ id: campaign.id }} search={{}} className={rowTarget}>
            {campaign.name}
          </Link>
          <p className="truncate text-[0.8125rem] text-ink-3 max-sm:hidden">{formatTemplate(campaign.subject)}</p>
          {campaign.scheduled_at ? (
            <p className="num text-[0.8125rem] text-ink-2 sm:hidden">
              in <Countdown until={campaign.scheduled_at} />
            </p>
          ) : null}
        </>
      ),
    },
    {
      key: "recipients",
      header: "Recipients",
      width: "6.5rem",
      align: "end",
      from: "md",
      cell: (campaign) => (campaign.recipients_estimate === null ? "—" : formatCount(campaign.recipients_estimate)),
    },
    {
      key: "when",
      header: "When",
      width: "10rem",
      align: "end",
      from: "sm",
      cell: (campaign) => <When at={campaign.scheduled_at} />,
    },
    {
      key: "in",
      header: "In",
      width: "6.5rem",
      align: "end",
      from: "sm",
      cell: (campaign) => (campaign.scheduled_at ? <Countdown until={campaign.scheduled_at} /> : "—"),
    },
    {
      key: "acts",
      header: "Actions",
      isQuiet: true,
      width: "5rem",
      align: "end",
      cell: (campaign) => (
        <span className={`${aboveRow} inline-flex`}>
          <IconButton
            label={`Move ${campaign.name}`}
            icon={<CalendarCog aria-hidden className="size-4" />}
            disabledReason={blockedReason(campaign, "unschedule")}
            onClick={() => onAsk({ act: "reschedule", of: { kind: "campaign", campaign } })}
          />
          <IconButton
            label={`Take ${campaign.name} back`}
            icon={<Undo2 aria-hidden className="size-4" />}
            disabledReason={blockedReason(campaign, "unschedule")}
            onClick={() => onAsk({ act: "cancel", of: { kind: "campaign", campaign } })}
          />
        </span>
      ),
    },
  ];
}

function ScheduledMessages({ q, onAsk }: ListProps) {
  const { first, isEmpty, rows } = useLongList(messagesSource({ status: "scheduled", q }));
  const columns = useMemo(() => messageColumns(onAsk), [onAsk]);
  return (
    <QueryState query={first} what="The scheduled messages" isEmpty={() => isEmpty} empty={<Nothing q={q} />}>
      {() => (
        <DataTable label="Scheduled messages" columns={columns} rows={rows} rowKey={(row) => row.id} rowHeightPx={64} />
      )}
    </QueryState>
  );
}

function messageColumns(onAsk: (question: Question) => void): Array<Column<Message>> {
  return [
    {
      key: "to",
      header: "Recipient",
      width: "minmax(0,2fr)",
      cell: (message) => (
        <>
          <p className="truncate font-medium">{message.to}</p>
          <p className="truncate text-[0.8125rem] text-ink-3">{formatTemplate(message.subject ?? "")}</p>
        </>
      ),
    },
    {
      key: "when",
      header: "When",
      width: "10rem",
      align: "end",
      from: "sm",
      cell: (message) => <When at={message.scheduled_at} />,
    },
    {
      key: "in",
      header: "In",
      width: "6.5rem",
      align: "end",
      cell: (message) => (message.scheduled_at ? <Countdown until={message.scheduled_at} /> : "—"),
    },
    {
      key: "acts",
      header: "Actions",
      isQuiet: true,
      width: "5rem",
      align: "end",
      cell: (message) => (
        <span className="inline-flex">
          <IconButton
            label={`Move the message to ${message.to}`}
            icon={<CalendarCog aria-hidden className="size-4" />}
            onClick={() => onAsk({ act: "reschedule", of: { kind: "message", message } })}
          />
          <IconButton
            label={`Cancel the message to ${message.to}`}
            icon={<Ban aria-hidden className="size-4" />}
            onClick={() => onAsk({ act: "cancel", of: { kind: "message", message } })}
          />
        </span>
      ),
    },
  ];
}

function When({ at }: { at: Date | null }) {
  return <span className={`${aboveRow} text-ink-2`}>{at ? <Time at={at} /> : "—"}</span>;
}

function useMove() {
  const queryClient = useQueryClient();
  const [isDraft, setIsDraft] = useState(false);
  const move = useMutation({
    mutationFn: async ({ of, at }: { of: Moving; at: Date }): Promise<void> => {
      if (of.kind === "message") {
        await rescheduleMessage(of.message.id, at);
        return;
      }
      // A campaign moves by going back to a draft and being launched again for the new time. When only the first has
      // worked, the next try is about the second.
      if (!isDraft) await actOnCampaign(of.campaign.id, "unschedule");
      await launchCampaign(of.campaign.id, at);
    },
    // How far it came is asked, not concluded: of either act the answer alone may have been lost.
    onError: async (_, { of }) => {
      if (of.kind === "message") return;
      const now = await queryClient.fetchQuery({ ...campaignQuery(of.campaign.id), staleTime: 0 }).catch(() => null);
      setIsDraft(now?.status === "draft");
    },
    onSettled: () =>
      Promise.all(
        ["campaigns", "messages", "overview"].map((key) => queryClient.invalidateQueries({ queryKey: [key] })),
      ),
  });
  const reason = move.error ? describeError(move.error) : undefined;
  const consequence = "It is a draft now and will not be sent: move it again, or schedule it from Campaigns.";
  return { ...move, isDraft, reason: reason !== undefined && isDraft ? `${reason} ${consequence}` : reason };
}

function RescheduleDialog({ of, onClose }: { of: Moving; onClose: () => void }) {
  const before = of.kind === "campaign" ? of.campaign.scheduled_at : of.message.scheduled_at;
  const [given] = useState(() => toWallTime(before ?? new Date(), viewerZone()));
  const [wall, setWall] = useState(given);
  const move = useMove();
  const instant = toInstant(wall);
  // A move to where it is would take a campaign back and launch it again for nothing.
  const isUntouched = before !== null && wall === given;
  const reason = isUntouched ? "Choose another time." : instant.kind === "fault" ? instant.fault : null;
  return (
    <Dialog
      open
      onClose={onClose}
      wide
      title="Move to another time"
      description={of.kind === "campaign" ? of.campaign.name : of.message.to}
      footer={
        <>
          <Button onClick={onClose}>{move.isDraft ? "Leave it a draft" : "Keep as it is"}</Button>
          <Button
            variant="primary"
            busy={move.isPending}
            disabledReason={reason}
            onClick={() => {
              if (instant.kind !== "at") return;
              move.mutate(
                { of, at: instant.at },
                {
                  onSuccess: () => {
                    toast.success("Moved.");
                    onClose();
                  },
                },
              );
            }}
          >
            Move it
          </Button>
        </>
      }
    >
      <DateTimeZoneField value={wall} onChange={setWall} error={move.reason} />
    </Dialog>
  );
}

function CancelDialog({ of, onClose }: { of: Moving | null; onClose: () => void }) {
  const queryClient = useQueryClient();
  const back = useCampaignAct((id: string) => actOnCampaign(id, "unschedule"));
  const isCampaign = of?.kind === "campaign";
  return (
    <ConfirmDialog
      open={of !== null}
      onClose={onClose}
      title={isCampaign ? "Take it back to a draft?" : "Cancel this message?"}
      confirm={isCampaign ? "Take it back" : "Cancel the message"}
      variant={isCampaign ? "primary" : "danger"}
      onConfirm={async () => {
        if (of?.kind === "campaign") await back.mutateAsync(of.campaign.id);
        if (of?.kind === "message") {
          try {
            await cancelMessage(of.message.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          } finally {
            await queryClient.invalidateQueries({ queryKey: ["messages"] });
          }
        }
      }}
    >
      {isCampaign ? "Nothing is sent. You can change it and schedule it again." : "It will never be sent."}
    </ConfirmDialog>
  );
}
