/** Shapes that several nouns share. */
import * as z from "zod";

/** RFC 3339 → Date, made at this edge and nowhere else. */
export const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
export const maybeInstant = instant.nullish().transform((at) => at ?? null);

export function pageOf<Row extends z.ZodType>(row: Row) {
  return z.object({
    data: z.array(row),
    next_cursor: z
      .string()
      .nullish()
      .transform((cursor) => cursor ?? null),
  });
}

export type Page<Row> = { data: Row[]; next_cursor: string | null };

/** Rows of all pages that were fetched so far. */
export function allRows<Row>(data: { pages: Array<Page<Row>> } | undefined): Row[] {
  return data?.pages.flatMap((page) => page.data) ?? [];
}

/** The options that make any list of the API an endless one. */
export function nextCursor<Row>(last: Page<Row>): string | undefined {
  return last.next_cursor ?? undefined;
}
