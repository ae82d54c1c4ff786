import { Select as Base } from "@base-ui/react/select";
import { Check, ChevronsUpDown } from "lucide-react";
import { cx } from "@/lib/cx";
import type { FieldIds } from "@/ui/field";

export type Option<Value extends string> = { value: Value; label: string; hint?: string };

type SelectProps<Value extends string> = {
  value: Value;
  options: ReadonlyArray<Option<Value>>;
  onChange: (value: Value) => void;
  /** Needed where no Field gives a label. */
  label?: string;
  ids?: FieldIds;
  className?: string;
  size?: "small" | "medium";
};

export function Select<Value extends string>(props: SelectProps<Value>) {
  const { value, options, onChange, label, ids, className, size = "medium" } = props;
  return (
    <Base.Root items={options} value={value} onValueChange={(next) => next !== null && onChange(next)}>
      <Base.Trigger
        {...ids}
        aria-label={label}
        className={cx(
          "control flex items-center justify-between gap-2 px-3 text-left text-sm text-ink",
          size === "small" && "!min-h-9 pointer-coarse:!min-h-10",
          className,
        )}
      >
        <Base.Value className="truncate" />
        <Base.Icon>
          <ChevronsUpDown aria-hidden className="size-4 shrink-0 text-ink-3" />
        </Base.Icon>
      </Base.Trigger>
      <Base.Portal>
        <Base.Positioner sideOffset={6} className="z-[60]" alignItemWithTrigger={false}>
          <Base.Popup className="glass-high max-h-[min(22rem,var(--available-height))] min-w-[var(--anchor-width)] overflow-y-auto rounded-xl p-1">
            {options.map((option) => (
              <Base.Item
                key={option.value}
                value={option.value}
                className="flex cursor-default items-center gap-2 rounded-lg py-2 pr-3 pl-2 text-sm pointer-coarse:py-2.5 text-ink outline-none select-none data-highlighted:bg-accent-soft"
              >
                <span className="w-4">
                  <Base.ItemIndicator>
                    <Check aria-hidden className="size-4 text-accent-text" />
                  </Base.ItemIndicator>
                </span>
                <Base.ItemText>{option.label}</Base.ItemText>
                {option.hint !== undefined ? (
                  <span className="ml-auto pl-4 text-xs text-ink-3">{option.hint}</span>
                ) : null}
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
