import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { type LongListSource, useLongList } from "@/api/long-list";

type Row = { id: number };

afterEach(() => void vi.useRealTimers());

/** A list of so many rows, in pages of a hundred, that counts what it is asked for. */
function serve(total: number, pageSize = 100) {
  const asked: string[] = [];
  const fetchPage = async (cursor: string | undefined) => {
    asked.push(cursor ?? "first");
    const from = Number(cursor ?? 0);
    const data = Array.from({ length: Math.max(0, Math.min(pageSize, total - from)) }, (_, at) => ({ id: from + at }));
    return { data, next_cursor: from + pageSize < total ? String(from + pageSize) : null };
  };
  return { asked, fetchPage };
}

/** A list whose newest rows come first, as many as `count` says at the time: a page begins below the row that its cursor names. */
function serveNewestFirst(list: { count: number }) {
  const asked: string[] = [];
  const fetchPage = async (cursor: string | undefined) => {
    asked.push(cursor ?? "first");
    const top = cursor === undefined ? list.count : Number(cursor);
    const data = Array.from({ length: Math.min(100, top) }, (_, at) => ({ id: top - 1 - at }));
    return { data, next_cursor: top > 100 ? String(top - 100) : null };
  };
  return { asked, fetchPage };
}

function render(
  fetchPage: LongListSource<Row>["fetchPage"],
  { key = "all", liveMs = false }: { key?: string; liveMs?: number | false } = {},
) {
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } });
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  const view = renderHook(({ name }) => useLongList<Row>({ queryKey: ["rows", name], fetchPage, liveMs }), {
    wrapper,
    initialProps: { name: key },
  });
  return { ...view, client };
}

test("only the pages near the screen are fetched, and every row has its place", async () => {
  const { asked, fetchPage } = serve(1000);
  const { result } = render(fetchPage);
  await waitFor(() => expect(result.current.rows.count).toBeGreaterThanOrEqual(300));
  expect(asked.length).toBeLessThanOrEqual(4);
  for (let last = 100; last < 1000; last += 100) {
    act(() => result.current.rows.onRange(last - 30, last));
    await waitFor(() => expect(result.current.rows.at(last)?.id).toBe(last));
  }
  await waitFor(() => expect(result.current.rows.isComplete).toBe(true));
  expect(result.current.rows.count).toBe(1000);
  expect(result.current.rows.at(999)).toEqual({ id: 999 });
  expect(result.current.rows.at(1000)).toBeUndefined();
  expect(asked.length).toBe(10);
});

test("a page that is far from the screen is let go, and comes again when somebody goes back to it", async () => {
  const { asked, fetchPage } = serve(2000);
  const { result, client } = render(fetchPage);
  for (let last = 50; last < 2000; last += 100) {
    act(() => result.current.rows.onRange(Math.max(0, last - 30), last));
    await waitFor(() => expect(result.current.rows.at(last)?.id).toBe(last));
  }
  // Rows that nobody looks at are not held by the list: only the cache has them, for as long as it keeps what is unused.
  expect(result.current.rows.at(500)).toBeUndefined();
  const watched = client.getQueryCache().findAll({ type: "active" });
  expect(watched.length).toBeLessThanOrEqual(6);
  client.removeQueries({ type: "inactive" });
  const before = asked.length;
  act(() => result.current.rows.onRange(480, 510));
  await waitFor(() => expect(result.current.rows.at(500)?.id).toBe(500));
  expect(asked.length - before).toBeLessThanOrEqual(4);
  expect(result.current.rows.count).toBe(2000);
});

test("another search begins a list of its own, and shows the one before until it comes", async () => {
  const { fetchPage } = serve(1000);
  const { result, rerender } = render(fetchPage);
  act(() => result.current.rows.onRange(250, 280));
  await waitFor(() => expect(result.current.rows.at(280)?.id).toBe(280));
  rerender({ name: "some" });
  expect(result.current.rows.isOld).toBe(true);
  expect(result.current.rows.at(0)).toEqual({ id: 0 });
  await waitFor(() => expect(result.current.rows.isOld).toBe(false));
});

test("pages with nothing in them are passed: a search may have to look far", async () => {
  const pages: Record<string, { data: Row[]; next_cursor: string | null }> = {
    first: { data: [], next_cursor: "a" },
    a: { data: [], next_cursor: "b" },
    b: { data: [{ id: 7 }], next_cursor: null },
  };
  const { result } = render(async (cursor) => pages[cursor ?? "first"] ?? { data: [], next_cursor: null });
  expect(result.current.isEmpty).toBe(false);
  await waitFor(() => expect(result.current.rows.at(0)).toEqual({ id: 7 }));
  expect(result.current.rows).toMatchObject({ count: 1, isComplete: true });
});

