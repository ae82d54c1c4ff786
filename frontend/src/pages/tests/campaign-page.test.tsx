import { screen, waitFor, within } from "@testing-library/react";
import { beforeAll, expect, test } from "vitest";
import { ok, problem } from "@/testing/mock-api";
import { renderApp, warmUp } from "@/testing/render-app";
import * as sample from "@/testing/sample";

const V = "/api/v1";

beforeAll(warmUp, 120_000);

test("its counts add up to the total", async () => {
  renderApp("/campaigns/cmp_2");
  const table = await screen.findByRole("table", { name: "Messages by state" });
  const numbers = within(table)
    .getAllByRole("row")
    .map((row) => Number(within(row).getAllByRole("cell")[0]?.textContent?.replaceAll(",", "")));
  const total = numbers.pop();
  expect(numbers.reduce((sum, count) => sum + count, 0)).toBe(total);
  expect(total).toBe(1000);
});

test("a button that is off says why", async () => {
  renderApp("/campaigns/cmp_2", {
    [`GET ${V}/campaigns/*`]: ok({
      ...sample.sendingCampaign,
      allowed_actions: ["cancel"],
      blocked_actions: { pause: "The campaign is sent, so it cannot be paused." },
    }),
  });
  const pause = await screen.findByRole("button", { name: /^Pause/ });
  expect(pause).toHaveAttribute("aria-disabled", "true");
  expect(pause).toHaveAccessibleDescription("The campaign is sent, so it cannot be paused.");
});

test("pausing asks the server once, with a key that makes a repeat harmless", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_2");
  await user.click(await screen.findByRole("button", { name: "Pause" }));
  await waitFor(() => expect(calls.filter((call) => call.path.endsWith("/pause"))).toHaveLength(1));
  expect(calls.find((call) => call.path.endsWith("/pause"))?.headers.get("Idempotency-Key")).toMatch(/^[0-9a-f]{32}$/);
});

test("cancelling asks first", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_2");
  await user.click(await screen.findByRole("button", { name: "More actions" }));
  await user.click(await screen.findByRole("menuitem", { name: "Cancel the campaign" }));
  expect(calls.some((call) => call.path.endsWith("/cancel"))).toBe(false);
  await user.click(await screen.findByRole("button", { name: "Cancel the campaign" }));
  await waitFor(() => expect(calls.some((call) => call.path.endsWith("/cancel"))).toBe(true));
});

test("what the server refuses is said in its words", async () => {
  const { user } = renderApp("/campaigns/cmp_2", {
    [`POST ${V}/campaigns/*/pause`]: problem(409, "wrong_state", "The campaign is sent, so it cannot be paused."),
  });
  await user.click(await screen.findByRole("button", { name: "Pause" }));
  expect(await screen.findByText("The campaign is sent, so it cannot be paused.")).toBeInTheDocument();
});

test("a message tells its story: why it waited, and what the server said", async () => {
  const { user, router } = renderApp("/campaigns/cmp_2");
  await user.click(await screen.findByRole("button", { name: /^ada@mail0.example/ }));
  expect(await screen.findByText("Waited 312 s on the hourly limit; 250 2.0.0 OK")).toBeInTheDocument();
  expect(router.state.location.search).toMatchObject({ message: "msg_0" });
});

test("uncertain messages are settled by a person's decision", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_1", {
    [`GET ${V}/campaigns/*`]: ok(sample.campaign({ allowed_actions: ["settle_uncertain"] })),
  });
  await user.click(await screen.findByRole("button", { name: "Settle uncertain" }));
  await user.click(await screen.findByRole("button", { name: "Count as sent" }));
  await waitFor(() =>
    expect(calls.find((call) => call.path.endsWith("/uncertain"))?.body).toEqual({ action: "accept" }),
  );
});

test("an unchanged answer is asked for with its ETag and costs no body", async () => {
  let asked = 0;
  const { calls } = renderApp("/campaigns/cmp_9", {
    [`GET ${V}/campaigns/*`]: ok({ ...sample.sendingCampaign, id: "cmp_9" }),
    [`GET ${V}/campaigns/*/progress`]: () => {
      asked += 1;
      return asked === 1 ? { ...(ok(sample.progress) as object), headers: { ETag: '"one"' } } : { status: 304 };
    },
  });
  await screen.findByText("421 of 1,000");
  await waitFor(() => expect(asked).toBeGreaterThan(1), { timeout: 4000 });
  expect(calls.filter((call) => call.path.endsWith("/progress"))[1]?.headers.get("If-None-Match")).toBe('"one"');
  expect(screen.getByText("421 of 1,000")).toBeInTheDocument();
});

test("a slow campaign's chart shows a mean instead of a comb of ones and zeros", async () => {
  const start = Date.now() - 100 * 49_000;
  renderApp("/campaigns/cmp_2", {
    [`GET ${V}/campaigns/*/throughput`]: ok({
      step_s: 49,
      points: Array.from({ length: 90 }, (_, at) => ({
        at: new Date(start + at * 49_000).toISOString(),
        sent: 1 + (at % 2),
        failed: 0,
        retried: 0,
      })),
    }),
  });
  expect(await screen.findByText(/mean of 8 min/)).toBeInTheDocument();
  expect(screen.getByRole("img", { name: /Messages per second. Latest: sent 0.031/ })).toBeInTheDocument();
});
