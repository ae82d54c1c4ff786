import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { throughputQuery } from "@/api/campaigns";
import { formatRate, formatSpan } from "@/lib/format";
import { LineChart, type Series } from "@/ui/line-chart";
import { Panel } from "@/ui/panel";
import { QueryState } from "@/ui/states";

type ThroughputPanelProps = { campaignId: string; moves: boolean; perSecond: number };

/** Messages per second: the last five minutes while it moves, the whole run when it is over. */
export function ThroughputPanel({ campaignId, moves, perSecond }: ThroughputPanelProps) {
  const query = useQuery(throughputQuery(campaignId, moves));
  const { times, series, meanS } = useMemo(() => toSeries(query.data), [query.data]);
  return (
    <Panel
      title="Messages per second"
      aside={
        <span className="num text-[0.8125rem] text-ink-2">
          {moves ? <strong className="text-base font-semibold text-ink">{formatRate(perSecond)}</strong> : null}{" "}
          {meanS > 1 ? `mean of ${formatSpan(meanS)}` : null}
        </span>
      }
    >
      <QueryState
        query={query}
        what="The chart"
        loading={<div role="status" aria-label="Loading" className="skeleton h-60" />}
        isEmpty={(data) => data.points.length === 0}
        empty={<p className="grid h-60 place-items-center text-sm text-ink-2">Nothing was sent yet.</p>}
      >
        {() => <LineChart label="Messages per second" times={times} series={series} heightPx={260} />}
      </QueryState>
      <p className="mt-2 flex gap-4 text-[0.8125rem] text-ink-2">
        <Legend color="bg-accent" label="sent" />
        <Legend color="bg-bad" label="failed" />
        <Legend color="bg-warn" label="tried again" />
      </p>
    </Panel>
  );
}

function Legend({ color, label }: { color: string; label: string }) {
  return (
    <span className="inline-flex items-center gap-1.5">
      <span aria-hidden className={`h-0.5 w-4 rounded ${color}`} />
      {label}
    </span>
  );
}

type Throughput = { step_s: number; points: Array<{ at: Date; sent: number; failed: number; retried: number }> };

/** Rates on an even time axis: a step without results is a zero, not a straight line over a gap. */
function toSeries(data: Throughput | undefined): { times: number[]; series: Series[]; meanS: number } {
  const times: number[] = [];
  const sent: number[] = [];
  const failed: number[] = [];
  const retried: number[] = [];
  const push = (at: number, point?: Throughput["points"][number]) => {
    const step = data?.step_s ?? 1;
    times.push(at);
    sent.push((point?.sent ?? 0) / step);
    failed.push((point?.failed ?? 0) / step);
    retried.push((point?.retried ?? 0) / step);
  };
  for (const point of data?.points ?? []) {
    const at = point.at.getTime() / 1000;
    const before = times.at(-1);
    if (before !== undefined && data) {
      for (let gap = before + data.step_s; gap < at - data.step_s / 2; gap += data.step_s) push(gap);
    }
    push(at, point);
  }
  // A slow campaign step by step is a comb of a few messages and none: its mean tells more.
  const stepS = data?.step_s ?? 1;
  const isSlow = times.length > SMOOTH_STEPS && Math.max(...sent, ...failed) * stepS < FEW_PER_STEP;
  const shown = (values: number[]) => (isSlow ? movingMean(values, SMOOTH_STEPS) : values);
  return {
    times,
    meanS: isSlow ? SMOOTH_STEPS * stepS : stepS,
    series: [
      { label: "sent", token: "--accent", values: shown(sent) },
      { label: "failed", token: "--bad", values: shown(failed) },
      { label: "tried again", token: "--warn", values: shown(retried) },
    ],
  };
}

/** Below so many messages in a step, chance decides how high it is. */
const FEW_PER_STEP = 5;
const SMOOTH_STEPS = 10;

/** The mean of each value and those before it. */
function movingMean(values: number[], width: number): number[] {
  let sum = 0;
  return values.map((value, at) => {
    sum += value - (values[at - width] ?? 0);
    return sum / Math.min(width, at + 1);
  });
}
