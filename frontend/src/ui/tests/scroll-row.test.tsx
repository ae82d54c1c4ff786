import { render, screen } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { Tabs } from "@/ui/tabs";

const TABS = [
  { value: "sent", label: "Sent" },
  { value: "failed", label: "Failed" },
  { value: "expired", label: "Expired" },
] as const;
type Value = (typeof TABS)[number]["value"];

const ROW_PX = 200;
const TAB_PX = 150;

/** A row of three tabs of which one and a third are in sight: jsdom lays nothing out by itself. */
beforeEach(() => {
  vi.spyOn(Element.prototype, "clientWidth", "get").mockReturnValue(ROW_PX);
  vi.spyOn(Element.prototype, "scrollWidth", "get").mockReturnValue(TABS.length * TAB_PX);
  vi.spyOn(Element.prototype, "getBoundingClientRect").mockImplementation(function (this: Element) {
    const at = TABS.findIndex((tab) => tab.label === this.textContent);
    if (at < 0) return new DOMRect(0, 0, ROW_PX, 40);
    return new DOMRect(at * TAB_PX - screen.getByRole("tablist").scrollLeft, 0, TAB_PX, 40);
  });
  return () => vi.restoreAllMocks();
});

function tabs(value: Value) {
  return <Tabs label="State" value={value} tabs={TABS} onChange={() => undefined} />;
}

test("the chosen tab comes into sight when another one is chosen", () => {
  const { rerender } = render(tabs("sent"));
  expect(screen.getByRole("tablist").scrollLeft).toBe(0);
  rerender(tabs("expired"));
  expect(screen.getByRole("tablist").scrollLeft).toBeGreaterThanOrEqual(TABS.length * TAB_PX - ROW_PX);
});

test("a row that somebody has moved stays there while the page is drawn anew", () => {
  const { rerender } = render(tabs("sent"));
  screen.getByRole("tablist").scrollLeft = 240;
  rerender(tabs("sent"));
  expect(screen.getByRole("tablist").scrollLeft).toBe(240);
});
