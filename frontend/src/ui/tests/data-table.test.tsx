import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { DataTable, type RowSource } from "@/ui/data-table";

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
