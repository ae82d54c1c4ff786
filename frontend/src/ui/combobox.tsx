import { Combobox as Base } from "@base-ui/react/combobox";
import { Check, ChevronsUpDown } from "lucide-react";
import { cx } from "@/lib/cx";
import type { FieldIds } from "@/ui/field";
import type { Option } from "@/ui/select";

type ComboboxProps = {
  value: string;
  options: ReadonlyArray<Option<string>>;
  onChange: (value: string) => void;
  ids?: FieldIds;
  className?: string;
};

/** A select with search, for long tables such as time zones. */
export function Combobox({ value, options, onChange, ids, className }: ComboboxProps) {
  const selected = options.find((option) => option.value === value) ?? null;
  return (
    <Base.Root
      items={options}
      value={selected}
      onValueChange={(next) => next && onChange(next.value)}
      itemToStringLabel={(option) => option.label}
      isItemEqualToValue={(a, b) => a.value === b.value}
      limit={80}
    >
      <div className={cx("control flex items-center pr-2", className)}>
        <Base.Input
          {...ids}
          className="h-full min-h-[2.375rem] w-full min-w-0 bg-transparent px-3 text-sm text-ink outline-none"
        />
        <Base.Trigger
          aria-label="Show the choices"
          className="grid size-7 shrink-0 place-items-center rounded-md text-ink-3 hover:bg-hover pointer-coarse:-mr-2 pointer-coarse:size-10"
        >
          <ChevronsUpDown aria-hidden className="size-4" />
        </Base.Trigger>
      </div>
      <Base.Portal>
        <Base.Positioner sideOffset={6} className="z-[60]">
          <Base.Popup className="glass-high max-h-[min(20rem,var(--available-height))] w-[var(--anchor-width)] overflow-y-auto rounded-xl p-1">
            <Base.Empty className="px-3 py-2 text-sm text-ink-2 empty:hidden">Nothing of that name.</Base.Empty>
            <Base.List>
              {(option: Option<string>) => (
                <Base.Item
                  key={option.value}
                  value={option}
                  className="flex cursor-default items-center gap-2 rounded-lg py-1.5 pr-3 pl-2 text-sm pointer-coarse:py-2.5 text-ink outline-none data-highlighted:bg-accent-soft"
                >
                  <span className="w-4 shrink-0">
                    <Base.ItemIndicator>
                      <Check aria-hidden className="size-4 text-accent-text" />
                    </Base.ItemIndicator>
                  </span>
                  <span className="min-w-0 truncate">{option.label}</span>
                  {option.hint !== undefined ? (
                    <span className="num ml-auto shrink-0 pl-3 text-xs text-ink-3">{option.hint}</span>
                  ) : null}
                </Base.Item>
              )}
            </Base.List>
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
