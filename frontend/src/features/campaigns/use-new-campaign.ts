import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { createCampaign } from "@/api/campaigns";
import { describeError } from "@/api/http";
import { formatWhen } from "@/lib/format";
import { toast } from "@/ui/toast";

/** Make an empty draft on the server and open it: from then on everything typed is kept by itself. */
export function useNewCampaign() {
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: () => createCampaign({ name: `Campaign of ${formatWhen(new Date(), new Date(0))}` }),
    onSuccess: async (campaign) => {
      await queryClient.invalidateQueries({ queryKey: ["campaigns", "list"] });
      await navigate({ to: "/campaigns/$id/compose", params: { id: campaign.id }, search: {} });
    },
    onError: (error) => toast.error(describeError(error)),
  });
}
