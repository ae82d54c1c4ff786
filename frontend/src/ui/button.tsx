import { LoaderCircle } from "lucide-react";
import { type ComponentPropsWithRef, type MouseEvent, type ReactNode, useId } from "react";
import { cx } from "@/lib/cx";
import { Tooltip } from "@/ui/tooltip";

export type ButtonVariant = "primary" | "secondary" | "ghost" | "danger";

const VARIANTS = {
  primary:
    "bg-accent-fill text-accent-ink border-transparent shadow-[inset_0_1px_0_rgb(255_255_255/0.25),0_8px_20px_-10px_var(--accent)] hover:bg-accent-hover",
  secondary: "bg-glass-2 text-ink border-line-2 hover:border-line-3 hover:bg-glass-3",
  ghost: "text-ink-2 border-transparent hover:bg-hover hover:text-ink",
  danger: "bg-bad-fill text-white border-transparent hover:brightness-110",
} satisfies Record<ButtonVariant, string>;

const SIZES = {
  small: "h-8 px-2.5 text-[0.8125rem] gap-1.5 rounded-lg pointer-coarse:h-10",
  medium: "h-10 px-4 text-sm gap-2 rounded-[0.625rem]",
  icon: "size-9 shrink-0 rounded-[0.625rem] pointer-coarse:size-10",
} as const;

const OFF = "!bg-hover !text-ink-3 !border-line-2 !shadow-none !cursor-not-allowed";

export type ButtonProps = Omit<ComponentPropsWithRef<"button">, "disabled"> & {
  variant?: ButtonVariant;
  size?: keyof typeof SIZES;
  /** Something is under way: shows a spinner and takes no click. */
  busy?: boolean | undefined;
  /** Why it cannot act now. The button stays in the tab order, so that the reason can be found. */
  disabledReason?: string | null | undefined;
  icon?: ReactNode;
};

export function buttonClass(variant: ButtonVariant = "secondary", size: keyof typeof SIZES = "medium"): string {
  return cx(
    "inline-flex items-center justify-center whitespace-nowrap border font-medium select-none transition-colors duration-150",
    VARIANTS[variant],
    SIZES[size],
  );
}

export function Button(props: ButtonProps) {
  const { variant = "secondary", size = "medium", busy, disabledReason, icon, children, className, ...rest } = props;
  const reasonId = useId();
  const isOff = Boolean(disabledReason) || Boolean(busy);
  const button = (
    <button
      type="button"
      {...rest}
      aria-disabled={isOff || undefined}
      aria-busy={busy || undefined}
      aria-describedby={disabledReason ? reasonId : rest["aria-describedby"]}
      onClick={isOff ? stop : rest.onClick}
      className={cx(buttonClass(variant, size), disabledReason && OFF, busy && "cursor-progress", className)}
    >
      {busy ? <LoaderCircle aria-hidden className="size-4 animate-spin" /> : icon}
      {children}
      {disabledReason ? (
        <span id={reasonId} className="sr-only">
          {disabledReason}
        </span>
      ) : null}
    </button>
  );
  return disabledReason ? <Tooltip text={disabledReason}>{button}</Tooltip> : button;
}

function stop(event: MouseEvent): void {
  event.preventDefault();
  event.stopPropagation();
}

/** A button that is only a picture: its label is read aloud and shown on hover. */
export function IconButton({ label, ...props }: Omit<ButtonProps, "size" | "children"> & { label: string }) {
  const button = <Button variant="ghost" {...props} size="icon" aria-label={label} />;
  return props.disabledReason ? button : <Tooltip text={label}>{button}</Tooltip>;
}
