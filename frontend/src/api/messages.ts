/** Messages: one recipient's copy each, of a campaign or from the API. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { instant, maybeInstant, pageOf } from "@/api/fields";
import { API, get, post } from "@/api/http";
import type { LongListSource } from "@/api/long-list";
import { pollWhile } from "@/lib/poll";

export const MESSAGE_STATUSES = [
  "queued",
  "sending",
  "sent",
  "failed",
  "uncertain",
  "suppressed",
  "cancelled",
  "expired",
] as const;
export type MessageStatus = (typeof MESSAGE_STATUSES)[number];

export const messageSchema = z.object({
  id: z.string(),
  status: z.enum([...MESSAGE_STATUSES, "scheduled"]),
  to: z.string(),
  subject: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  campaign_id: z
    .string()
    .nullish()
    .transform((id) => id ?? null),
  scheduled_at: maybeInstant,
  created_at: maybeInstant,
  sent_at: maybeInstant,
  settled_at: maybeInstant,
  attempt_count: z
    .number()
    .nullish()
    .transform((n) => n ?? 0),
  last_reply: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
});
export type Message = z.infer<typeof messageSchema>;

export const messageDetailSchema = messageSchema.extend({
  attempts: z
    .array(
      z.object({
        attempt: z.number(),
        outcome: z.string(),
        reply: z
          .string()
          .nullish()
          .transform((reply) => reply ?? null),
        at: maybeInstant,
      }),
    )
    .default([]),
  waits: z
    .array(
      z.object({
        reason: z.string(),
        started_at: instant,
        ended_at: maybeInstant,
        seconds: z.number(),
      }),
    )
    .default([]),
  explanation: z
    .array(z.string())
    .nullish()
    .transform((lines) => lines ?? []),
  allowed_actions: z.array(z.string()).default([]),
});
export type MessageDetail = z.infer<typeof messageDetailSchema>;

export type MessageFilter = {
  status?: MessageStatus | "scheduled" | undefined;
  campaign_id?: string | undefined;
  q?: string | undefined;
};

export function messagesSource(filter: MessageFilter): LongListSource<Message> {
  return {
    queryKey: ["messages", "list", filter],
    fetchPage: (cursor, signal) =>
      get(`${API}/messages`, pageOf(messageSchema), { params: { ...filter, limit: 100, cursor }, signal }),
  };
}

export function campaignMessagesSource(
  campaignId: string,
  filter: { status?: MessageStatus | undefined; q?: string | undefined },
  moves: boolean,
): LongListSource<Message> {
  return {
    queryKey: ["campaigns", "messages", campaignId, filter],
    fetchPage: (cursor, signal) =>
      get(`${API}/campaigns/${campaignId}/messages`, pageOf(messageSchema), {
        params: { ...filter, limit: 100, cursor },
        signal,
      }),
    // Rows follow the counts more slowly: a page of a hundred is too much to fetch each second.
    liveMs: moves && 3000,
  };
}

export function messageQuery(id: string) {
  return queryOptions({
    queryKey: ["messages", "one", id],
    queryFn: ({ signal }) => get(`${API}/messages/${id}`, messageDetailSchema, { signal }),
    refetchInterval: ({ state: { data } }) => pollWhile(data?.status === "queued" || data?.status === "sending"),
  });
}

export function cancelMessage(id: string) {
  return post(`${API}/messages/${id}/cancel`, z.unknown(), {});
}

export function rescheduleMessage(id: string, scheduledAt: Date) {
  return post(`${API}/messages/${id}/reschedule`, z.unknown(), { scheduled_at: scheduledAt.toISOString() });
}
