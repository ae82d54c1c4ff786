import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { type ReactNode, useRef, useState } from "react";
import { cx } from "@/lib/cx";
import { Button, type ButtonVariant, IconButton } from "@/ui/button";

type DialogProps = {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: ReactNode;
  children?: ReactNode;
  footer?: ReactNode;
  wide?: boolean;
};

/** A question or a short form over the page; a sheet from below on a phone. */
export function Dialog({ open, onClose, title, description, children, footer, wide }: DialogProps) {
  const popup = useRef<HTMLDivElement>(null);
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="fixed inset-0 z-40 bg-scrim backdrop-blur-[3px] transition-opacity duration-150 data-starting-style:opacity-0 data-ending-style:opacity-0" />
        <Base.Popup
          ref={popup}
          initialFocus={() => popup.current?.querySelector<HTMLElement>("input, textarea") ?? popup.current ?? true}
          className={cx(
            "glass-high fixed z-50 outline-none flex max-h-[92dvh] flex-col transition duration-200 data-starting-style:opacity-0 data-ending-style:opacity-0",
            "inset-x-0 bottom-0 rounded-t-3xl data-starting-style:translate-y-6",
            "sm:inset-x-auto sm:bottom-auto sm:top-1/2 sm:left-1/2 sm:w-[calc(100vw-3rem)] sm:-translate-x-1/2 sm:-translate-y-1/2 sm:rounded-3xl sm:data-starting-style:scale-[0.98]",
            wide ? "sm:max-w-3xl" : "sm:max-w-lg",
          )}
        >
          <div className="px-6 pt-5 pr-16 pb-3">
            <div className="min-w-0">
              <Base.Title className="text-lg font-semibold tracking-tight text-ink">{title}</Base.Title>
              {description !== undefined ? (
                <Base.Description render={<div />} className="mt-1 text-sm text-ink-2">
                  {description}
                </Base.Description>
              ) : null}
            </div>
          </div>
          {children !== undefined ? <div className="min-h-0 overflow-y-auto px-6 py-2">{children}</div> : null}
          {footer !== undefined ? (
            <div className="flex flex-wrap justify-end gap-2 px-6 pt-4 pb-5">{footer}</div>
          ) : null}
          <IconButton
            label="Close"
            icon={<X aria-hidden className="size-4" />}
            onClick={onClose}
            className="!absolute top-4 right-4"
          />
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

type ConfirmProps = {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  confirm: string;
  variant?: ButtonVariant;
  onConfirm: () => Promise<unknown>;
};

/** Ask before an act that cannot be taken back. Stays open, with the button busy, until the act is done. */
export function ConfirmDialog({
  open,
  onClose,
  title,
  children,
  confirm,
  variant = "danger",
  onConfirm,
}: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  async function act() {
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch {
      // Whoever acts has said what went wrong; the question stays, to be asked again.
    } finally {
      setBusy(false);
    }
  }
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={title}
      description={children}
      footer={
        <>
          <Button onClick={onClose}>Keep as it is</Button>
          <Button variant={variant} busy={busy} onClick={act}>
            {confirm}
          </Button>
        </>
      }
    />
  );
}
