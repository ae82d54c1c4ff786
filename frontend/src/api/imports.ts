/** Imports: a file goes up, its columns are mapped, the server reads it. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import * as z from "zod";
import { instant, maybeInstant, nextCursor, pageOf } from "@/api/fields";
import { API, ConnectionError, get, parse, post, remove, toError, withParams } from "@/api/http";
import { reportConnection } from "@/lib/connection";
import { pollSlowlyUnless, pollWhile } from "@/lib/poll";

const rows = z
  .number()
  .nullish()
  .transform((n) => n ?? 0);

export const importSchema = z.object({
  id: z.string(),
  filename: z
    .string()
    .nullish()
    .transform((name) => name ?? ""),
  status: z.enum(["uploading", "awaiting_mapping", "importing", "done", "failed"]),
  size_bytes: z
    .number()
    .nullish()
    .transform((size) => size ?? null),
  encoding: z.string().nullish(),
  delimiter: z.string().nullish(),
  columns: z
    .array(z.string())
    .nullish()
    .transform((columns) => columns ?? []),
  sample_rows: z
    .array(
      z.array(
        z
          .string()
          .nullish()
          .transform((cell) => cell ?? ""),
      ),
    )
    .nullish()
    .transform((cells) => cells ?? []),
  suggested_mapping: z
    .record(z.string(), z.string())
    .nullish()
    .transform((mapping) => mapping ?? null),
  mapping: z
    .record(z.string(), z.string())
    .nullish()
    .transform((mapping) => mapping ?? null),
  list_id: z
    .string()
    .nullish()
    .transform((id) => id ?? null),
  rows_total: z
    .number()
    .nullish()
    .transform((total) => total ?? null),
  rows_read: rows,
  contacts_created: rows,
  contacts_updated: rows,
  rows_unchanged: rows,
  rows_duplicate: rows,
  notes: z.array(z.string()).default([]),
  rows_rejected: rows,
  error: z
    .string()
    .nullish()
    .transform((text) => text ?? null),
  created_at: instant,
  finished_at: maybeInstant,
});
export type ImportJob = z.infer<typeof importSchema>;

export function importsQuery() {
  return infiniteQueryOptions({
    queryKey: ["imports", "list"],
    queryFn: ({ pageParam, signal }) =>
      get(`${API}/imports`, pageOf(importSchema), { params: { limit: 50, cursor: pageParam }, signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: nextCursor,
    refetchInterval: ({ state }) =>
      pollSlowlyUnless(
        state.data?.pages.some((page) => page.data.some((each) => each.status === "importing")),
        10_000,
      ),
  });
}

export function importQuery(id: string) {
  return queryOptions({
    queryKey: ["imports", "one", id],
    queryFn: ({ signal }) => get(`${API}/imports/${id}`, importSchema, { signal }),
    refetchInterval: ({ state }) => pollWhile(state.data?.status === "importing"),
  });
}

export type StartImport = { mapping: Record<string, string>; list_id?: string; on_conflict: "update" | "skip" };

export function startImport(id: string, input: StartImport) {
  return post(`${API}/imports/${id}/start`, importSchema, input);
}

export function deleteImport(id: string) {
  return remove(`${API}/imports/${id}`);
}

/**
 * Send a file with its progress. XMLHttpRequest, because fetch cannot tell how much has gone up; the browser reads the
 * file from the disk in pieces, so its size does not matter to the page.
 */
export function uploadImport(file: File, onProgress: (share: number) => void, signal: AbortSignal): Promise<ImportJob> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const url = withParams(`${API}/imports`, { filename: file.name });
    request.open("POST", url);
    request.setRequestHeader("Content-Type", "text/csv");
    request.setRequestHeader("Accept", "application/json");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      try {
        reportConnection(false);
        const body: unknown = request.responseText ? JSON.parse(request.responseText) : undefined;
        if (request.status >= 400) reject(toError(request.status, body));
        else resolve(parse(importSchema, body, url));
      } catch (error) {
        reject(error instanceof SyntaxError ? toError(request.status, undefined) : error);
      }
    };
    request.onerror = () => reject(new ConnectionError());
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}
