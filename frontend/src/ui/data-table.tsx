import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";
import { cx } from "@/lib/cx";

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

type DataTableProps<Row> = {
  label: string;
  columns: ReadonlyArray<Column<Row>>;
  rows: ReadonlyArray<Row>;
  rowKey: (row: Row) => string;
  rowHeightPx?: number;
  hasMore?: boolean | undefined;
  isLoadingMore?: boolean | undefined;
  onMore?: () => void;
};

const WIDTHS = { sm: 640, md: 768, lg: 1024 } as const;

/**
 * Rows of one height, of which only those on screen exist: a list of a million stays as light as one of twenty.
 * The window scrolls, so that the page has one scrollbar; the next page is fetched before its rows are reached.
 */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const { label, rows, rowKey, rowHeightPx = 56, hasMore, isLoadingMore, onMore } = props;
  const columns = useVisibleColumns(props.columns);
  const body = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    if (body.current) setTop(body.current.getBoundingClientRect().top + window.scrollY);
  }, []);
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => rowHeightPx,
    overscan: 12,
    scrollMargin: top,
  });
  const items = virtualizer.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const isNearEnd = rows.length > 0 && last >= rows.length - 30;
  useEffect(() => {
    if (isNearEnd && hasMore && !isLoadingMore) onMore?.();
  }, [isNearEnd, hasMore, isLoadingMore, onMore]);
  const grid = { gridTemplateColumns: columns.map((column) => column.width).join(" ") };
  return (
    // biome-ignore lint/a11y/useSemanticElements: virtual rows need positions that a <table> cannot have
    <div role="table" aria-label={label} aria-rowcount={hasMore ? -1 : rows.length + 1} className="min-w-0">
      {/* biome-ignore lint/a11y/useSemanticElements: see above */}
      <div role="rowgroup" className="border-b border-line-2">
        {/* biome-ignore lint/a11y/useSemanticElements: see above */}
        {/* biome-ignore lint/a11y/useFocusableInteractive: a header row takes no focus */}
        <div role="row" style={grid} className="grid h-10 items-center gap-4 px-5">
          {columns.map((column) => (
            // biome-ignore lint/a11y/useSemanticElements: see above
            // biome-ignore lint/a11y/useFocusableInteractive: a header cell takes no focus
            <div
              key={column.key}
              role="columnheader"
              className={cx("min-w-0 truncate text-xs font-medium text-ink-3", column.align === "end" && "text-right")}
            >
              {column.isQuiet ? <span className="sr-only">{column.header}</span> : column.header}
            </div>
          ))}
        </div>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: see above */}
      <div ref={body} role="rowgroup" className="relative" style={{ height: virtualizer.getTotalSize() }}>
        {items.map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            // biome-ignore lint/a11y/useSemanticElements: see above
            // biome-ignore lint/a11y/useFocusableInteractive: the link or button in the row takes the focus
            <div
              key={rowKey(row)}
              role="row"
              aria-rowindex={item.index + 2}
              style={{ ...grid, height: rowHeightPx, transform: `translateY(${item.start - top}px)` }}
              className="absolute inset-x-0 top-0 grid items-center gap-4 border-b border-line-2 px-5 text-sm transition-colors hover:bg-hover"
            >
              {columns.map((column) => (
                // biome-ignore lint/a11y/useSemanticElements: see above
                <div key={column.key} role="cell" className={cx("min-w-0", column.align === "end" && "num text-right")}>
                  {column.cell(row)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
      {isLoadingMore ? <p className="px-5 py-3 text-center text-xs text-ink-3">Loading more…</p> : null}
    </div>
  );
}

function useVisibleColumns<Row>(columns: ReadonlyArray<Column<Row>>): ReadonlyArray<Column<Row>> {
  const [width, setWidth] = useState(window.innerWidth);
  useEffect(() => {
    const update = () => setWidth(window.innerWidth);
    window.addEventListener("resize", update);
    return () => window.removeEventListener("resize", update);
  }, []);
  return columns.filter((column) => column.from === undefined || width >= WIDTHS[column.from]);
}

/** The link or button that a whole row answers to. */
export const rowTarget =
  "block truncate text-left font-medium text-ink after:absolute after:inset-0 after:content-[''] focus-visible:outline-none focus-visible:after:rounded-lg focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent-text";
/** What must stay clickable above the row's own target. */
export const aboveRow = "relative z-10";
