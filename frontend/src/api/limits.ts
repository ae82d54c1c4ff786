/** Limits: N messages in any window of W seconds. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { maybeInstant } from "@/api/fields";
import { API, get, patch } from "@/api/http";

export const limitSchema = z.object({
  id: z.string(),
  scope: z.string(),
  campaign_id: z
    .string()
    .nullish()
    .transform((id) => id ?? null),
  campaign_name: z
    .string()
    .nullish()
    .transform((name) => name ?? null),
  limit: z.number(),
  window_s: z.number(),
  used: z
    .number()
    .nullish()
    .transform((used) => used ?? null),
  next_free_at: maybeInstant,
  resumes_at: maybeInstant,
});
export type Limit = z.infer<typeof limitSchema>;

export const listSchema = z.object({ data: z.array(limitSchema) });

export const limitsQuery = queryOptions({
  queryKey: ["limits"],
  queryFn: async ({ signal }) => (await get(`${API}/limits`, listSchema, { signal })).data,
  refetchInterval: 5000,
});

export function updateLimit(id: string, input: { limit: number; window_s: number }) {
  return patch(`${API}/limits/${id}`, limitSchema, input);
}
