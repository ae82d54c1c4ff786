/** Campaigns: their shape, what can be asked, what can be done. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { instant, maybeInstant, nextCursor, pageOf } from "@/api/fields";
import { API, get, patch, post, remove } from "@/api/http";
import { pollSlowlyUnless, pollWhile } from "@/lib/poll";

export const STATUSES = ["draft", "scheduled", "sending", "paused", "sent", "cancelled", "failed"] as const;
export type CampaignStatus = (typeof STATUSES)[number];

const count = z
  .number()
  .nullish()
  .transform((n) => n ?? 0);
export const countsSchema = z.object({
  total: count,
  queued: count,
  sending: count,
  sent: count,
  failed: count,
  uncertain: count,
  suppressed: count,
  cancelled: count,
  expired: count,
});
export type Counts = z.infer<typeof countsSchema>;

export const ACTIONS = [
  "edit",
  "delete",
  "test",
  "launch",
  "unschedule",
  "pause",
  "resume",
  "cancel",
  "retry_failed",
  "settle_uncertain",
  "duplicate",
] as const;
export type CampaignAction = (typeof ACTIONS)[number];

const ofAnyKind = {
  label: z.string().default(""),
  /** The merge tags that these contacts have values for, beside `email`; null while nobody knows. */
  columns: z
    .array(z.string())
    .nullish()
    .transform((columns) => columns ?? null),
};
const audienceSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("import"), import_id: z.string(), ...ofAnyKind }),
  z.object({ kind: z.literal("lists"), list_ids: z.array(z.string()), ...ofAnyKind }),
  z.object({
    kind: z.literal("contacts"),
    contact_count: z
      .number()
      .nullish()
      .transform((n) => n ?? 0),
    ...ofAnyKind,
  }),
]);
export type Audience = z.infer<typeof audienceSchema>;

export const campaignSchema = z.object({
  id: z.string(),
  name: z.string(),
  subject: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
  status: z.enum(STATUSES),
  scheduled_at: maybeInstant,
  started_at: maybeInstant,
  paused_at: maybeInstant,
  finished_at: maybeInstant,
  created_at: instant,
  updated_at: instant,
  counts: countsSchema,
  excluded_duplicates: count,
  recipients_estimate: z
    .number()
    .nullish()
    .transform((n) => n ?? null),
  allowed_actions: z.array(z.string()),
  blocked_actions: z.record(z.string(), z.string()),
  scheduled_at_was_past: z
    .boolean()
    .nullish()
    .transform((was) => was ?? false),
  message_count: z
    .number()
    .nullish()
    .transform((n) => n ?? null),
  error: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  preview_text: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
  html: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  text: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  sender_id: z
    .string()
    .nullish()
    .transform((id) => id ?? null),
  audience: audienceSchema.nullish().transform((audience) => audience ?? null),
  pacing: z.enum(["burst", "smooth"]).default("burst"),
  uncertain_policy: z.enum(["hold", "resend"]).default("hold"),
  limit: z
    .object({ limit: z.number(), window_s: z.number() })
    .nullish()
    .transform((limit) => limit ?? null),
});
export type Campaign = z.infer<typeof campaignSchema>;

/** Why an action is off, or null when it may be done. The server decides; this only reads what it said. */
export function blockedReason(campaign: Campaign, action: CampaignAction): string | null {
  if (campaign.allowed_actions.includes(action)) return null;
  return campaign.blocked_actions[action] ?? "This cannot be done now.";
}

export type AudienceInput =
  | { import_id: string }
  | { list_ids: string[] }
  | { contacts: Array<{ email: string } & Record<string, string>> };

export type CampaignInput = {
  name?: string;
  subject?: string;
  preview_text?: string;
  html?: string | null;
  text?: string | null;
  sender_id?: string | null;
  audience?: AudienceInput | null;
  pacing?: "burst" | "smooth";
  uncertain_policy?: "hold" | "resend";
  limit?: { limit: number; window_s: number } | null;
};

const base = `${API}/campaigns`;

/** What a list can be ordered by; with "-", the last first. */
export const CAMPAIGN_SORTS = ["-created", "created", "-scheduled", "scheduled", "-updated", "name", "-name"] as const;
export type CampaignSort = (typeof CAMPAIGN_SORTS)[number];

export type CampaignFilter = {
  status?: CampaignStatus | undefined;
  q?: string | undefined;
  sort?: CampaignSort | undefined;
};

export function isMoving(status: CampaignStatus): boolean {
  return status === "sending";
}

/** Sending, or about to begin by itself. */
export function mayMove(status: CampaignStatus): boolean {
  return status === "sending" || status === "scheduled";
}

/** Its counts may still change: also after a pause, and while a cancelled one's messages are taken back. */
export function isUnsettled({ status, sending, queued }: CampaignProgress): boolean {
  return mayMove(status) || sending > 0 || (status === "cancelled" && queued > 0);
}

/** A long list is not fetched again page by page each second: only the first page is live. */
function movesOnFirstPage(pages: Array<{ data: Campaign[] }> | undefined): boolean {
  return pages?.length === 1 && pages.some((page) => page.data.some((each) => isMoving(each.status)));
}

