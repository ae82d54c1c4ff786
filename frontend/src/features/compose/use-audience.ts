/** Choosing a campaign's audience, and what it offers as merge tags. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { type AudienceInput, type Campaign, campaignQuery, updateCampaign } from "@/api/campaigns";
import { describeError } from "@/api/http";
import { importQuery } from "@/api/imports";
import { toast } from "@/ui/toast";

/** Save the audience at once: it is a decision, not typing. */
export function useChooseAudience(campaign: Campaign) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (audience: AudienceInput) => updateCampaign(campaign.id, { audience }),
    onSuccess: (after) => queryClient.setQueryData(campaignQuery(campaign.id).queryKey, after),
    onError: (error) => toast.error(describeError(error)),
  });
}

/** Follow an import that is the audience: when it is over, the campaign is asked for anew, because its numbers changed. */
export function useFollowImport(campaign: Campaign): void {
  const importId = campaign.audience?.kind === "import" ? campaign.audience.import_id : undefined;
  const status = useQuery({ ...importQuery(importId ?? ""), enabled: importId !== undefined }).data?.status;
  const queryClient = useQueryClient();
  const before = useRef(status);
  useEffect(() => {
    const isOver = before.current === "importing" && (status === "done" || status === "failed");
    before.current = status;
    if (isOver) void queryClient.invalidateQueries({ queryKey: ["campaigns"] });
  }, [status, queryClient]);
}

/** The names that merge tags may use, beside `email`; null while nobody knows, because the audience is not chosen or not read yet. */
export function audienceTags(campaign: Campaign): string[] | null {
  return campaign.audience?.columns ?? null;
}
