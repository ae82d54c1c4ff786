/** Addresses that get nothing any more. */
import { infiniteQueryOptions, keepPreviousData } from "@tanstack/react-query";
import * as z from "zod";
import { instant, nextCursor, pageOf } from "@/api/fields";
import { API, get, post, remove } from "@/api/http";

export const suppressionSchema = z.object({
  id: z.string(),
  email: z.string(),
  reason: z.string(),
  note: z
    .string()
    .nullish()
    .transform((note) => note ?? ""),
  created_at: instant,
});
export type Suppression = z.infer<typeof suppressionSchema>;

export function suppressionsQuery(q: string) {
  return infiniteQueryOptions({
    queryKey: ["suppressions", q],
    queryFn: ({ pageParam, signal }) =>
      get(`${API}/suppressions`, pageOf(suppressionSchema), { params: { q, limit: 200, cursor: pageParam }, signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: nextCursor,
    placeholderData: keepPreviousData,
  });
}

export function createSuppression(input: { email: string; note?: string }) {
  return post(`${API}/suppressions`, z.unknown(), input);
}

export function deleteSuppression(id: string) {
  return remove(`${API}/suppressions/${id}`);
}
