/** API keys. The secret is in the answer of its making, once. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { instant, maybeInstant, pageOf } from "@/api/fields";
import { API, get, post, remove } from "@/api/http";

export const SCOPES = ["read", "send", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

export const keySchema = z.object({
  id: z.string(),
  name: z.string(),
  prefix: z
    .string()
    .nullish()
    .transform((prefix) => prefix ?? null),
  scopes: z.array(z.string()),
  created_at: instant,
  last_used_at: maybeInstant,
  expires_at: maybeInstant,
});
export type ApiKey = z.infer<typeof keySchema>;

export const newKeySchema = keySchema.extend({ secret: z.string().nullable() });
export type NewApiKey = z.infer<typeof newKeySchema>;

export const apiKeysQuery = queryOptions({
  queryKey: ["api-keys"],
  queryFn: async ({ signal }) =>
    (await get(`${API}/api-keys`, pageOf(keySchema), { params: { limit: 200 }, signal })).data,
});

export function createApiKey(input: { name: string; scopes: Scope[] }) {
  return post(`${API}/api-keys`, newKeySchema, input);
}

export function revokeApiKey(id: string) {
  return remove(`${API}/api-keys/${id}`);
}
