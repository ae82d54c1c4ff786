import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { cx } from "@/lib/cx";
import { formatCount } from "@/lib/format";
import { Button } from "@/ui/button";
import { SkeletonRows } from "@/ui/states";

export type Column<Row> = {
  key: string;
  header: string;
  /** The header is for those who listen: what is below explains itself to the eye. */
  isQuiet?: boolean;
  cell: (row: Row) => ReactNode;
  /** A CSS grid track: "minmax(0,2fr)", "7rem". */
  width: string;
  align?: "end";
  /** Hidden below this width; the first column should then tell what is missing. */
  from?: "sm" | "md" | "lg";
};

/** Rows that are not all here: those on the screen are asked for, and come. */
export type RowSource<Row> = {
  count: number;
  isComplete: boolean;
  /** What is shown was asked for before: the answer to the present question is on its way. */
  isOld: boolean;
  at: (index: number) => Row | undefined;
  onRange: (first: number, last: number) => void;
  failure: { reason: string; retry: () => void } | null;
};

type DataTableProps<Row> = {
  label: string;
  columns: ReadonlyArray<Column<Row>>;
  rows: ReadonlyArray<Row> | RowSource<Row>;
  rowKey: (row: Row) => string;
  rowHeightPx?: number;
  hasMore?: boolean | undefined;
  isLoadingMore?: boolean | undefined;
  onMore?: () => void;
};

/** No browser draws a taller element right (Firefox ends at 17.8 million pixels, Chromium at 33.5 million): a list that is
 * longer comes in parts. */
const HEIGHT_MAX_PX = 15_000_000;

const WIDTHS = { sm: 640, md: 768, lg: 1024 } as const;

/**
 * Rows of one height, of which only those on screen exist: a list of a million stays as light as one of twenty.
 * The window scrolls, so that the page has one scrollbar; the next page is fetched before its rows are reached.
 */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const { label, rowKey, rowHeightPx = 56, isLoadingMore } = props;
  const columns = useVisibleColumns(props.columns);
  const rows = toSource(props);
  const rowsMax = Math.floor(HEIGHT_MAX_PX / rowHeightPx);
  const [part, setPart] = useState(0);
  const start = part * rowsMax < rows.count ? part * rowsMax : 0;
  const count = Math.min(rows.count - start, rowsMax);
  useEffect(() => {
    if (rows.isOld) setPart(0);
  }, [rows.isOld]);
  const table = useRef<HTMLDivElement>(null);
  function show(next: number) {
    setPart(next);
    window.scrollTo({ top: 0 });
    // The button that was pressed may go with the part it belonged to.
    table.current?.focus({ preventScroll: true });
  }
  const body = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a later part has a line above its rows
  useLayoutEffect(() => {
    if (body.current) setTop(body.current.getBoundingClientRect().top + window.scrollY);
  }, [start]);
  const virtualizer = useWindowVirtualizer({
    count,
    estimateSize: () => rowHeightPx,
    overscan: 12,
    scrollMargin: top,
  });
  const items = virtualizer.getVirtualItems();
  const keys = new Set<string>();
  const first = items.at(0)?.index ?? 0;
  const last = items.at(-1)?.index ?? 0;
  const { onRange } = rows;
  useEffect(() => onRange(start + first, start + last), [onRange, start, first, last]);
  const { hasMore, onMore } = props;
  const isNearEnd = count > 0 && last >= count - 30;
  useEffect(() => {
    if (isNearEnd && hasMore && !isLoadingMore) onMore?.();
  }, [isNearEnd, hasMore, isLoadingMore, onMore]);
  const tracks = columns.map((column) => column.width).join(" ");
  const grid = { gridTemplateColumns: tracks };
  // A search that fits few rows may have to look far before it finds the first.
  const isSeeking = rows.count === 0 && !rows.isComplete && rows.failure === null;
  return (
    // The lines around the rows are no part of the table: a table has rows and nothing else.
    <div className={cx("min-w-0 transition-opacity", rows.isOld && "opacity-50")}>
      {start > 0 ? (
        <p className="flex flex-wrap items-center justify-center gap-3 border-b border-line-2 px-5 py-3 text-sm text-ink-2">
          This part begins with row {formatCount(start + 1)}.
          <Button size="small" onClick={() => show(part - 1)}>
            Show the rows before
          </Button>
        </p>
      ) : null}
      {/* biome-ignore lint/a11y/useSemanticElements: virtual rows need positions that a <table> cannot have */}
      <div
        ref={table}
        role="table"
        tabIndex={-1}
        aria-label={label}
        aria-rowcount={rows.isComplete ? rows.count + 1 : -1}
        aria-busy={rows.isOld || isSeeking || undefined}
        className="outline-none"
      >
        {/* biome-ignore lint/a11y/useSemanticElements: see above */}
        <div role="rowgroup" className="border-b border-line-2">
          {/* biome-ignore lint/a11y/useSemanticElements: see above */}
          {/* biome-ignore lint/a11y/useFocusableInteractive: a header row takes no focus */}
          <div role="row" style={grid} className="grid h-10 items-center gap-3 px-5 sm:gap-4">
            {columns.map((column) => (
              // biome-ignore lint/a11y/useSemanticElements: see above
              // biome-ignore lint/a11y/useFocusableInteractive: a header cell takes no focus
              <div
                key={column.key}
                role="columnheader"
                className={cx(
                  "min-w-0 truncate text-xs font-medium text-ink-3",
                  column.align === "end" && "text-right",
                )}
              >
                {column.isQuiet ? <span className="sr-only">{column.header}</span> : column.header}
              </div>
            ))}
          </div>
        </div>
        {/* biome-ignore lint/a11y/useSemanticElements: see above */}
        <div ref={body} role="rowgroup" className="relative" style={{ height: virtualizer.getTotalSize() }}>
          {items.map((item) => {
            const index = start + item.index;
            const row = rows.at(index);
            // While a list changes, two of its pages may hold the same row for a moment.
            const key = row === undefined || keys.has(rowKey(row)) ? String(index) : rowKey(row);
            keys.add(key);
            return (
              <TableRow
                key={key}
                row={row}
                columns={columns}
                tracks={tracks}
                index={index}
                topPx={item.start - top}
                heightPx={rowHeightPx}
              />
            );
          })}
        </div>
      </div>
      {isSeeking ? <SkeletonRows /> : null}
      {rows.failure ? (
        <Failure {...rows.failure} />
      ) : isLoadingMore ? (
        <p className="px-5 py-3 text-center text-xs text-ink-3">Loading more…</p>
      ) : rows.count > start + rowsMax ? (
        <p className="flex flex-wrap items-center justify-center gap-3 px-5 py-3 text-sm text-ink-2">
          These are rows {formatCount(start + 1)} to {formatCount(start + rowsMax)}.
          <Button size="small" onClick={() => show(part + 1)}>
            Show the next rows
          </Button>
        </p>
      ) : null}
    </div>
  );
}

