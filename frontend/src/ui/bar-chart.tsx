import { formatCompact, formatCount } from "@/lib/format";

export type Bar = { label: string; title: string; value: number; second: number };

/** Few bars, each with its two parts; every bar can be read by hover, focus-free list and ear. */
export function BarChart({ label, bars, names }: { label: string; bars: ReadonlyArray<Bar>; names: [string, string] }) {
  const peak = Math.max(1, ...bars.map((bar) => bar.value + bar.second));
  return (
    <figure className="m-0">
      <div className="flex h-40 gap-2">
        <div aria-hidden className="num flex w-9 flex-col justify-between pb-5 text-right text-[0.6875rem] text-ink-3">
          <span>{formatCompact(peak)}</span>
          <span>{formatCompact(peak / 2)}</span>
          <span>0</span>
        </div>
        <ol aria-label={label} className="flex min-w-0 flex-1 items-stretch gap-[3px] sm:gap-1.5">
          {bars.map((bar, at) => (
            <li key={bar.title} className="group flex min-w-0 flex-1 flex-col" title={describe(bar, names)}>
              <span className="sr-only">{describe(bar, names)}</span>
              <span
                aria-hidden
                className="relative flex flex-1 flex-col justify-end gap-px rounded-md bg-line-2/40 transition-colors group-hover:bg-hover"
              >
                {bar.second > 0 ? (
                  <span className="min-h-0.5 rounded-t-md bg-bad" style={{ height: `${(bar.second / peak) * 100}%` }} />
                ) : null}
                {bar.value > 0 ? (
                  <span
                    className="min-h-0.5 rounded-md bg-linear-to-t from-accent to-accent-2 transition-[height] duration-500"
                    style={{ height: `${(bar.value / peak) * 100}%` }}
                  />
                ) : null}
              </span>
              <span
                aria-hidden
                className="num h-5 overflow-visible pt-1 text-center text-[0.6875rem] whitespace-nowrap text-ink-3"
              >
                {at % 4 === 0 ? bar.label : ""}
              </span>
            </li>
          ))}
        </ol>
      </div>
    </figure>
  );
}

function describe(bar: Bar, names: [string, string]): string {
  return `${bar.title}: ${formatCount(bar.value)} ${names[0]}, ${formatCount(bar.second)} ${names[1]}`;
}
