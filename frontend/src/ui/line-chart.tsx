import { useEffect, useRef } from "react";
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatClock, formatRate } from "@/lib/format";
import { useTheme } from "@/lib/theme";

export type Series = { label: string; token: "--accent" | "--bad" | "--warn" | "--good"; values: number[] };

type LineChartProps = { label: string; times: number[]; series: Series[]; heightPx?: number };

/** A live line chart. uPlot is fetched when the first chart is shown; data moves without a new chart. */
export function LineChart({ label, times, series, heightPx = 200 }: LineChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useRef<uPlot.AlignedData>([[]]);
  data.current = [times, ...series.map((line) => line.values)];
  const theme = useTheme();
  const shape = series.map((line) => `${line.label} ${line.token}`).join("|");

  // biome-ignore lint/correctness/useExhaustiveDependencies: the chart is made anew when its shape or its colours change
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    let isGone = false;
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: heightPx }));
    void import("uplot").then(({ default: UPlot }) => {
      if (isGone) return;
      plot.current = new UPlot(chartOptions(element, series, heightPx), data.current, element);
      resize.observe(element);
    });
    return () => {
      isGone = true;
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, theme, heightPx]);

  useEffect(() => {
    plot.current?.setData([times, ...series.map((line) => line.values)]);
  }, [times, series]);

  const latest = series.map((line) => `${line.label} ${formatRate(line.values.at(-1) ?? 0)}`).join(", ");
  return (
    <div
      ref={host}
      role="img"
      aria-label={`${label}. Latest: ${latest}.`}
      style={{ minHeight: heightPx }}
      className="num w-full min-w-0"
    />
  );
}

/** Whole seconds at least: a chart of five seconds would name each of them twice. */
const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400];

function chartOptions(element: HTMLElement, series: Series[], heightPx: number): uPlot.Options {
  const ink = resolveColor(element, "--ink-3");
  const grid = { stroke: resolveColor(element, "--line-2"), width: 1 };
  const font = "11px 'Inter Variable', sans-serif";
  return {
    width: element.clientWidth,
    height: heightPx,
    cursor: { y: false, points: { size: 7 } },
    legend: { show: false },
    scales: { y: { range: (_chart, _low, high) => [0, niceCeiling(high ?? 0)] } },
    axes: [
      {
        stroke: ink,
        grid: { show: false },
        ticks: { show: false },
        font,
        space: 80,
        incrs: TIME_STEPS_S,
        values: (_chart, at) => at.map((s) => formatClock(new Date(s * 1000))),
      },
      {
        stroke: ink,
        grid,
        ticks: { show: false },
        font,
        size: 46,
        space: 36,
        values: (_chart, at) => at.map(formatRate),
      },
    ],
    series: [
      {},
      ...series.map((line) => {
        const stroke = resolveColor(element, line.token);
        return { label: line.label, stroke, width: 2, fill: withAlpha(stroke, 0.13), points: { show: false } };
      }),
    ],
  };
}

/** The upper end of an axis: a round number a little above the highest value, whether that is 0.02 or 20,000. */
export function niceCeiling(high: number): number {
  if (!(high > 0)) return 1;
  const wanted = high * 1.05;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((each) => each * power >= wanted) ?? 10;
  return Number((step * power).toPrecision(3));
}

/** A token as a colour that a canvas understands: light-dark() is resolved by the browser itself. */
function resolveColor(element: HTMLElement, token: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  element.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

function withAlpha(color: string, alpha: number): string {
  const parts = color.match(/[\d.]+/g);
  return parts && parts.length >= 3 ? `rgb(${parts[0]} ${parts[1]} ${parts[2]} / ${alpha})` : color;
}
