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

export function startDemo() {
  return post("/auth/demo", z.unknown());
}

export async function signOut() {
  await post("/auth/logout", z.unknown());
  forgetAnswers();
}
