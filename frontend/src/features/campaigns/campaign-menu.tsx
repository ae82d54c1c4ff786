import { useNavigate } from "@tanstack/react-router";
import { Ban, Copy, Ellipsis, Pause, Play, Trash2, Undo2 } from "lucide-react";
import { useState } from "react";
import { actOnCampaign, blockedReason, type Campaign, deleteCampaign } from "@/api/campaigns";
import { useCampaignAct } from "@/features/campaigns/use-campaign-act";
import { Button } from "@/ui/button";
import { ConfirmDialog } from "@/ui/dialog";
import { Menu } from "@/ui/menu";
import { toast } from "@/ui/toast";

type Question = "cancel" | "delete" | null;

/** What can be done to a campaign from a row: all of it, each with the reason when it cannot. */
export function CampaignMenu({ campaign }: { campaign: Campaign }) {
  const [question, setQuestion] = useState<Question>(null);
  const navigate = useNavigate();
  const act = useCampaignAct((name: Parameters<typeof actOnCampaign>[1]) => actOnCampaign(campaign.id, name));
  const duplicate = useCampaignAct(
    () => actOnCampaign(campaign.id, "duplicate"),
    (copy) => void navigate({ to: "/campaigns/$id/compose", params: { id: copy.id }, search: {} }),
  );
  const drop = useCampaignAct(
    () => deleteCampaign(campaign.id),
    () => toast.success("The draft was deleted."),
  );
  const why = (action: Parameters<typeof blockedReason>[1]) => blockedReason(campaign, action);
  return (
    <>
      <Menu
        trigger={
          <Button
            variant="ghost"
            size="icon"
            aria-label={`Actions for ${campaign.name}`}
            icon={<Ellipsis aria-hidden className="size-4" />}
          />
        }
        items={[
          {
            label: "Pause",
            icon: <Pause aria-hidden />,
            disabledReason: why("pause"),
            onSelect: () => act.mutate("pause"),
          },
          {
            label: "Resume",
            icon: <Play aria-hidden />,
            disabledReason: why("resume"),
            onSelect: () => act.mutate("resume"),
          },
          {
            label: "Back to draft",
            icon: <Undo2 aria-hidden />,
            disabledReason: why("unschedule"),
            onSelect: () => act.mutate("unschedule"),
          },
          {
            label: "Duplicate",
            icon: <Copy aria-hidden />,
            disabledReason: why("duplicate"),
            onSelect: () => duplicate.mutate(undefined),
          },
          {
            label: "Cancel",
            icon: <Ban aria-hidden />,
            danger: true,
            disabledReason: why("cancel"),
            onSelect: () => setQuestion("cancel"),
          },
          {
            label: "Delete",
            icon: <Trash2 aria-hidden />,
            danger: true,
            disabledReason: why("delete"),
            onSelect: () => setQuestion("delete"),
          },
        ].filter((item) => item.disabledReason === null)}
      />
      <ConfirmDialog
        open={question === "cancel"}
        onClose={() => setQuestion(null)}
        title="Cancel this campaign?"
        confirm="Cancel the campaign"
        onConfirm={() => act.mutateAsync("cancel")}
      >
        What was sent stays sent. The messages that still wait will never go out.
      </ConfirmDialog>
      <ConfirmDialog
        open={question === "delete"}
        onClose={() => setQuestion(null)}
        title="Delete this draft?"
        confirm="Delete the draft"
        onConfirm={() => drop.mutateAsync(undefined)}
      >
        “{campaign.name}” and its content will be gone. Contacts stay.
      </ConfirmDialog>
    </>
  );
}