/**
 * Rows that did not come may be millions of pixels above the end of the list: what is said of them stays at the lower edge of
 * the screen, above the bar that a phone has there.
 */
function Failure({ reason, retry }: NonNullable<RowSource<unknown>["failure"]>) {
  return (
    <p
      role="alert"
      className="glass-high sticky bottom-[calc(5rem+env(safe-area-inset-bottom))] z-20 m-2 flex flex-wrap items-center justify-center gap-3 rounded-xl px-5 py-3 text-sm text-bad-text md:bottom-2"
    >
      {reason}
      <Button size="small" onClick={retry}>
        Try again
      </Button>
    </p>
  );
}

const nothing = () => undefined;

function toSource<Row>({ rows, hasMore }: DataTableProps<Row>): RowSource<Row> {
  if ("onRange" in rows) return rows;
  return {
    count: rows.length,
    isComplete: !hasMore,
    isOld: false,
    at: (index) => rows[index],
    onRange: nothing,
    failure: null,
  };
}

type TableRowProps<Row> = {
  row: Row | undefined;
  columns: ReadonlyArray<Column<Row>>;
  tracks: string;
  index: number;
  topPx: number;
  heightPx: number;
};

/** One row; grey lines while it is on its way. Made once, however far the page is scrolled. */
function TableRow<Row>({ row, columns, tracks, index, topPx, heightPx }: TableRowProps<Row>) {
  return useMemo(
    () => (
      // biome-ignore lint/a11y/useSemanticElements: virtual rows need positions that a <table> cannot have
      // biome-ignore lint/a11y/useFocusableInteractive: the link or button in the row takes the focus
      <div
        role="row"
        aria-rowindex={index + 2}
        style={{ gridTemplateColumns: tracks, height: heightPx, transform: `translateY(${topPx}px)` }}
        className="absolute inset-x-0 top-0 grid items-center gap-3 border-b sm:gap-4 border-line-2 px-5 text-sm transition-colors hover:bg-hover"
      >
        {columns.map((column) => (
          // biome-ignore lint/a11y/useSemanticElements: see above
          <div key={column.key} role="cell" className={cx("min-w-0", column.align === "end" && "num text-right")}>
            {row === undefined ? <span className="block h-3 w-2/3 rounded bg-line-2" /> : column.cell(row)}
          </div>
        ))}
      </div>
    ),
    [row, columns, tracks, index, topPx, heightPx],
  );
}

function useVisibleColumns<Row>(columns: ReadonlyArray<Column<Row>>): ReadonlyArray<Column<Row>> {
  const [width, setWidth] = useState(window.innerWidth);
  useEffect(() => {
    const update = () => setWidth(window.innerWidth);
    window.addEventListener("resize", update);
    return () => window.removeEventListener("resize", update);
  }, []);
  return useMemo(
    () => columns.filter((column) => column.from === undefined || width >= WIDTHS[column.from]),
    [columns, width],
  );
}

/** The link or button that a whole row answers to. */
export const rowTarget =
  "block truncate text-left font-medium text-ink after:absolute after:inset-0 after:content-[''] focus-visible:outline-none focus-visible:after:rounded-lg focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent-text";
/** What must stay clickable above the row's own target. */
export const aboveRow = "relative z-10";
