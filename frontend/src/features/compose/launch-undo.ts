import type { QueryClient } from "@tanstack/react-query";
import { actOnCampaign, type Campaign, campaignQuery } from "@/api/campaigns";
import { describeError } from "@/api/http";
import { formatWhen } from "@/lib/format";
import { toast } from "@/ui/toast";

/** Ten seconds is what a person needs to see that it was the wrong one; "Back to draft" stays on the page after that. */
const UNDO_MS = 10_000;

/** Say that it was launched, and offer to take a scheduled one back. */
export function announceLaunch(campaign: Campaign, queryClient: QueryClient, onUndone: () => void): void {
  if (
    !campaign.allowed_actions.includes("unschedule") ||
    campaign.scheduled_at === null ||
    campaign.scheduled_at <= new Date()
  ) {
    toast.success("Launched: the first messages are on their way.");
    return;
  }
  toast.success(`Scheduled for ${formatWhen(campaign.scheduled_at)}.`, {
    duration: UNDO_MS,
    action: {
      label: "Undo",
      onClick: () => {
        void actOnCampaign(campaign.id, "unschedule")
          .then((after) => {
            // At once, so that the compose page sees a draft again.
            queryClient.setQueryData(campaignQuery(campaign.id).queryKey, after);
            toast.success("Taken back: it is a draft again.");
            onUndone();
          })
          .catch((error: unknown) => toast.error(describeError(error)))
          .finally(() => queryClient.invalidateQueries({ queryKey: ["campaigns"] }));
      },
    },
  });
}
