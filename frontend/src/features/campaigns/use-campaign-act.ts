import { useMutation, useQueryClient } from "@tanstack/react-query";
import { describeError } from "@/api/http";
import { toast } from "@/ui/toast";

/** Do something to campaigns, then ask again for everything that shows them. */
export function useCampaignAct<Input, Result>(act: (input: Input) => Promise<Result>, done?: (result: Result) => void) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: (result) => done?.(result),
    onError: (error) => toast.error(describeError(error)),
    onSettled: () =>
      Promise.all([
        queryClient.invalidateQueries({ queryKey: ["campaigns"] }),
        queryClient.invalidateQueries({ queryKey: ["overview"] }),
      ]),
  });
}
