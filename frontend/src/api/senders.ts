/** Senders: the From identities. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { pageOf } from "@/api/fields";
import { API, get, patch, post, remove } from "@/api/http";

export const senderSchema = z.object({
  id: z.string(),
  name: z
    .string()
    .nullish()
    .transform((name) => name ?? ""),
  email: z.string(),
  reply_to: z
    .string()
    .nullish()
    .transform((email) => email ?? null),
  relay_id: z
    .string()
    .nullish()
    .transform((id) => id ?? null),
  is_default: z
    .boolean()
    .nullish()
    .transform((is) => is ?? false),
});
export type Sender = z.infer<typeof senderSchema>;
export type SenderInput = {
  name?: string;
  email?: string;
  reply_to?: string | null;
  relay_id?: string | null;
  is_default?: boolean;
};

export const sendersQuery = queryOptions({
  queryKey: ["senders"],
  queryFn: async ({ signal }) =>
    (await get(`${API}/senders`, pageOf(senderSchema), { params: { limit: 200 }, signal })).data,
});

export function createSender(input: SenderInput) {
  return post(`${API}/senders`, senderSchema, input);
}

export function updateSender(id: string, input: SenderInput) {
  return patch(`${API}/senders/${id}`, senderSchema, input);
}

export function deleteSender(id: string) {
  return remove(`${API}/senders/${id}`);
}
