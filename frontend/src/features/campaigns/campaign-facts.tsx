import { Hourglass } from "lucide-react";
import type { Campaign, CampaignProgress } from "@/api/campaigns";
import { settledCount } from "@/features/campaigns/status";
import { useNow } from "@/lib/clock";
import { formatClock, formatCount, formatLimit, formatMs, formatRate, formatRelative, formatShare } from "@/lib/format";
import { Notice, Panel, Stat } from "@/ui/panel";
import { Countdown, Time } from "@/ui/time";

/** The few numbers that answer "how is it going?". */
export function CampaignFacts({ campaign, progress }: { campaign: Campaign; progress: CampaignProgress }) {
  const now = useNow();
  const settled = settledCount(progress);
  const isWaiting = progress.resumes_at !== null && progress.resumes_at > now;
  return (
    <>
      {isWaiting && progress.resumes_at ? (
        <Notice tone="warn" icon={<Hourglass aria-hidden className="size-4" />}>
          <span className="num">
            Waiting on{" "}
            {campaign.limit
              ? `a limit (${formatLimit(campaign.limit.limit, campaign.limit.window_s)} for this campaign)`
              : "the sending limit"}
            . Resumes at <strong>{formatClock(progress.resumes_at)}</strong>, {formatRelative(progress.resumes_at, now)}
            .
          </span>
        </Notice>
      ) : null}
      {campaign.status === "scheduled" && campaign.scheduled_at ? (
        <Notice tone="info">
          Begins <Time at={campaign.scheduled_at} exact />, in <Countdown until={campaign.scheduled_at} />.
        </Notice>
      ) : null}
      <Panel>
        <dl className="grid grid-cols-2 gap-x-4 gap-y-5 sm:gap-x-6 sm:grid-cols-3 lg:grid-cols-5">
          <Stat
            label="Done"
            value={formatShare(settled, progress.total)}
            hint={
              progress.total > 0
                ? `${formatCount(settled)} of ${formatCount(progress.total)}`
                : recipientsHint(campaign)
            }
          />
          <Stat
            label="Per second"
            value={formatRate(progress.per_second)}
            hint={campaign.pacing === "smooth" ? "spread evenly" : "as fast as allowed"}
          />
          <Stat
            label={progress.status === "sent" || progress.status === "cancelled" ? "Finished" : "Will be done"}
            isWords
            value={progress.finishes_at ? <Time at={progress.finishes_at} /> : "—"}
            hint={progress.finishes_at ? formatRelative(progress.finishes_at, now) : undefined}
          />
          <Stat
            label="Began"
            isWords
            value={progress.started_at ? <Time at={progress.started_at} /> : "—"}
            hint={progress.started_at ? formatRelative(progress.started_at, now) : "not yet"}
          />
          <Lateness lateness={progress.lateness_ms} />
        </dl>
      </Panel>
    </>
  );
}

function recipientsHint(campaign: Campaign): string {
  return campaign.recipients_estimate === null
    ? "no audience yet"
    : `about ${formatCount(campaign.recipients_estimate)} recipients`;
}

function Lateness({ lateness }: { lateness: CampaignProgress["lateness_ms"] }) {
  if (lateness?.p50 === null || lateness?.p50 === undefined)
    return <Stat label="Lateness" value="—" hint="not yet known" />;
  const worst = [
    lateness.p99 === null || lateness.p99 === undefined ? null : `p99 ${formatMs(lateness.p99)}`,
    lateness.max === null || lateness.max === undefined ? null : `worst ${formatMs(lateness.max)}`,
  ].filter((part) => part !== null);
  const hint = worst.map((part, at) => (
    <span key={part} className="whitespace-nowrap">
      {at > 0 ? " · " : ""}
      {part}
    </span>
  ));
  return <Stat label="Lateness, median" value={formatMs(lateness.p50)} hint={hint} />;
}
