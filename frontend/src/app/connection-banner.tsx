import { useQueryClient } from "@tanstack/react-query";
import { WifiOff } from "lucide-react";
import { useEffect } from "react";
import { reportConnection, useConnectionLost } from "@/lib/connection";

/** Often enough to feel immediate, seldom enough to be kind to a server that is coming up. */
const RETRY_MS = 2000;

/** Shown while the server does not answer. It asks by itself, and refreshes the page's data on return. */
export function ConnectionBanner() {
  const isLost = useConnectionLost();
  const queryClient = useQueryClient();
  useEffect(() => {
    if (!isLost) return;
    const timer = setInterval(async () => {
      try {
        const answer = await fetch("/healthz", { cache: "no-store" });
        if (!answer.ok) return;
        reportConnection(false);
        await queryClient.invalidateQueries();
      } catch {
        // Still away: the next tick asks again.
      }
    }, RETRY_MS);
    return () => clearInterval(timer);
  }, [isLost, queryClient]);
  if (!isLost) return null;
  return (
    <div
      role="status"
      className="sticky top-0 z-30 mb-4 flex items-center justify-center gap-2 rounded-xl tinted px-4 backdrop-blur-xl py-2 text-sm font-medium text-warn-text [--tint:var(--warn-soft)]"
    >
      <WifiOff aria-hidden className="size-4" />
      The connection is lost. Nothing you typed is gone; trying again…
    </div>
  );
}
