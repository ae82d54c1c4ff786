/** Templates: content to begin a campaign with. */
import { queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { pageOf } from "@/api/fields";
import { API, get, post } from "@/api/http";

const templateSchema = z.object({
  id: z.string(),
  name: z.string(),
  subject: z
    .string()
    .nullish()
    .transform((text) => text ?? ""),
});
export type Template = z.infer<typeof templateSchema>;

export const templateDetailSchema = templateSchema.extend({
  html: z
    .string()
    .nullish()
    .transform((html) => html ?? null),
  text: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
});
export type TemplateDetail = z.infer<typeof templateDetailSchema>;

export const templatesQuery = queryOptions({
  queryKey: ["templates"],
  queryFn: async ({ signal }) =>
    (await get(`${API}/templates`, pageOf(templateSchema), { params: { limit: 100 }, signal })).data,
});

export function fetchTemplate(id: string): Promise<TemplateDetail> {
  return get(`${API}/templates/${id}`, templateDetailSchema);
}

export function createTemplate(input: { name: string; subject: string; html: string | null; text: string | null }) {
  return post(`${API}/templates`, z.unknown(), input);
}