export function campaignsQuery(filter: CampaignFilter) {
  return infiniteQueryOptions({
    queryKey: ["campaigns", "list", filter],
    queryFn: ({ pageParam, signal }) =>
      get(base, pageOf(campaignSchema), { params: { ...filter, limit: 50, cursor: pageParam }, signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: nextCursor,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => pollSlowlyUnless(movesOnFirstPage(state.data?.pages), 10_000),
  });
}

export function campaignQuery(id: string) {
  return queryOptions({
    queryKey: ["campaigns", "one", id],
    queryFn: ({ signal }) => get(`${base}/${id}`, campaignSchema, { signal }),
    refetchInterval: ({ state: { data } }) => pollWhile(data && mayMove(data.status)),
  });
}

export const progressSchema = countsSchema.extend({
  status: z.enum(STATUSES),
  per_second: z
    .number()
    .nullish()
    .transform((rate) => rate ?? 0),
  started_at: maybeInstant,
  finishes_at: maybeInstant,
  resumes_at: maybeInstant,
  lateness_ms: z
    .object({ p50: z.number().nullish(), p99: z.number().nullish(), max: z.number().nullish() })
    .nullish()
    .transform((lateness) => lateness ?? null),
});
export type CampaignProgress = z.infer<typeof progressSchema>;

export function progressQuery(id: string) {
  return queryOptions({
    queryKey: ["campaigns", "progress", id],
    queryFn: ({ signal }) => get(`${base}/${id}/progress`, progressSchema, { signal }),
    refetchInterval: ({ state: { data } }) => pollWhile(data && isUnsettled(data)),
  });
}

export const throughputSchema = z.object({
  step_s: z.number(),
  points: z.array(z.object({ at: instant, sent: z.number(), failed: z.number(), retried: z.number() })),
});
export type Throughput = z.infer<typeof throughputSchema>;

/** The last five minutes second by second while it moves; the whole run when it is over. */
export function throughputQuery(id: string, moves: boolean) {
  const range = moves ? "recent" : "whole";
  return queryOptions({
    queryKey: ["campaigns", "throughput", id, range],
    queryFn: ({ signal }) => get(`${base}/${id}/throughput`, throughputSchema, { params: { range }, signal }),
    refetchInterval: pollWhile(moves),
    placeholderData: keepPreviousData,
  });
}

export const audienceContactSchema = z.object({
  id: z.string(),
  email: z.string(),
  attributes: z.record(z.string(), z.string()).default({}),
});

type AudienceContact = z.infer<typeof audienceContactSchema>;

const AUDIENCE_ROWS = 6;

/**
 * Some of the people in a campaign's audience, to show the message as one of them. A search comes in parts, some of which may
 * be empty.
 */
export function audienceQuery(id: string, q: string, version: string) {
  return queryOptions({
    queryKey: ["campaigns", "audience", id, q, version],
    queryFn: async ({ signal }) => {
      const found: AudienceContact[] = [];
      let cursor: string | undefined;
      do {
        const params = { q, limit: AUDIENCE_ROWS, cursor };
        const page = await get(`${base}/${id}/audience`, pageOf(audienceContactSchema), { params, signal });
        found.push(...page.data);
        cursor = page.next_cursor ?? undefined;
      } while (found.length < AUDIENCE_ROWS && cursor !== undefined);
      return found.slice(0, AUDIENCE_ROWS);
    },
    placeholderData: keepPreviousData,
  });
}

export const previewSchema = z.object({
  subject: z.string(),
  html: z
    .string()
    .nullish()
    .transform((html) => html ?? null),
  text: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  to: z
    .string()
    .nullish()
    .transform((to) => to ?? null),
  warnings: z.array(z.object({ code: z.string(), message: z.string() })),
});
export type Preview = z.infer<typeof previewSchema>;

export function previewQuery(id: string, contactId: string | undefined, version: string) {
  return queryOptions({
    queryKey: ["campaigns", "preview", id, contactId ?? "", version],
    queryFn: () => post(`${base}/${id}/preview`, previewSchema, contactId ? { contact_id: contactId } : {}),
    placeholderData: keepPreviousData,
    staleTime: 0,
  });
}

export const forecastSchema = z.object({
  recipients: z.number(),
  excluded: z.object({ duplicates: count, suppressed: count, invalid: count }),
  starts_at: maybeInstant,
  finishes_at: maybeInstant,
  binding_limit: z
    .object({ scope: z.string(), limit: z.number(), window_s: z.number() })
    .nullish()
    .transform((limit) => limit ?? null),
  per_hour: z
    .number()
    .nullish()
    .transform((rate) => rate ?? null),
  /** What in the content would make the launch be refused. */
  faults: z.array(z.object({ pointer: z.string(), detail: z.string(), code: z.string() })).default([]),
});
export type Forecast = z.infer<typeof forecastSchema>;

export function forecastQuery(id: string, scheduledAt: Date | null, version: string) {
  const at = scheduledAt?.toISOString() ?? null;
  return queryOptions({
    queryKey: ["campaigns", "forecast", id, at, version],
    queryFn: () => post(`${base}/${id}/forecast`, forecastSchema, at ? { scheduled_at: at } : {}),
    placeholderData: keepPreviousData,
    staleTime: 0,
  });
}

export function createCampaign(input: CampaignInput & { name: string }) {
  return post(base, campaignSchema, input);
}

export function updateCampaign(id: string, input: CampaignInput) {
  return patch(`${base}/${id}`, campaignSchema, input);
}

export function deleteCampaign(id: string) {
  return remove(`${base}/${id}`);
}

export function launchCampaign(id: string, scheduledAt: Date | null) {
  return post(`${base}/${id}/launch`, campaignSchema, scheduledAt ? { scheduled_at: scheduledAt.toISOString() } : {});
}

/** Acts that carry nothing but their name. */
export function actOnCampaign(
  id: string,
  act: "pause" | "resume" | "cancel" | "duplicate" | "unschedule" | "retry-failed",
) {
  return post(`${base}/${id}/${act}`, campaignSchema, {});
}

export function settleUncertain(id: string, action: "resend" | "accept") {
  return post(`${base}/${id}/uncertain`, campaignSchema, { action });
}

export function sendTest(id: string, to: string) {
  return post(`${base}/${id}/test`, z.unknown(), { to });
}
