/** Addresses that get nothing any more. */
import * as z from "zod";
import { instant, pageOf } from "@/api/fields";
import { API, get, post, remove } from "@/api/http";
import type { LongListSource } from "@/api/long-list";

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

export function suppressionsSource(q: string): LongListSource<Suppression> {
  return {
    queryKey: ["suppressions", q],
    fetchPage: (cursor, signal) =>
      get(`${API}/suppressions`, pageOf(suppressionSchema), { params: { q, limit: 200, cursor }, signal }),
  };
}

export function createSuppression(input: { email: string; note?: string }) {
  return post(`${API}/suppressions`, z.unknown(), input);
}

export function deleteSuppression(id: string) {
  return remove(`${API}/suppressions/${id}`);
}
