import type { ReactNode } from "react";
import { cx } from "@/lib/cx";

type PanelProps = { title?: ReactNode; aside?: ReactNode; children: ReactNode; className?: string; flush?: boolean };

/** A sheet of glass. `flush` lets a table reach its edges: clipped, not hidden, or nothing in it could stick to the screen. */
export function Panel({ title, aside, children, className, flush }: PanelProps) {
  return (
    <section className={cx("glass min-w-0", flush ? "overflow-clip" : "p-5", className)}>
      {title !== undefined ? (
        <div
          className={cx(
            "flex min-h-8 flex-wrap items-center justify-between gap-x-4 gap-y-1",
            flush ? "px-5 pt-4 pb-3" : "mb-3",
          )}
        >
          <h2 className="text-[0.9375rem] font-semibold tracking-tight text-ink">{title}</h2>
          {aside}
        </div>
      ) : null}
      {children}
    </section>
  );
}

/** The head of a page: what it is, one line about it, what a person can do. */
export function PageHeader({
  title,
  text,
  actions,
  above,
}: {
  title: ReactNode;
  text?: ReactNode;
  actions?: ReactNode;
  above?: ReactNode;
}) {
  return (
    <header className="mb-6 flex flex-wrap items-end justify-between gap-x-6 gap-y-4">
      <div className="min-w-0">
        {above}
        <h1 className="text-[1.625rem] leading-tight font-semibold tracking-[-0.02em] text-ink">{title}</h1>
        {text !== undefined ? <div className="mt-1.5 text-sm text-ink-2">{text}</div> : null}
      </div>
      {actions !== undefined ? <div className="flex flex-wrap items-center gap-2">{actions}</div> : null}
    </header>
  );
}

export function Stat({
  label,
  value,
  hint,
  isWords,
}: {
  label: string;
  value: ReactNode;
  hint?: ReactNode;
  /** Words or a date ("tomorrow 00:02"), which need more room than a number: smaller, still smaller on a phone, and in two lines where it must. */
  isWords?: boolean;
}) {
  return (
    <div className="min-w-0">
      <dt className="text-[0.8125rem] text-ink-2">{label}</dt>
      <dd
        className={cx(
          "num mt-0.5 font-semibold tracking-tight text-ink",
          isWords ? "text-[0.9375rem] leading-7 sm:text-lg [&_time]:whitespace-normal" : "text-xl",
        )}
      >
        {value}
      </dd>
      {hint !== undefined ? <dd className="text-xs text-ink-3">{hint}</dd> : null}
    </div>
  );
}

/** A line of notice inside a page. */
export function Notice({
  tone,
  icon,
  children,
  action,
}: {
  tone: "info" | "warn" | "bad" | "good";
  icon?: ReactNode;
  children: ReactNode;
  action?: ReactNode;
}) {
  const tones = {
    info: "text-info-text [--tint:var(--info-soft)]",
    warn: "text-warn-text [--tint:var(--warn-soft)]",
    bad: "text-bad-text [--tint:var(--bad-soft)]",
    good: "text-good-text [--tint:var(--good-soft)]",
  } as const;
  return (
    <div
      className={cx(
        "tinted flex flex-wrap items-center gap-x-3 gap-y-2 rounded-xl px-4 py-3 text-sm font-medium",
        tones[tone],
      )}
    >
      {icon}
      <div className="min-w-0 flex-1">{children}</div>
      {action}
    </div>
  );
}
