/** Relays: the SMTP servers that mail is handed to. Their passwords go in and never come out. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { maybeInstant, pageOf } from "@/api/fields";
import { API, get, patch, post, remove } from "@/api/http";

export const relaySchema = z.object({
  id: z.string(),
  name: z.string(),
  host: z.string(),
  port: z.number(),
  tls: z.string(),
  username: z
    .string()
    .nullish()
    .transform((name) => name ?? null),
  has_password: z
    .boolean()
    .nullish()
    .transform((has) => has ?? false),
  paused_at: maybeInstant,
  pause_reason: z
    .string()
    .nullish()
    .transform((reason) => reason ?? null),
  is_default: z
    .boolean()
    .nullish()
    .transform((is) => is ?? false),
});
export type Relay = z.infer<typeof relaySchema>;

export type RelayInput = {
  name: string;
  host: string;
  port: number;
  tls: string;
  username?: string | null;
  password?: string;
  is_default?: boolean;
};

export const relaysQuery = queryOptions({
  queryKey: ["relays"],
  queryFn: async ({ signal }) =>
    (await get(`${API}/relays`, pageOf(relaySchema), { params: { limit: 200 }, signal })).data,
});

export function createRelay(input: RelayInput) {
  return post(`${API}/relays`, relaySchema, input);
}

export function updateRelay(id: string, input: Partial<RelayInput>) {
  return patch(`${API}/relays/${id}`, relaySchema, input);
}

export function deleteRelay(id: string) {
  return remove(`${API}/relays/${id}`);
}

export const relayTestSchema = z.object({
  ok: z.boolean(),
  step: z.enum(["resolve", "connect", "tls", "login", "done"]),
  detail: z.string(),
  reply: z
    .string()
    .nullish()
    .transform((reply) => reply ?? null),
  tls_version: z
    .string()
    .nullish()
    .transform((version) => version ?? null),
  extensions: z.array(z.string()),
  duration_ms: z.number(),
});
export type RelayTest = z.infer<typeof relayTestSchema>;

/** Connect, greet, encrypt, sign in, leave: nothing is sent. */
export function testRelay(id: string) {
  return post(`${API}/relays/${id}/test`, relayTestSchema, {});
}
