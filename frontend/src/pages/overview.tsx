import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CalendarClock, Moon, Plus } from "lucide-react";
import type { Limit } from "@/api/limits";
import { type Overview, overviewQuery } from "@/api/overview";
import { progressSegments, settledCount } from "@/features/campaigns/status";
import { useNewCampaign } from "@/features/campaigns/use-new-campaign";
import { useNow } from "@/lib/clock";
import {
  formatClock,
  formatCount,
  formatHour,
  formatLimit,
  formatRate,
  formatRelative,
  formatShare,
  formatWeekHour,
  plural,
} from "@/lib/format";
import { Badge } from "@/ui/badge";
import { BarChart } from "@/ui/bar-chart";
import { Button } from "@/ui/button";
import { Gauge } from "@/ui/gauge";
import { PageHeader, Panel } from "@/ui/panel";
import { StackedBar } from "@/ui/progress";
import { EmptyState, QueryState } from "@/ui/states";
import { Countdown, Time } from "@/ui/time";

export function OverviewPage() {
  const overview = useQuery(overviewQuery);
  return (
    <>
      <PageHeader title="Overview" text="What moves now, what comes next, and what the last day was like." />
      <QueryState
        query={overview}
        what="The overview"
        loading={<OverviewSkeleton />}
        isEmpty={isUntouched}
        empty={<FirstSteps />}
      >
        {(data) => (
          <div className="grid gap-5 xl:grid-cols-[minmax(0,1.7fr)_minmax(0,1fr)]">
            <SendingNow sending={data.sending_now} />
            <NextUp next={data.next_scheduled} messages={data.next_messages} />
            <LastDay hours={data.last_24_h} />
            <Limits limits={data.limits} />
          </div>
        )}
      </QueryState>
    </>
  );
}

function isUntouched(data: Overview): boolean {
  const isSilent = data.last_24_h.every((hour) => hour.sent + hour.failed === 0);
  return (
    data.sending_now.length === 0 && data.next_scheduled.length === 0 && data.next_messages.scheduled === 0 && isSilent
  );
}

function OverviewSkeleton() {
  return (
    <div role="status" aria-label="Loading" className="grid gap-5 xl:grid-cols-[minmax(0,1.7fr)_minmax(0,1fr)]">
      {["h-56", "h-56", "h-64", "h-64"].map((height, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a fixed picture
        <div key={at} className={`glass ${height} p-5`}>
          <div className="skeleton h-4 w-40" />
          <div className="skeleton mt-6 h-3 w-full" />
          <div className="skeleton mt-4 h-3 w-2/3" />
        </div>
      ))}
    </div>
  );
}

function FirstSteps() {
  const newCampaign = useNewCampaign();
  return (
    <Panel>
      <EmptyState
        icon={<CalendarClock aria-hidden />}
        title="Nothing is sent or scheduled yet"
        action={
          <Button
            variant="primary"
            icon={<Plus aria-hidden className="size-4" />}
            busy={newCampaign.isPending}
            onClick={() => newCampaign.mutate()}
          >
            Compose a campaign
          </Button>
        }
      >
        Drop a CSV file, write the message, choose a time: two minutes.
      </EmptyState>
    </Panel>
  );
}

