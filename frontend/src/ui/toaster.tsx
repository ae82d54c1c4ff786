import { lazy, Suspense, useSyncExternalStore } from "react";
import { toastDemand } from "@/ui/toast";

const LazyToaster = lazy(async () => ({ default: (await import("sonner")).Toaster }));

/** Where toasts appear: above the bar on a phone, in the corner else. */
export function Toaster() {
  const isWanted = useSyncExternalStore(toastDemand.subscribe, toastDemand.get);
  if (!isWanted) return null;
  return (
    <Suspense>
      <LazyToaster
        position="bottom-right"
        offset={20}
        mobileOffset={{ bottom: 84, left: 12, right: 12 }}
        toastOptions={{
          classNames: {
            toast: "!glass-high !rounded-2xl !text-ink !font-sans !border-line !bg-glass-3",
            description: "!text-ink-2",
            actionButton: "!bg-accent-fill !text-accent-ink !rounded-lg !font-medium",
            closeButton: "!bg-glass-3 !text-ink-2 !border-line-2",
          },
        }}
      />
    </Suspense>
  );
}