test("pages in which nothing was found are not read again when the list is refreshed", async () => {
  const asked: string[] = [];
  const next: Record<string, string> = { first: "a", a: "b", b: "c" };
  const { result, client } = render(async (cursor = "first") => {
    asked.push(cursor);
    return { data: cursor === "c" ? [{ id: 7 }] : [], next_cursor: next[cursor] ?? null };
  });
  await waitFor(() => expect(result.current.rows.at(0)).toEqual({ id: 7 }));
  expect(asked).toEqual(["first", "a", "b", "c"]);
  await act(() => client.invalidateQueries());
  expect(asked.slice(4)).toEqual(["first", "c"]);
  expect(result.current.rows.at(0)).toEqual({ id: 7 });
});

test("a page in which nothing was found is read again when rows from above have come into it", async () => {
  const pages: Record<string, { data: Row[]; next_cursor: string | null }> = {
    first: { data: [], next_cursor: "a" },
    a: { data: [], next_cursor: "b" },
    b: { data: [{ id: 7 }], next_cursor: null },
  };
  const { result, client } = render(async (cursor) => pages[cursor ?? "first"] ?? { data: [], next_cursor: null });
  await waitFor(() => expect(result.current.rows.at(0)).toEqual({ id: 7 }));
  pages.first = { data: [], next_cursor: "above a" };
  pages["above a"] = { data: [{ id: 8 }], next_cursor: "b" };
  await act(() => client.invalidateQueries({ queryKey: ["rows", "all", "page", ""] }));
  await waitFor(() => expect(result.current.rows.at(0)).toEqual({ id: 8 }));
  expect(result.current.rows.at(1)).toEqual({ id: 7 });
});

test("a live list goes on where its first page ends on the screen", async () => {
  const { fetchPage } = serveNewestFirst({ count: 1000 });
  const { result } = render(fetchPage, { liveMs: 60_000 });
  act(() => result.current.rows.onRange(0, 99));
  await waitFor(() => expect(result.current.rows.count).toBe(200));
});

test("only the top of a live list is asked for again, and only while somebody looks at it", async () => {
  vi.useFakeTimers();
  const list = { count: 1000 };
  const { asked, fetchPage } = serveNewestFirst(list);
  const { result } = render(fetchPage, { liveMs: 3000 });
  act(() => result.current.rows.onRange(0, 40));
  await act(() => vi.advanceTimersByTimeAsync(100));
  list.count = 1010;
  await act(() => vi.advanceTimersByTimeAsync(6000));
  expect(result.current.rows.at(0)).toEqual({ id: 1009 });
  expect(asked).toEqual(["first", "first", "first"]);
  // Somebody who has scrolled on gets the pages ahead once, and then the list keeps still.
  act(() => result.current.rows.onRange(60, 95));
  await act(() => vi.advanceTimersByTimeAsync(100));
  expect(asked.slice(3)).toEqual(["910", "810"]);
  list.count = 1020;
  await act(() => vi.advanceTimersByTimeAsync(60_000));
  expect(asked).toHaveLength(5);
  expect(result.current.rows.at(150)).toEqual({ id: 859 });
});

test("rows stay in their places until the page that takes them over has come", async () => {
  const list = { count: 300 };
  const { fetchPage } = serveNewestFirst(list);
  const slow = Promise.withResolvers<void>();
  const { result, client } = render(async (cursor) => {
    if (cursor === "201") await slow.promise;
    return fetchPage(cursor);
  });
  act(() => result.current.rows.onRange(20, 120));
  await waitFor(() => expect(result.current.rows.at(150)).toEqual({ id: 149 }));
  list.count = 301;
  await act(() => client.invalidateQueries({ queryKey: ["rows", "all", "page", ""] }));
  await waitFor(() => expect(client.getQueryState(["rows", "all", "page", "201"])?.fetchStatus).toBe("fetching"));
  expect(result.current.rows.at(0)).toEqual({ id: 300 });
  expect(result.current.rows.at(150)).toEqual({ id: 149 });
  expect(result.current.rows.at(250)).toEqual({ id: 49 });
  slow.resolve();
  await waitFor(() => expect(result.current.rows.at(150)).toEqual({ id: 150 }));
  await waitFor(() => expect(result.current.rows.at(250)).toEqual({ id: 50 }));
});

test("a list without rows is empty once it is known to be", async () => {
  const { fetchPage } = serve(0);
  const { result } = render(fetchPage);
  expect(result.current.isEmpty).toBe(false);
  await waitFor(() => expect(result.current.isEmpty).toBe(true));
});

test("rows that come at the top move those below them by as many places", async () => {
  let rows = Array.from({ length: 250 }, (_, at) => ({ id: at }));
  const { result, client } = render(async (cursor) => {
    const from = cursor === undefined ? 0 : rows.findIndex((row) => row.id === Number(cursor)) + 1;
    const data = rows.slice(from, from + 100);
    return { data, next_cursor: from + 100 < rows.length ? String(data.at(-1)?.id) : null };
  });
  act(() => result.current.rows.onRange(200, 240));
  await waitFor(() => expect(result.current.rows.count).toBe(250));
  rows = [{ id: 1000 }, ...rows];
  await act(() => client.invalidateQueries());
  await waitFor(() => expect(result.current.rows.count).toBe(251));
  await waitFor(() => expect(result.current.rows.at(250)).toEqual({ id: 249 }));
  expect(result.current.rows.at(0)).toEqual({ id: 1000 });
});
