import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { beforeAll, expect, test } from "vitest";
import { ok, page, problem } from "@/testing/mock-api";
import { renderApp, warmUp } from "@/testing/render-app";
import * as sample from "@/testing/sample";

const V = "/api/v1";

beforeAll(warmUp, 120_000);

test("a campaign whose new time is refused says that it is a draft now, and the next try only launches it", async () => {
  let isRefused = true;
  const { user, calls } = renderApp("/scheduled", {
    [`GET ${V}/campaigns`]: page([sample.scheduledCampaign]),
    [`POST ${V}/campaigns/*/launch`]: () => {
      if (isRefused) return problem(422, "content_faults", "The message cannot be sent as it is.");
      return ok(sample.scheduledCampaign);
    },
  });
  await user.click((await screen.findAllByRole("button", { name: /^Move / }))[0] as HTMLElement);
  const dialog = await screen.findByRole("dialog");
  const move = () => within(dialog).getByRole("button", { name: /^Move it/ });
  expect(move()).toHaveAccessibleDescription("Choose another time.");
  fireEvent.change(within(dialog).getByLabelText("Date"), { target: { value: "2031-01-01" } });
  await user.click(move());
  expect(await within(dialog).findByText(/cannot be sent as it is.*It is a draft now/)).toBeInTheDocument();
  isRefused = false;
  await user.click(move());
  await waitFor(() => expect(screen.queryByRole("dialog")).not.toBeInTheDocument());
  const acts = calls.filter((call) => call.method === "POST").map((call) => call.path.split("/").at(-1));
  expect(acts).toEqual(["unschedule", "launch", "launch"]);
});

test("a message in the hour that comes twice keeps its instant until its time is changed", async () => {
  const at = "2031-10-26T01:30:00Z"; // the second 02:30 of that night in Berlin
  const { user, calls } = renderApp("/scheduled?tab=messages", {
    [`GET ${V}/messages`]: page([{ ...sample.scheduledMessages[0], scheduled_at: at }]),
  });
  await user.click(await screen.findByRole("button", { name: /^Move the message/ }));
  const dialog = await screen.findByRole("dialog");
  expect(within(dialog).getByText(/01:30.* UTC/)).toBeInTheDocument();
  fireEvent.change(within(dialog).getByLabelText("Date"), { target: { value: "2031-10-27" } });
  fireEvent.change(within(dialog).getByLabelText("Date"), { target: { value: "2031-10-26" } });
  await user.click(within(dialog).getByRole("button", { name: /^Move it/ }));
  await waitFor(() =>
    expect(calls.find((call) => call.method !== "GET")?.body).toEqual({ scheduled_at: "2031-10-26T01:30:00.000Z" }),
  );
});
