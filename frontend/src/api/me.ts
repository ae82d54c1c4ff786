/** Who is signed in, and the ways in and out. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { API, forgetAnswers, get, post } from "@/api/http";

export const meSchema = z.object({
  user: z
    .object({ id: z.string(), email: z.string().nullish(), name: z.string().nullish() })
    .nullish()
    .transform((user) => user ?? null),
  account: z.object({ id: z.string(), name: z.string() }),
  /** All accounts that this person is in. */
  accounts: z.array(z.object({ id: z.string(), name: z.string(), current: z.boolean() })).default([]),
  permissions: z.array(z.string()).default([]),
  demo: z.boolean(),
});
export type Me = z.infer<typeof meSchema>;

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: ({ signal }) => get(`${API}/me`, meSchema, { signal }),
  staleTime: 60_000,
});

const optionsSchema = z.object({ demo: z.boolean(), google: z.boolean(), signed_in: z.boolean() });

export const signInOptionsQuery = queryOptions({
  queryKey: ["auth-options"],
  queryFn: ({ signal }) => get("/auth/options", optionsSchema, { signal }),
});

/** Go on in another account that one is in. Everything known belongs to the one before. */
export async function switchAccount(accountId: string) {
  await post(`${API}/me/account`, meSchema, { account_id: accountId });
  forgetAnswers();
}

export function startDemo() {
  return post("/auth/demo", z.unknown());
}

export async function signOut() {
  await post("/auth/logout", z.unknown());
  forgetAnswers();
}
