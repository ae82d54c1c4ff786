import { Menu as Base } from "@base-ui/react/menu";
import type { ReactElement, ReactNode } from "react";
import { cx } from "@/lib/cx";

export type MenuItem = {
  label: string;
  /** Where two items may have the same label. */
  id?: string;
  icon?: ReactNode;
  onSelect: () => void;
  /** Why it cannot act now: shown under its label. */
  disabledReason?: string | null | undefined;
  danger?: boolean;
};

export function Menu({ trigger, items }: { trigger: ReactElement; items: ReadonlyArray<MenuItem> }) {
  return (
    <Base.Root>
      <Base.Trigger render={trigger} />
      <Base.Portal>
        <Base.Positioner sideOffset={6} align="end" className="z-[60]">
          <Base.Popup className="glass-high min-w-48 rounded-xl p-1 outline-none">
            {items.map((item) => (
              <Base.Item
                key={item.id ?? item.label}
                disabled={Boolean(item.disabledReason)}
                onClick={item.onSelect}
                className={cx(
                  "flex max-w-72 cursor-default items-start gap-2.5 rounded-lg px-3 py-2 text-sm outline-none pointer-coarse:py-2.5 select-none data-highlighted:bg-accent-soft",
                  item.danger && !item.disabledReason ? "text-bad-text" : "text-ink",
                )}
              >
                <span className="mt-0.5 [&>svg]:size-4">{item.icon}</span>
                <span>
                  {item.label}
                  {item.disabledReason ? <span className="block text-xs text-ink-3">{item.disabledReason}</span> : null}
                </span>
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
