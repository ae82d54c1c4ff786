/** Choosing a campaign's audience, and what it offers as merge tags. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { type AudienceInput, type Campaign, campaignQuery, updateCampaign } from "@/api/campaigns";
import { contactsQuery } from "@/api/contacts";
import { allRows } from "@/api/fields";
import { ApiError, describeError } from "@/api/http";
import { importQuery } from "@/api/imports";
import { readStored, writeStored } from "@/lib/storage";
import { toast } from "@/ui/toast";

const pastedKey = (campaignId: string) => `mailtide-pasted-${campaignId}`;

/** Save the audience at once: it is a decision, not typing. */
export function useChooseAudience(campaign: Campaign) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (audience: AudienceInput) => saveAudience(campaign.id, audience),
    onSuccess: (after, audience) => {
      const columns =
        "contacts" in audience ? [...new Set(audience.contacts.flatMap((contact) => Object.keys(contact)))] : null;
      writeStored(pastedKey(campaign.id), columns?.join(",") ?? null);
      queryClient.setQueryData(campaignQuery(campaign.id).queryKey, after);
    },
    onError: (error) => toast.error(describeError(error)),
  });
}

async function saveAudience(id: string, audience: AudienceInput): Promise<Campaign> {
  try {
    return await updateCampaign(id, { audience });
  } catch (error) {
    // The content uses tags that this audience does not have. The choice stands; the content is kept in the browser and
    // shows what is wrong with it, so nothing is lost and nobody is stuck between the two.
    const isAboutContent =
      error instanceof ApiError &&
      error.faults.length > 0 &&
      error.faults.every(({ pointer }) => /^\/(subject|html|text)/.test(pointer));
    if (!isAboutContent) throw error;
    return updateCampaign(id, { audience, subject: "", html: null, text: null });
  }
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

/** The names that merge tags may use, from what the audience's contacts hold. */
export function useAudienceTags(campaign: Campaign): string[] {
  const { audience } = campaign;
  const importId = audience?.kind === "import" ? audience.import_id : undefined;
  const listId = audience?.kind === "lists" ? audience.list_ids[0] : undefined;
  const job = useQuery({ ...importQuery(importId ?? ""), enabled: importId !== undefined });
  const sample = useInfiniteQuery({ ...contactsQuery({ list_id: listId }), enabled: listId !== undefined });
  switch (audience?.kind) {
    case undefined:
      return [];
    case "import":
      return Object.keys(job.data?.mapping ?? {}).filter((name) => name !== "email");
    case "lists":
      return [...new Set(allRows(sample.data).flatMap((contact) => Object.keys(contact.attributes)))].sort();
    case "contacts":
      return (readStored(pastedKey(campaign.id)) ?? "").split(",").filter((name) => name !== "" && name !== "email");
  }
}
