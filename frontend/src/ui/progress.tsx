import { cx } from "@/lib/cx";
import type { Tone } from "@/ui/badge";

const FILLS = {
  good: "bg-good",
  warn: "bg-warn",
  bad: "bg-bad",
  info: "bg-info",
  accent: "bg-linear-to-r from-accent-2 to-accent",
  idle: "bg-idle",
} satisfies Record<Tone, string>;

export type Segment = { label: string; count: number; tone: Tone };

/** Parts of a whole, in one bar. Anything above zero stays visible: at least two pixels. */
export function StackedBar({
  label,
  segments,
  total,
  tall,
}: {
  label: string;
  segments: ReadonlyArray<Segment>;
  total: number;
  tall?: boolean;
}) {
  const spoken = segments
    .filter((segment) => segment.count > 0)
    .map((segment) => `${segment.label} ${segment.count.toLocaleString("en-US")}`)
    .join(", ");
  return (
    <div
      role="img"
      aria-label={`${label}: ${spoken || "nothing yet"}, of ${total.toLocaleString("en-US")}`}
      className={cx("flex w-full overflow-hidden rounded-full bg-line-2", tall ? "h-3" : "h-2")}
    >
      {segments.map((segment) =>
        segment.count > 0 && total > 0 ? (
          <span
            key={segment.label}
            className={cx("h-full min-w-0.5 transition-[width] duration-700 ease-out", FILLS[segment.tone])}
            style={{ width: `${(segment.count / total) * 100}%` }}
          />
        ) : null,
      )}
    </div>
  );
}

/** How far one thing is, from 0 to 1; `undefined` when nobody knows yet. */
export function Progress({ label, share, tone = "accent" }: { label: string; share: number | undefined; tone?: Tone }) {
  const percent = share === undefined ? undefined : Math.round(Math.min(1, Math.max(0, share)) * 100);
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      className="h-2 w-full overflow-hidden rounded-full bg-line-2"
    >
      <div
        className={cx(
          "h-full rounded-full transition-[width] duration-500 ease-out",
          FILLS[tone],
          percent === undefined && "breathe",
        )}
        style={{ width: percent === undefined ? "100%" : `${percent}%` }}
      />
    </div>
  );
}
