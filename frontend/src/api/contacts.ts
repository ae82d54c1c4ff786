/** Contacts, lists and suppressions. */
import * as z from "zod";
import { instant, pageOf } from "@/api/fields";
import { API, get, patch, post, remove } from "@/api/http";
import type { LongListSource } from "@/api/long-list";

export const contactSchema = z.object({
  id: z.string(),
  email: z.string(),
  attributes: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({}),
  suppressed: z
    .string()
    .nullish()
    .transform((reason) => reason ?? null),
  created_at: instant,
});
export type Contact = z.infer<typeof contactSchema>;

export type ContactFilter = { q?: string | undefined; list_id?: string | undefined };

export function contactsSource(filter: ContactFilter): LongListSource<Contact> {
  return {
    queryKey: ["contacts", "list", filter],
    fetchPage: (cursor, signal) =>
      get(`${API}/contacts`, pageOf(contactSchema), { params: { ...filter, limit: 200, cursor }, signal }),
  };
}

export function createContact(input: { email: string; attributes: Record<string, string> }) {
  return post(`${API}/contacts`, contactSchema, input);
}

export function updateContact(id: string, input: { attributes: Record<string, string | null> }) {
  return patch(`${API}/contacts/${id}`, contactSchema, input);
}

export function deleteContact(id: string) {
  return remove(`${API}/contacts/${id}`);
}
