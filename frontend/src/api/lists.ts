/** Lists of contacts. */
import { infiniteQueryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { instant, nextCursor, pageOf } from "@/api/fields";
import { API, get, patch, post, remove } from "@/api/http";

export const listSchema = z.object({
  id: z.string(),
  name: z.string(),
  contact_count: z.number(),
  created_at: instant,
});
export type ContactList = z.infer<typeof listSchema>;

export const listsQuery = infiniteQueryOptions({
  queryKey: ["lists"],
  queryFn: ({ pageParam, signal }) =>
    get(`${API}/lists`, pageOf(listSchema), { params: { limit: 200, cursor: pageParam }, signal }),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: nextCursor,
});

export function createList(name: string) {
  return post(`${API}/lists`, listSchema, { name });
}

export function renameList(id: string, name: string) {
  return patch(`${API}/lists/${id}`, listSchema, { name });
}

export function deleteList(id: string) {
  return remove(`${API}/lists/${id}`);
}
