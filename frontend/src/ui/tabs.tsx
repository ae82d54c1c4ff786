import { Tabs as Base } from "@base-ui/react/tabs";
import type { ReactNode } from "react";
import { cx } from "@/lib/cx";

export type Tab<Value extends string> = { value: Value; label: string; count?: number | undefined; icon?: ReactNode };

type TabsProps<Value extends string> = {
  label: string;
  value: Value;
  tabs: ReadonlyArray<Tab<Value>>;
  onChange: (value: Value) => void;
  children?: ReactNode;
  className?: string;
};

/** Tabs over one panel. The one panel shows what the chosen tab asks for. */
export function Tabs<Value extends string>({ label, value, tabs, onChange, children, className }: TabsProps<Value>) {
  return (
    <Base.Root value={value} onValueChange={(next: Value) => onChange(next)} className={className}>
      <Base.List
        aria-label={label}
        className="flex w-fit max-w-full gap-1 overflow-x-auto rounded-xl border border-line-2 bg-sunken p-1 [scrollbar-width:none]"
      >
        {tabs.map((tab) => (
          <Base.Tab
            key={tab.value}
            value={tab.value}
            className={cx(
              "flex h-8 shrink-0 items-center gap-1.5 rounded-lg border border-transparent px-3 text-[0.8125rem] font-medium text-ink-2 transition-colors hover:text-ink",
              "data-active:border-line data-active:bg-glass-3 data-active:text-ink data-active:shadow-sm",
            )}
          >
            {tab.icon}
            {tab.label}
            {tab.count !== undefined ? (
              <span className="num text-ink-3">{tab.count.toLocaleString("en-US")}</span>
            ) : null}
          </Base.Tab>
        ))}
      </Base.List>
      {children !== undefined ? (
        <Base.Panel value={value} className="mt-4 rounded-lg focus-visible:outline-offset-4" key={value}>
          {children}
        </Base.Panel>
      ) : null}
    </Base.Root>
  );
}
