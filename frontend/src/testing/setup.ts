import "@testing-library/jest-dom/vitest";
import { cleanup, configure } from "@testing-library/react";
import { afterEach, vi } from "vitest";
import { reportConnection } from "@/lib/connection";

// Pages are fetched when they are opened: the first time that takes a busy machine a moment.
configure({ asyncUtilTimeout: 10_000 });

// What jsdom lacks and the pages use.
class NoResizeObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
}
vi.stubGlobal("ResizeObserver", NoResizeObserver);
window.scrollTo = () => undefined;
Element.prototype.scrollIntoView = () => undefined;
Element.prototype.setPointerCapture ??= () => undefined;
Element.prototype.releasePointerCapture ??= () => undefined;
Element.prototype.hasPointerCapture ??= () => false;
Element.prototype.getAnimations ??= () => [];
window.matchMedia ??= (query: string) => ({
  matches: false,
  media: query,
  onchange: null,
  addListener: () => undefined,
  removeListener: () => undefined,
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
  dispatchEvent: () => false,
});
// jsdom draws nothing: the chart library is asked for, and answers with an empty chart.
vi.mock("uplot", () => ({
  default: class {
    setData() {}
    setSize() {}
    destroy() {}
  },
}));

afterEach(async () => {
  // A toast outlives its page: the next test would find two of the same buttons until this one runs out.
  (await import("sonner")).toast.dismiss();
  cleanup();
  localStorage.clear();
  reportConnection(false);
  vi.unstubAllGlobals();
  vi.stubGlobal("ResizeObserver", NoResizeObserver);
});
