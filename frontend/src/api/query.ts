/** What all queries share: when they retry, and what ends a session. */
import { QueryClient, type QueryClientConfig } from "@tanstack/react-query";
import { ApiError, ConnectionError } from "@/api/http";

type QueryClientHooks = { onSessionEnd: () => void };

/** A client whose queries retry a lost connection but never an answer, and that tells when the session has ended. */
export function newQueryClient(
  { onSessionEnd }: QueryClientHooks,
  defaults: QueryClientConfig["defaultOptions"] = {},
): QueryClient {
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 2000,
        retry: (failures, error) => error instanceof ConnectionError && failures < 2,
        retryDelay: (failures) => 700 * (failures + 1),
        refetchOnWindowFocus: true,
        networkMode: "always",
        ...defaults.queries,
      },
      mutations: { networkMode: "always", ...defaults.mutations },
    },
  });
  const watch = (error: unknown) => {
    if (error instanceof ApiError && error.status === 401) onSessionEnd();
  };
  client.getQueryCache().config.onError = watch;
  client.getMutationCache().config.onError = watch;
  return client;
}
