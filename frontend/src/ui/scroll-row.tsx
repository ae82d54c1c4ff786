import { type ComponentPropsWithRef, useLayoutEffect, useRef } from "react";
import { cx } from "@/lib/cx";

/** What the row of tabs looks like, for tabs of a panel and for links that look like them. */
export const tabClass =
  "flex h-8 shrink-0 items-center gap-1.5 rounded-lg border border-transparent px-3 text-[0.8125rem] font-medium whitespace-nowrap text-ink-2 transition-colors hover:text-ink pointer-coarse:h-10";
export const activeTabClass = "border-line bg-chosen text-ink shadow-sm";

type ScrollRowProps = ComponentPropsWithRef<"div"> & { as?: "div" | "nav" };

/** A row of tabs that scrolls sideways where it does not fit: the edge behind which there is more fades, and the chosen one is in sight. */
export function ScrollRow({ as: Element = "div", className, ref, ...props }: ScrollRowProps) {
  const row = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = row.current;
    if (!element) return;
    const mark = () => markEdges(element);
    mark();
    const resize = new ResizeObserver(mark);
    resize.observe(element);
    element.addEventListener("scroll", mark, { passive: true });
    return () => {
      resize.disconnect();
      element.removeEventListener("scroll", mark);
    };
  }, []);
  // Looked at after each render, because another one may be chosen; else the row stays where somebody has moved it.
  const shown = useRef<Element | null>(null);
  useLayoutEffect(() => {
    const chosen = row.current?.querySelector("[data-active], [data-status=active]") ?? null;
    if (row.current && chosen && chosen !== shown.current) show(row.current, chosen);
    shown.current = chosen;
  });
  return (
    <Element
      {...props}
      ref={(element) => {
        row.current = element;
        if (typeof ref === "function") ref(element);
        else if (ref) ref.current = element;
      }}
      className={cx(
        "scroll-edges flex w-fit max-w-full gap-1 overflow-x-auto rounded-xl border border-line-2 bg-sunken p-1 [scrollbar-width:none]",
        className,
      )}
    />
  );
}

function markEdges(row: HTMLElement): void {
  row.toggleAttribute("data-more-before", row.scrollLeft > 1);
  row.toggleAttribute("data-more-after", row.scrollLeft + row.clientWidth < row.scrollWidth - 1);
}

/** So much of the neighbour stays in sight that it can be seen to go on. */
const NEIGHBOUR_PX = 40;

function show(row: HTMLElement, chosen: Element): void {
  if (row.scrollWidth <= row.clientWidth) return;
  const { left, right } = chosen.getBoundingClientRect();
  const box = row.getBoundingClientRect();
  if (left < box.left) row.scrollLeft -= box.left - left + NEIGHBOUR_PX;
  else if (right > box.right) row.scrollLeft += right - box.right + NEIGHBOUR_PX;
}
