/** Who may use the account. */
import { infiniteQueryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { instant, maybeInstant, nextCursor, pageOf } from "@/api/fields";
import { API, get, patch, post, remove } from "@/api/http";

export const ROLES = ["owner", "member"] as const;
export type Role = (typeof ROLES)[number];

export const memberSchema = z.object({
  id: z.string(),
  email: z
    .string()
    .nullish()
    .transform((email) => email ?? null),
  name: z.string(),
  role: z.enum(ROLES),
  joined_at: instant,
  last_login_at: maybeInstant,
  pending: z.boolean(),
  you: z.boolean(),
});
export type Member = z.infer<typeof memberSchema>;

export const teamQuery = infiniteQueryOptions({
  queryKey: ["team"],
  queryFn: ({ pageParam, signal }) =>
    get(`${API}/team`, pageOf(memberSchema), { params: { limit: 200, cursor: pageParam }, signal }),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: nextCursor,
});

export type MemberInput = { email: string; role: Role };

export function addMember(input: MemberInput) {
  return post(`${API}/team`, memberSchema, input);
}

export function changeRole(id: string, role: Role) {
  return patch(`${API}/team/${id}`, memberSchema, { role });
}

export function removeMember(id: string) {
  return remove(`${API}/team/${id}`);
}
