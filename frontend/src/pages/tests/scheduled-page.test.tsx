import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import type { UserEvent } from "@testing-library/user-event";
import { beforeAll, expect, test } from "vitest";
import { type Answer, type Call, ok, page, problem, type Routes } from "@/testing/mock-api";
import { renderApp, warmUp } from "@/testing/render-app";
import * as sample from "@/testing/sample";

const V = "/api/v1";

beforeAll(warmUp, 120_000);

/** A server that has one scheduled campaign; `onLaunch` says what it answers when the campaign is launched again. */
function oneScheduled(onLaunch: (launch: () => void) => Answer): Routes {
  let status = "scheduled";
  const campaign = () => ({ ...sample.scheduledCampaign, status });
  return {
    [`GET ${V}/campaigns`]: () => page(status === "scheduled" ? [campaign()] : []),
    [`GET ${V}/campaigns/*`]: () => ok(campaign()),
    [`POST ${V}/campaigns/*/unschedule`]: () => {
      if (status === "draft")
        return problem(409, "wrong_state", "The campaign is a draft, so it cannot be taken back.");
      status = "draft";
      return ok(campaign());
    },
    [`POST ${V}/campaigns/*/launch`]: () =>
      onLaunch(() => {
        status = "scheduled";
      }),
  };
}

/** Ask for another time. Returns the dialog, and a second press of its button. */
async function moveIt(user: UserEvent) {
  await user.click((await screen.findAllByRole("button", { name: /^Move / }))[0] as HTMLElement);
  const dialog = await screen.findByRole("dialog");
  const press = () => user.click(within(dialog).getByRole("button", { name: /^Move it/ }));
  expect(within(dialog).getByRole("button", { name: /^Move it/ })).toHaveAccessibleDescription("Choose another time.");
  fireEvent.change(within(dialog).getByLabelText("Date"), { target: { value: "2031-01-01" } });
  await press();
  return { dialog, press };
}

const actsOf = (calls: Call[]) =>
  calls.filter((call) => call.method === "POST").map((call) => call.path.split("/").at(-1));

test("a campaign whose new time is refused says that it is a draft now, and the next try only launches it", async () => {
  let isRefused = true;
  const { user, calls } = renderApp(
    "/scheduled",
    oneScheduled((launch) => {
      if (isRefused) return problem(422, "content_faults", "The message cannot be sent as it is.");
      launch();
      return ok(sample.scheduledCampaign);
    }),
  );
  const { dialog, press } = await moveIt(user);
  expect(await within(dialog).findByText(/cannot be sent as it is.*It is a draft now/)).toBeInTheDocument();
  expect(within(dialog).getByRole("button", { name: "Leave it a draft" })).toBeInTheDocument();
  isRefused = false;
  await press();
  await waitFor(() => expect(screen.queryByRole("dialog")).not.toBeInTheDocument());
  expect(actsOf(calls)).toEqual(["unschedule", "launch", "launch"]);
});

test("a campaign that was launched, though the answer was lost, is not called a draft that will not be sent", async () => {
  let isLost = true;
  const { user, calls } = renderApp(
    "/scheduled",
    oneScheduled((launch) => {
      launch();
      return isLost ? "lost" : ok(sample.scheduledCampaign);
    }),
  );
  const { dialog, press } = await moveIt(user);
  expect(await within(dialog).findByText(/The server does not answer/)).toBeInTheDocument();
  expect(within(dialog).queryByText(/It is a draft now/)).not.toBeInTheDocument();
  const before = actsOf(calls).length;
  isLost = false;
  await press();
  await waitFor(() => expect(screen.queryByRole("dialog")).not.toBeInTheDocument());
  expect(actsOf(calls).slice(before)).toEqual(["unschedule", "launch"]);
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
