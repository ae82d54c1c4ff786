import { Tabs as Base } from "@base-ui/react/tabs";
import type { ReactNode } from "react";
import { cx } from "@/lib/cx";
import { activeTabClass, ScrollRow, tabClass } from "@/ui/scroll-row";

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
      <Base.List aria-label={label} render={<ScrollRow />}>
        {tabs.map((tab) => (
          <Base.Tab
            key={tab.value}
            value={tab.value}
            className={(state) => cx(tabClass, state.active && activeTabClass)}
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
