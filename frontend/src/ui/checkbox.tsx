import { Checkbox as Base } from "@base-ui/react/checkbox";
import { Check } from "lucide-react";
import type { ReactNode } from "react";

type CheckboxProps = { checked: boolean; onChange: (checked: boolean) => void; children: ReactNode; hint?: ReactNode };

export function Checkbox({ checked, onChange, children, hint }: CheckboxProps) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is Base UI's checkbox inside the label
    <label className="flex cursor-pointer items-start gap-3 text-sm text-ink">
      <Base.Root
        checked={checked}
        onCheckedChange={onChange}
        className="mt-0.5 grid size-5 shrink-0 place-items-center rounded-md border border-line-3 bg-glass-2 data-checked:border-transparent data-checked:bg-accent-fill"
      >
        <Base.Indicator>
          <Check aria-hidden className="size-3.5 text-white" strokeWidth={3} />
        </Base.Indicator>
      </Base.Root>
      <span className="min-w-0">
        {children}
        {hint !== undefined ? <span className="block text-[0.8125rem] text-ink-3">{hint}</span> : null}
      </span>
    </label>
  );
}
