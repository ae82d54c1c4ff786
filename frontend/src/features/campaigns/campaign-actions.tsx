import { useNavigate } from "@tanstack/react-router";
import { Ban, Copy, Ellipsis, Pause, Pencil, Play, Trash2, Undo2 } from "lucide-react";
import { useState } from "react";
import { actOnCampaign, blockedReason, type Campaign, deleteCampaign } from "@/api/campaigns";
import { useCampaignAct } from "@/features/campaigns/use-campaign-act";
import { Button } from "@/ui/button";
import { ConfirmDialog } from "@/ui/dialog";
import { Menu } from "@/ui/menu";
import { toast } from "@/ui/toast";

/** The head's buttons: pause or resume first, the rest in a menu. Each that is off says why. */
export function CampaignActions({ campaign }: { campaign: Campaign }) {
  const [question, setQuestion] = useState<"cancel" | "delete" | null>(null);
  const navigate = useNavigate();
  const act = useCampaignAct((name: "pause" | "resume" | "cancel") => actOnCampaign(campaign.id, name));
  const compose = (id: string) => void navigate({ to: "/campaigns/$id/compose", params: { id }, search: {} });
  const unschedule = useCampaignAct(
    () => actOnCampaign(campaign.id, "unschedule"),
    () => {
      toast.success("Taken back: it is a draft again.");
      compose(campaign.id);
    },
  );
  const duplicate = useCampaignAct(
    () => actOnCampaign(campaign.id, "duplicate"),
    (copy) => compose(copy.id),
  );
  const drop = useCampaignAct(
    () => deleteCampaign(campaign.id),
    () => void navigate({ to: "/campaigns", search: {} }),
  );
  const why = (action: Parameters<typeof blockedReason>[1]) => blockedReason(campaign, action);
  const isPaused = campaign.status === "paused";
  return (
    <>
      {campaign.status === "draft" ? (
        <Button variant="primary" icon={<Pencil aria-hidden className="size-4" />} onClick={() => compose(campaign.id)}>
          Compose
        </Button>
      ) : isPaused ? (
        <Button
          variant="primary"
          icon={<Play aria-hidden className="size-4" />}
          busy={act.isPending}
          disabledReason={why("resume")}
          onClick={() => act.mutate("resume")}
        >
          Resume
        </Button>
      ) : (
        <Button
          icon={<Pause aria-hidden className="size-4" />}
          busy={act.isPending}
          disabledReason={why("pause")}
          onClick={() => act.mutate("pause")}
        >
          Pause
        </Button>
      )}
      <Menu
        trigger={
          <Button
            size="icon"
            className="!size-10"
            aria-label="More actions"
            icon={<Ellipsis aria-hidden className="size-4" />}
          />
        }
        items={[
          {
            label: "Back to draft",
            icon: <Undo2 aria-hidden />,
            disabledReason: why("unschedule"),
            onSelect: () => unschedule.mutate(undefined),
          },
          {
            label: "Duplicate",
            icon: <Copy aria-hidden />,
            disabledReason: why("duplicate"),
            onSelect: () => duplicate.mutate(undefined),
          },
          {
            label: "Cancel the campaign",
            icon: <Ban aria-hidden />,
            danger: true,
            disabledReason: why("cancel"),
            onSelect: () => setQuestion("cancel"),
          },
          {
            label: "Delete the draft",
            icon: <Trash2 aria-hidden />,
            danger: true,
            disabledReason: why("delete"),
            onSelect: () => setQuestion("delete"),
          },
        ]}
      />
      <ConfirmDialog
        open={question === "cancel"}
        onClose={() => setQuestion(null)}
        title="Cancel this campaign?"
        confirm="Cancel the campaign"
        onConfirm={() => act.mutateAsync("cancel")}
      >
        What was sent stays sent. The messages that still wait will never go out. This cannot be undone.
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