function SendingNow({ sending }: { sending: Overview["sending_now"] }) {
  return (
    <Panel
      title="Sending now"
      aside={
        sending.length > 0 ? (
          <Badge tone="accent" live>
            {plural(sending.length, "campaign")}
          </Badge>
        ) : null
      }
    >
      {sending.length === 0 ? (
        <p className="flex items-center gap-2.5 py-8 text-sm text-ink-2">
          <Moon aria-hidden className="size-4" /> All is still. Nothing is on its way.
        </p>
      ) : (
        <ul className="flex flex-col divide-y divide-line-2">
          {sending.map((campaign) => (
            <li key={campaign.id} className="py-4 first:pt-1 last:pb-1">
              <div className="mb-2 flex flex-wrap items-baseline justify-between gap-x-4">
                <Link
                  to="/campaigns/$id"
                  params={{ id: campaign.id }}
                  search={{}}
                  className="text-link min-w-0 max-w-full !text-base wrap-anywhere hover:underline"
                >
                  {campaign.name}
                </Link>
                <span className="num text-sm text-ink-2">
                  <strong className="font-semibold text-ink">{formatCount(settledCount(campaign))}</strong> of{" "}
                  {formatCount(campaign.total)} · {formatShare(settledCount(campaign), campaign.total)}
                </span>
              </div>
              <StackedBar label={campaign.name} segments={progressSegments(campaign)} total={campaign.total} />
              <p className="num mt-2 flex flex-wrap gap-x-3 text-[0.8125rem] text-ink-2">
                {campaign.status === "paused" ? (
                  <span className="text-warn-text">Paused</span>
                ) : (
                  <span>{formatRate(campaign.per_second)} per second</span>
                )}
                {campaign.resumes_at ? (
                  <span className="text-warn-text">
                    waits for a limit, resumes at {formatClock(campaign.resumes_at)}
                  </span>
                ) : null}
              </p>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function NextUp({ next, messages }: { next: Overview["next_scheduled"]; messages: Overview["next_messages"] }) {
  return (
    <Panel
      title="Next up"
      aside={
        <Link to="/scheduled" search={{}} className="text-link text-accent-text hover:underline">
          All scheduled
        </Link>
      }
    >
      {next.length === 0 && messages.scheduled === 0 ? (
        <p className="py-8 text-sm text-ink-2">Nothing is scheduled.</p>
      ) : (
        <ul className="flex flex-col divide-y divide-line-2">
          {next.slice(0, 5).map((item) => (
            <li key={item.id} className="flex items-center justify-between gap-4 py-3 first:pt-1 last:pb-1">
              <div className="min-w-0">
                <Link
                  to="/campaigns/$id"
                  params={{ id: item.id }}
                  search={{}}
                  className="text-link max-w-full wrap-anywhere hover:underline"
                >
                  {item.name}
                </Link>
                <p className="text-[0.8125rem] text-ink-2">
                  <Time at={item.scheduled_at} />
                  {item.recipients !== null ? ` · ${plural(item.recipients, "recipient")}` : null}
                </p>
              </div>
              <span className="shrink-0 rounded-lg bg-info-soft px-2.5 py-1 text-sm font-semibold text-info-text">
                <Countdown until={item.scheduled_at} />
              </span>
            </li>
          ))}
          {messages.next_at ? (
            <li className="flex items-center justify-between gap-4 py-3 first:pt-1 last:pb-1">
              <div className="min-w-0">
                <Link
                  to="/scheduled"
                  search={{ tab: "messages" }}
                  className="text-link max-w-full wrap-anywhere hover:underline"
                >
                  {messages.scheduled >= 10_000
                    ? "10,000 or more API messages"
                    : plural(messages.scheduled, "API message")}
                </Link>
                <p className="text-[0.8125rem] text-ink-2">
                  the first <Time at={messages.next_at} />
                </p>
              </div>
              <span className="shrink-0 rounded-lg bg-info-soft px-2.5 py-1 text-sm font-semibold text-info-text">
                <Countdown until={messages.next_at} />
              </span>
            </li>
          ) : null}
        </ul>
      )}
    </Panel>
  );
}

function LastDay({ hours }: { hours: Overview["last_24_h"] }) {
  const sent = hours.reduce((sum, hour) => sum + hour.sent, 0);
  const failed = hours.reduce((sum, hour) => sum + hour.failed, 0);
  return (
    <Panel
      title="Last 24 hours"
      aside={
        <span className="num text-sm text-ink-2">
          <strong className="font-semibold text-ink">{formatCount(sent)}</strong> sent
          {failed > 0 ? (
            <>
              {" · "}
              <strong className="font-semibold text-bad-text">{formatCount(failed)}</strong> failed
            </>
          ) : null}
        </span>
      }
    >
      {sent + failed === 0 ? (
        <p className="py-8 text-sm text-ink-2">Nothing was sent in the last 24 hours.</p>
      ) : (
        <BarChart
          label="Messages by hour"
          names={["sent", "failed"]}
          bars={hours.map((hour) => ({
            label: formatHour(hour.hour),
            title: formatWeekHour(hour.hour),
            value: hour.sent,
            second: hour.failed,
          }))}
        />
      )}
    </Panel>
  );
}

function Limits({ limits }: { limits: Limit[] }) {
  const account = limits.find((limit) => limit.scope === "account") ?? limits[0];
  return (
    <Panel
      title="Sending limit"
      aside={
        <Link to="/settings" search={{ tab: "limits" }} className="text-link text-accent-text hover:underline">
          Change
        </Link>
      }
    >
      {account === undefined || account.limit === 0 ? (
        <p className="py-8 text-sm text-ink-2">No limit is set: messages go as fast as the mail server takes them.</p>
      ) : (
        <LimitGauge limit={account} />
      )}
    </Panel>
  );
}

function LimitGauge({ limit }: { limit: Limit }) {
  const now = useNow();
  const isFull = limit.used !== null && limit.used >= limit.limit;
  return (
    <div className="flex flex-wrap items-center justify-center gap-x-6 gap-y-3 py-1">
      <Gauge label="Used of the limit" used={limit.used ?? 0} limit={limit.limit} />
      <div className="min-w-40 flex-1">
        <p className="num text-lg leading-snug font-semibold tracking-tight">
          {limit.used === null ? "Not known now" : `${formatCount(limit.used)} of ${formatCount(limit.limit)}`}
        </p>
        <p className="text-sm text-ink-2">
          {limit.used === null
            ? "The counters cannot be read; the limit is kept."
            : `Limit: ${formatLimit(limit.limit, limit.window_s)}, in a sliding window.`}
        </p>
        {isFull && limit.next_free_at ? (
          <p className="num mt-2 text-sm font-medium text-warn-text">
            Next slot {formatClock(limit.next_free_at)}, {formatRelative(limit.next_free_at, now)}
          </p>
        ) : null}
      </div>
    </div>
  );
}
