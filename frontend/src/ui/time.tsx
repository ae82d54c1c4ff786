import { useNow } from "@/lib/clock";
import { formatCountdown, formatExact, formatUtc, formatWhen } from "@/lib/format";
import { Tooltip } from "@/ui/tooltip";

/** An instant in the viewer's zone; UTC on hover and focus. */
export function Time({ at, exact }: { at: Date; exact?: boolean }) {
  return (
    <Tooltip text={<span className="num">{formatUtc(at)}</span>}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: focus shows the UTC time to those who use no mouse */}
      <time dateTime={at.toISOString()} tabIndex={0} className="num rounded-sm whitespace-nowrap">
        {exact ? formatExact(at) : formatWhen(at)}
      </time>
    </Tooltip>
  );
}

export function Countdown({ until }: { until: Date }) {
  const now = useNow();
  return <span className="num">{until > now ? formatCountdown(until, now) : "any moment"}</span>;
}
