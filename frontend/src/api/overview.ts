/** What moves now, what comes next, and the last day by the hour. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { countsSchema, STATUSES } from "@/api/campaigns";
import { instant, maybeInstant } from "@/api/fields";
import { API, get } from "@/api/http";
import { limitSchema } from "@/api/limits";
import { pollSlowlyUnless } from "@/lib/poll";

export const overviewSchema = z.object({
  sending_now: z.array(
    countsSchema.extend({
      id: z.string(),
      name: z.string(),
      status: z.enum(STATUSES),
      scheduled_at: instant,
      started_at: maybeInstant,
      per_second: z.number(),
      resumes_at: maybeInstant,
    }),
  ),
  next_scheduled: z.array(
    z.object({ id: z.string(), name: z.string(), scheduled_at: instant, recipients: z.number().nullable() }),
  ),
  next_messages: z.object({ scheduled: z.number(), next_at: maybeInstant }),
  last_24_h: z.array(z.object({ hour: instant, sent: z.number(), failed: z.number() })),
  limits: z.array(limitSchema),
});
export type Overview = z.infer<typeof overviewSchema>;

export const overviewQuery = queryOptions({
  queryKey: ["overview"],
  queryFn: ({ signal }) => get(`${API}/overview`, overviewSchema, { signal }),
  refetchInterval: ({ state: { data } }) =>
    pollSlowlyUnless(
      data?.sending_now.some((each) => each.status !== "paused"),
      5000,
    ),
});
