/**
 * A list of any length. Its pages are fetched where somebody looks and forgotten when they are far from the screen, so a
 * million rows weigh no more than a few hundred. What stays is where each page begins: a cursor and a number.
 */
import { hashKey, keepPreviousData, type QueryKey, useQueries, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import type { Page } from "@/api/fields";

export type LongListSource<Row> = {
  queryKey: QueryKey;
  fetchPage: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<Row>>;
  /** Ask for the first page again after so many ms: only what is at the top of a list is live. */
  liveMs?: number | false;
};

/** Where a page begins: the cursor that brings it, and the number of its first row in the whole list. */
type Place = { cursor: string | undefined; at: number };
type Known = { key: string; places: Place[]; end: number | null };

/** Rows that are fetched before they are reached: one page of the longest lists. */
const AHEAD_ROWS = 200;
/** The screen is reported in steps of so many rows: scrolling by one row asks for nothing new. */
const STEP_ROWS = 50;
/** How long a page that nobody looks at is kept, ms. */
const KEPT_MS = 10_000;

const START: Place = { cursor: undefined, at: 0 };

export function useLongList<Row>({ queryKey, fetchPage, liveMs = false }: LongListSource<Row>) {
  const key = hashKey(queryKey);
  const [state, setKnown] = useState<Known>(() => ({ key, places: [START], end: null }));
  const known = state.key === key ? state : { key, places: [START], end: null };
  const [range, setRange] = useState({ first: 0, last: 0 });

  const first = useQuery({
    queryKey: [...queryKey, "page", ""],
    queryFn: ({ signal }) => fetchPage(undefined, signal),
    placeholderData: keepPreviousData,
    refetchInterval: liveMs,
  });
  const from = Math.max(1, pageOf(known.places, range.first - STEP_ROWS));
  const to = pageOf(known.places, range.last + AHEAD_ROWS);
  const wanted = Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);
  const others = useQueries({
    queries: wanted.map((index) => {
      const cursor = known.places[index]?.cursor;
      return {
        queryKey: [...queryKey, "page", cursor ?? ""],
        queryFn: ({ signal }: { signal: AbortSignal }) => fetchPage(cursor, signal),
        gcTime: KEPT_MS,
      };
    }),
  });

  const pages = new Map<number, Page<Row>>();
  if (first.data !== undefined) pages.set(0, first.data);
  for (const [at, query] of others.entries()) {
    if (query.data !== undefined) pages.set(from + at, query.data);
  }
  const isOld = first.isPlaceholderData;
  useEffect(() => {
    if (!isOld) setKnown((before) => learn(before.key === key ? before : { key, places: [START], end: null }, pages));
  });

  const broken = others.find((query) => query.error !== null && query.data === undefined);
  const onRange = useCallback((firstRow: number, lastRow: number) => {
    const next = {
      first: Math.floor(firstRow / STEP_ROWS) * STEP_ROWS,
      last: Math.ceil(lastRow / STEP_ROWS) * STEP_ROWS,
    };
    setRange((before) => (before.first === next.first && before.last === next.last ? before : next));
  }, []);
  const count = Math.max(known.end ?? known.places.at(-1)?.at ?? 0, first.data?.data.length ?? 0);
  const isComplete = known.end !== null;
  return {
    /** The query of the first page: it is what a page's four states are about. */
    first,
    isEmpty: count === 0 && isComplete,
    rows: {
      count,
      isComplete,
      /** These are the rows of the search before, until the new ones come. */
      isOld,
      at: (row: number): Row | undefined => {
        const index = pageOf(known.places, row);
        // The place after the last known page begins where that page ends: its rows are not there yet.
        return pages.get(index)?.data[row - (known.places[index]?.at ?? 0)];
      },
      onRange,
      failure: broken ? { reason: broken.error?.message ?? "", retry: () => void broken.refetch() } : null,
    },
  };
}

/** The number of the page that holds a row: the last one that begins at or before it. */
function pageOf(places: ReadonlyArray<Place>, row: number): number {
  let low = 0;
  let high = places.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((places[middle]?.at ?? 0) <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** What the pages that are here tell about where the next ones begin, and where the list ends. */
function learn<Row>(known: Known, pages: ReadonlyMap<number, Page<Row>>): Known {
  let { places, end } = known;
  for (const [index, page] of [...pages].sort(([a], [b]) => a - b)) {
    const place = places[index];
    if (place === undefined) continue;
    const next = { cursor: page.next_cursor ?? undefined, at: place.at + page.data.length };
    if (page.next_cursor === null) {
      // The list ends here, whatever was known of it before.
      if (places.length > index + 1) places = places.slice(0, index + 1);
      end = next.at;
      continue;
    }
    const before = places[index + 1];
    if (before?.cursor === next.cursor && before?.at === next.at) continue;
    // Pages further down begin where they began: they move by the rows that came or went above them.
    const shift = before === undefined ? 0 : next.at - before.at;
    const rest = places.slice(index + 2).map((each) => ({ ...each, at: each.at + shift }));
    places = [...places.slice(0, index + 1), next, ...rest];
    end = before === undefined || end === null ? null : end + shift;
  }
  return places === known.places && end === known.end ? known : { key: known.key, places, end };
}
