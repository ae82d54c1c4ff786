import type { ReactNode } from "react";
import { cx } from "@/lib/cx";

export type Tone = "good" | "warn" | "bad" | "info" | "accent" | "idle";

const TONES = {
  good: "bg-good-soft text-good-text",
  warn: "bg-warn-soft text-warn-text",
  bad: "bg-bad-soft text-bad-text",
  info: "bg-info-soft text-info-text",
  accent: "bg-accent-soft text-accent-text",
  idle: "bg-hover text-ink-2",
} satisfies Record<Tone, string>;

const DOTS = {
  good: "bg-good",
  warn: "bg-warn",
  bad: "bg-bad",
  info: "bg-info",
  accent: "bg-accent",
  idle: "bg-idle",
} satisfies Record<Tone, string>;

/** A state in a word. `live` lets its dot breathe. */
export function Badge({ tone, live, children }: { tone: Tone; live?: boolean; children: ReactNode }) {
  return (
    <span
      className={cx(
        "inline-flex h-6 items-center gap-1.5 rounded-full px-2.5 text-xs font-semibold whitespace-nowrap",
        TONES[tone],
      )}
    >
      <span aria-hidden className={cx("size-1.5 rounded-full", DOTS[tone], live && "breathe")} />
      {children}
    </span>
  );
}
