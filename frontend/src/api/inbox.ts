/** The sandbox's mailbox: what would have reached people. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { instant, nextCursor, pageOf } from "@/api/fields";
import { API, get } from "@/api/http";

export const inboxRowSchema = z.object({
  id: z.string(),
  subject: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
  mail_from: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
  to: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
  size_bytes: z
    .number()
    .nullish()
    .transform((size) => size ?? 0),
  message_id: z
    .string()
    .nullish()
    .transform((id) => id ?? null),
  received_at: instant,
});
export type InboxRow = z.infer<typeof inboxRowSchema>;

export const inboxMailSchema = inboxRowSchema.extend({
  html: z
    .string()
    .nullish()
    .transform((html) => html ?? null),
  text: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  from: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
  header_to: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
  headers: z.array(z.object({ name: z.string(), value: z.string() })),
});
export type InboxMail = z.infer<typeof inboxMailSchema>;

export function inboxQuery(q: string) {
  return infiniteQueryOptions({
    queryKey: ["inbox", "list", q],
    queryFn: ({ pageParam, signal }) =>
      get(`${API}/inbox`, pageOf(inboxRowSchema), { params: { q, limit: 100, cursor: pageParam }, signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: nextCursor,
    placeholderData: keepPreviousData,
    refetchInterval: (query) => (query.state.data === undefined || query.state.data.pages.length === 1 ? 3000 : false),
  });
}

export function inboxMailQuery(id: string) {
  return queryOptions({
    queryKey: ["inbox", "one", id],
    queryFn: ({ signal }) => get(`${API}/inbox/${id}`, inboxMailSchema, { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** The mail as it came over the wire. */
export async function fetchRawMail(id: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(`${API}/inbox/${id}/raw`, { credentials: "same-origin", signal });
  if (!response.ok) throw new Error(`The source could not be fetched (${response.status}).`);
  return response.text();
}
