import { type ComponentPropsWithRef, type ReactNode, useId } from "react";
import { cx } from "@/lib/cx";

export type FieldIds = { id: string; "aria-describedby": string | undefined; "aria-invalid": true | undefined };

type FieldProps = {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  /** Beside the label, at the right: a counter, a small action. */
  aside?: ReactNode;
  className?: string;
  children: (ids: FieldIds) => ReactNode;
};

/** Label, control, hint and error, tied together for those who listen. */
export function Field({ label, hint, error, aside, className, children }: FieldProps) {
  const id = useId();
  const hintId = `${id}-hint`;
  const errorId = `${id}-error`;
  const described = cx(hint !== undefined && hintId, error !== undefined && errorId);
  return (
    <div className={cx("flex min-w-0 flex-col gap-1.5", className)}>
      <div className="flex items-baseline justify-between gap-3">
        <label htmlFor={id} className="text-sm font-medium text-ink">
          {label}
        </label>
        {aside}
      </div>
      {children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? true : undefined })}
      {hint !== undefined ? (
        <p id={hintId} className="text-[0.8125rem] text-ink-3">
          {hint}
        </p>
      ) : null}
      {error !== undefined ? <FieldError id={errorId}>{error}</FieldError> : null}
    </div>
  );
}

export function FieldError({ id, children }: { id?: string; children: ReactNode }) {
  return (
    <p id={id} role="alert" className="text-[0.8125rem] font-medium text-bad-text">
      {children}
    </p>
  );
}

export function Input({ className, ...props }: ComponentPropsWithRef<"input">) {
  return <input {...props} className={cx("control w-full px-3 text-sm text-ink", className)} />;
}

export function Textarea({ className, ...props }: ComponentPropsWithRef<"textarea">) {
  return <textarea {...props} className={cx("control w-full px-3 py-2 text-sm leading-relaxed text-ink", className)} />;
}

type InputFieldProps = Omit<ComponentPropsWithRef<"input">, "id"> & Omit<FieldProps, "children" | "className">;

/** The usual case: one line of text. */
export function InputField({ label, hint, error, aside, ...input }: InputFieldProps) {
  const about = { label, hint, aside };
  return (
    <Field {...about} error={error}>
      {(ids) => <Input {...input} {...ids} />}
    </Field>
  );
}
