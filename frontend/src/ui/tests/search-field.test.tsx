import { fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SearchField } from "@/ui/search-field";

beforeEach(() => {
  vi.useFakeTimers();
  window.history.replaceState(null, "", "/campaigns/one");
});
afterEach(() => {
  vi.useRealTimers();
  window.history.replaceState(null, "", "/");
});

function typeInto(onSearch: (text: string) => void) {
  render(<SearchField label="Search recipients" value="" onSearch={onSearch} />);
  fireEvent.change(screen.getByRole("searchbox"), { target: { value: "ada" } });
  fireEvent.change(screen.getByRole("searchbox"), { target: { value: "ada@" } });
}

test("one question is asked when the typing pauses", () => {
  const onSearch = vi.fn();
  typeInto(onSearch);
  expect(onSearch).not.toHaveBeenCalled();
  vi.runAllTimers();
  expect(onSearch.mock.calls).toEqual([["ada@"]]);
});

test("whoever leaves the page before the pause is not brought back by their question", () => {
  const onSearch = vi.fn();
  typeInto(onSearch);
  window.history.replaceState(null, "", "/inbox");
  vi.runAllTimers();
  expect(onSearch).not.toHaveBeenCalled();
});
