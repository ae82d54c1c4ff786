import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { axeFaults } from "@/testing/render-app";
import { DataTable, type RowSource } from "@/ui/data-table";
import { Panel } from "@/ui/panel";

type Row = { id: string };

/** A list of which every row is here: what is asked for is what matters. */
function source(count: number, isOld = false): RowSource<Row> {
  return {
    count,
    isComplete: true,
    isOld,
    at: (index) => (index < count ? { id: `row ${index}` } : undefined),
    onRange: vi.fn(),
    failure: null,
  };
}

function table(rows: RowSource<Row>) {
  const columns = [{ key: "id", header: "Id", width: "1fr", cell: (row: Row) => row.id }];
  return <DataTable label="Rows" columns={columns} rows={rows} rowKey={(row) => row.id} rowHeightPx={50} />;
}

test("a million rows are all within reach, in parts that a browser can draw", async () => {
  window.scrollTo = vi.fn() as typeof window.scrollTo;
  const rows = source(1_000_000);
  render(table(rows));
  expect(screen.getByText("row 0")).toBeInTheDocument();
  for (const first of [300_000, 600_000, 900_000]) {
    await userEvent.click(screen.getByRole("button", { name: "Show the next rows" }));
    expect(screen.getByText(`row ${first}`)).toBeInTheDocument();
    expect(rows.onRange).toHaveBeenLastCalledWith(first, expect.any(Number));
  }
  expect(screen.queryByRole("button", { name: "Show the next rows" })).not.toBeInTheDocument();
  await userEvent.click(screen.getByRole("button", { name: "Show the rows before" }));
  expect(screen.getByText("row 600000")).toBeInTheDocument();
});

test("another search begins at its first row", async () => {
  window.scrollTo = vi.fn() as typeof window.scrollTo;
  const { rerender } = render(table(source(1_000_000)));
  await userEvent.click(screen.getByRole("button", { name: "Show the next rows" }));
  rerender(table(source(1_000_000, true)));
  rerender(table(source(900_000)));
  expect(screen.getByText("row 0")).toBeInTheDocument();
});

test("the table has rows and nothing else, and takes the focus from a button that goes with its part", async () => {
  window.scrollTo = vi.fn() as typeof window.scrollTo;
  const { container } = render(table(source(1_000_000)));
  await userEvent.click(screen.getByRole("button", { name: "Show the next rows" }));
  const lines = screen.getAllByRole("button", { name: /^Show the/ });
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(screen.getByRole("table")).not.toContainElement(line);
  expect(screen.getByRole("table")).toHaveFocus();
  expect(await axeFaults(container)).toEqual([]);
});

test("a page that failed says so at the edge of the screen, wherever its rows are", async () => {
  const retry = vi.fn();
  render(<Panel flush>{table({ ...source(1000), failure: { reason: "The server is away.", retry } })}</Panel>);
  const line = screen.getByRole("alert");
  expect(screen.getByRole("table")).not.toContainElement(line);
  expect(line).toHaveClass("sticky");
  // What hides its overflow is a box that scrolls: the line would stick to that box and not to the screen.
  expect(line.closest("[class*=overflow-hidden]")).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(retry).toHaveBeenCalledOnce();
});

test("a search that has found nothing yet shows that it goes on, until it ends or fails", () => {
  const seeking = { ...source(0), isComplete: false };
  const { rerender } = render(table(seeking));
  expect(screen.getByRole("status", { name: "Loading" })).toBeInTheDocument();
  rerender(table({ ...seeking, failure: { reason: "The server is away.", retry: () => undefined } }));
  expect(screen.queryByRole("status", { name: "Loading" })).not.toBeInTheDocument();
  expect(screen.getByRole("alert")).toHaveTextContent("The server is away.");
  rerender(table({ ...source(3), isComplete: false }));
  expect(screen.queryByRole("status", { name: "Loading" })).not.toBeInTheDocument();
});
