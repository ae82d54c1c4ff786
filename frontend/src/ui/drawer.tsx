import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { type ReactNode, useRef } from "react";
import { IconButton } from "@/ui/button";

type DrawerProps = { open: boolean; onClose: () => void; title: ReactNode; children: ReactNode };

/** Details of one row, from the right; the list stays where it was. */
export function Drawer({ open, onClose, title, children }: DrawerProps) {
  const popup = useRef<HTMLDivElement>(null);
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="fixed inset-0 z-40 bg-scrim transition-opacity duration-200 data-starting-style:opacity-0 data-ending-style:opacity-0" />
        <Base.Popup
          ref={popup}
          initialFocus={popup}
          className="glass-high fixed inset-y-0 outline-none right-0 z-50 flex w-full flex-col border-y-0 border-r-0 transition duration-250 ease-out data-starting-style:translate-x-8 data-starting-style:opacity-0 data-ending-style:translate-x-8 data-ending-style:opacity-0 sm:max-w-[34rem] sm:rounded-l-3xl"
        >
          <div className="flex items-center justify-between gap-4 border-b border-line-2 px-5 py-4">
            <Base.Title className="min-w-0 truncate text-base font-semibold text-ink">{title}</Base.Title>
            <IconButton
              label="Close"
              icon={<X aria-hidden className="size-4" />}
              onClick={onClose}
              className="shrink-0"
            />
          </div>
          <div className="min-h-0 flex-1 overflow-y-auto px-5 py-5">{children}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
