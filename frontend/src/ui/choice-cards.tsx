import { Radio } from "@base-ui/react/radio";
import { RadioGroup } from "@base-ui/react/radio-group";
import type { ReactNode } from "react";
import { cx } from "@/lib/cx";

export type Choice<Value extends string> = { value: Value; title: string; text?: ReactNode; icon?: ReactNode };

type ChoiceCardsProps<Value extends string> = {
  label: string;
  value: Value;
  choices: ReadonlyArray<Choice<Value>>;
  onChange: (value: Value) => void;
  columns?: 2 | 3;
};

/** A few exclusive choices, each with its sentence. */
export function ChoiceCards<Value extends string>(props: ChoiceCardsProps<Value>) {
  const { label, value, choices, onChange, columns = 2 } = props;
  return (
    <RadioGroup
      aria-label={label}
      value={value}
      onValueChange={(next) => {
        const choice = choices.find((each) => each.value === next);
        if (choice) onChange(choice.value);
      }}
      className={cx("grid gap-3", columns === 3 ? "sm:grid-cols-3" : "sm:grid-cols-2")}
    >
      {choices.map((choice) => (
        <Radio.Root
          key={choice.value}
          value={choice.value}
          render={<div />}
          nativeButton={false}
          className="group flex cursor-pointer items-start gap-3 rounded-xl border border-line-2 bg-glass-1 p-4 text-left transition-colors hover:border-line-3 data-checked:border-accent data-checked:bg-accent-soft"
        >
          <span className="mt-0.5 grid size-[1.125rem] shrink-0 place-items-center rounded-full border border-line-3 bg-glass-2 group-data-checked:border-accent-fill group-data-checked:bg-accent-fill">
            <Radio.Indicator className="size-2 rounded-full bg-white" />
          </span>
          <span className="min-w-0">
            <span className="flex items-center gap-2 text-sm font-semibold text-ink">
              {choice.icon}
              {choice.title}
            </span>
            {choice.text !== undefined ? (
              <span className="mt-0.5 block text-[0.8125rem] leading-snug text-ink-2">{choice.text}</span>
            ) : null}
          </span>
        </Radio.Root>
      ))}
    </RadioGroup>
  );
}
