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
  /** Ask for the first page again after so many ms, while somebody looks at it: only the top of a list is live. */
  liveMs?: number | false;
};

/**
 * Where a page begins: the cursor that brings it, and the number of its first row in the whole list. Rows that come above
 * change the cursor; `held` is what stood here before, which stays in sight until the new cursor is answered.
 * `isEmpty`: this cursor brought no row, only the cursor of the next page.
 */
type Place<Row> = { cursor: string | undefined; at: number; held?: Page<Row>; isEmpty?: true };
type Known<Row> = { key: string; places: Place<Row>[]; end: number | null };
/** A page that is here, and the cursor that brought it. */
type Answer<Row> = { cursor: string | undefined; page: Page<Row> };

/** Rows that are fetched before they are reached: one page of the longest lists. */
const AHEAD_ROWS = 200;
/**
 * The screen is reported in steps of so many rows: scrolling by one row asks for nothing new. A quarter of the shortest page,
 * so that on most screens whoever is within the first step (where a list is live) is not near the second page.
 */
const STEP_ROWS = 25;
/** How long a page that nobody looks at is kept, ms. */
const KEPT_MS = 10_000;

const START: Place<never> = { cursor: undefined, at: 0 };

export function useLongList<Row>({ queryKey, fetchPage, liveMs = false }: LongListSource<Row>) {
  const key = hashKey(queryKey);
  const [state, setKnown] = useState<Known<Row>>(() => ({ key, places: [START], end: null }));
  const known = state.key === key ? state : { key, places: [START], end: null };
  const [range, setRange] = useState({ first: 0, last: 0 });
  // Each new row at the top changes where the pages below begin: further down the list keeps still.
  const isLive = liveMs !== false && range.first < STEP_ROWS;

  const first = useQuery({
    queryKey: [...queryKey, "page", ""],
    queryFn: ({ signal }) => fetchPage(undefined, signal),
    placeholderData: keepPreviousData,
    refetchInterval: isLive ? liveMs : false,
  });
  const wanted = wantedPages(known.places, {
    first: range.first - STEP_ROWS,
    // Of a live list only the page that is reached is fetched: the next poll may change its cursor, and ask for it once more.
    last: range.last + (isLive ? 1 : AHEAD_ROWS),
  });
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

  const answers = new Map<number, Answer<Row>>();
  if (first.data !== undefined) answers.set(0, { cursor: undefined, page: first.data });
  for (const [at, index] of wanted.entries()) {
    const page = others[at]?.data;
    if (page !== undefined) answers.set(index, { cursor: known.places[index]?.cursor, page });
  }
  const isOld = first.isPlaceholderData;
  useEffect(() => {
    if (!isOld) setKnown((before) => learn(before.key === key ? before : { key, places: [START], end: null }, answers));
  });

  const broken = others.find((query) => query.error !== null && query.data === undefined);
  const onRange = useCallback((firstRow: number, lastRow: number) => {
    const next = {
      first: Math.floor(firstRow / STEP_ROWS) * STEP_ROWS,
      // The last row of its step: the row after it may already be of a page that nobody sees.
      last: (Math.floor(lastRow / STEP_ROWS) + 1) * STEP_ROWS - 1,
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
        const place = known.places[index];
        // The place after the last known page begins where that page ends: its rows are not there yet.
        return (answers.get(index)?.page ?? place?.held)?.data[row - (place?.at ?? 0)];
      },
      onRange,
      failure: broken ? { reason: broken.error?.message ?? "", retry: () => void broken.refetch() } : null,
    },
  };
}

/**
 * The pages after the first that these rows are on. One that is known to be empty stays out, or a search that found little
 * would read all it has looked through again whenever the window comes back. The last one is never known to be: it either
 * carries the search on or ends it.
 */
function wantedPages<Row>(places: ReadonlyArray<Place<Row>>, range: { first: number; last: number }): number[] {
  const from = Math.max(1, pageOf(places, range.first));
  const to = pageOf(places, range.last);
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at).filter(
    (index) => !places[index]?.isEmpty,
  );
}

/** The number of the page that holds a row: the last one that begins at or before it. */
function pageOf<Row>(places: ReadonlyArray<Place<Row>>, row: number): number {
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
function learn<Row>(known: Known<Row>, answers: ReadonlyMap<number, Answer<Row>>): Known<Row> {
  let { places, end } = known;
  for (const [index, { cursor, page }] of [...answers].sort(([a], [b]) => a - b)) {
    const place = places[index];
    // What an earlier cursor brought tells nothing about the page that stands here now.
    if (place === undefined || place.cursor !== cursor) continue;
    const isEmpty = page.data.length === 0 && page.next_cursor !== null;
    if (place.held !== undefined || (place.isEmpty ?? false) !== isEmpty) {
      places = places.with(index, { cursor, at: place.at, ...(isEmpty && { isEmpty }) });
    }
    const next = { cursor: page.next_cursor ?? undefined, at: place.at + page.data.length };
    if (page.next_cursor === null) {
      // The list ends here, whatever was known of it before.
      if (places.length > index + 1) places = places.slice(0, index + 1);
      end = next.at;
      continue;
    }
    const before = places[index + 1];
    if (before?.cursor === next.cursor && before?.at === next.at) continue;
    // Pages further down move with the end of this one. That is exact where it grew or shrank. A full page stays as long as
    // it was when rows come at the top: those further down keep their old numbers until the pages between are read again.
    const shift = before === undefined ? 0 : next.at - before.at;
    const rest = places.slice(index + 2).map((each) => ({ ...each, at: each.at + shift }));
    const below = answers.get(index + 1);
    const held = below !== undefined && below.cursor === before?.cursor ? below.page : before?.held;
    places = [...places.slice(0, index + 1), held === undefined ? next : { ...next, held }, ...rest];
    end = before === undefined || end === null ? null : end + shift;
  }
  return places === known.places && end === known.end ? known : { key: known.key, places, end };
}
