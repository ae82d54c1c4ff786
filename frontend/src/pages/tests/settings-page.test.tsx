import { screen, waitFor, within } from "@testing-library/react";
import { beforeAll, expect, test } from "vitest";
import { ok, page, problem } from "@/testing/mock-api";
import { axeFaults, renderApp, warmUp } from "@/testing/render-app";
import * as sample from "@/testing/sample";

const V = "/api/v1";

beforeAll(warmUp, 120_000);

const asOwner = { [`GET ${V}/me`]: ok(sample.owner) };
const asMember = { [`GET ${V}/me`]: ok({ ...sample.owner, role: "member", permissions: ["read", "send"] }) };

test("a relay's connection is tested, and what the server offers is shown", async () => {
  const { user, calls, container } = renderApp("/settings?tab=relays", asOwner);
  await user.click(await screen.findByRole("button", { name: "Test the connection to Main relay" }));
  expect(await screen.findByText(/The connection works, after 182 ms/)).toBeInTheDocument();
  expect(screen.getByText("TLSv1.3")).toBeInTheDocument();
  expect(screen.getByText(/AUTH PLAIN LOGIN/)).toBeInTheDocument();
  expect(calls.filter((call) => call.path === `${V}/relays/rly_1/test`)).toHaveLength(1);
  expect(await axeFaults(container)).toEqual([]);
});

test("a relay that refuses says at which step, in whose words, and what to change", async () => {
  const { user } = renderApp("/settings?tab=relays", {
    ...asOwner,
    [`POST ${V}/relays/*/test`]: ok({
      ...sample.relayTest,
      ok: false,
      step: "login",
      detail: "The server does not know this user name and password. Give them again.",
      reply: "535 5.7.8 Authentication credentials invalid",
    }),
  });
  await user.click(await screen.findByRole("button", { name: "Test the connection to Main relay" }));
  expect(await screen.findByText(/Not signed in, after/)).toBeInTheDocument();
  expect(screen.getByText(/Give them again/)).toBeInTheDocument();
  expect(screen.getByText("535 5.7.8 Authentication credentials invalid")).toBeInTheDocument();
});

test("what a test found is forgotten when the relay is edited", async () => {
  const { user } = renderApp("/settings?tab=relays", asOwner);
  await user.click(await screen.findByRole("button", { name: "Test the connection to Main relay" }));
  expect(await screen.findByText(/The connection works/)).toBeInTheDocument();
  await user.click(screen.getByRole("button", { name: "Change Main relay" }));
  await waitFor(() => expect(screen.queryByText(/The connection works/)).not.toBeInTheDocument());
});

test("a person is added to the team by their address", async () => {
  const { user, calls } = renderApp("/settings?tab=team", asOwner);
  expect(await screen.findByText("Not here yet")).toBeInTheDocument();
  await user.click(screen.getByRole("button", { name: "Add a person" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByLabelText("Email address"), "cleo@harbour.example");
  await user.click(within(dialog).getByRole("radio", { name: /Owner/ }));
  await user.click(within(dialog).getByRole("button", { name: "Add" }));
  await waitFor(() =>
    expect(calls.find((call) => call.method === "POST" && call.path === `${V}/team`)?.body).toEqual({
      email: "cleo@harbour.example",
      role: "owner",
    }),
  );
  await waitFor(() => expect(screen.queryByRole("dialog")).not.toBeInTheDocument());
});

test("an address that is in the team already is told at its field", async () => {
  const { user } = renderApp("/settings?tab=team", {
    ...asOwner,
    [`POST ${V}/team`]: problem(409, "already_exists", "ben@harbour.example is in the team already."),
  });
  await user.click(await screen.findByRole("button", { name: "Add a person" }));
  await user.type(await screen.findByLabelText("Email address"), "ben@harbour.example");
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Add" }));
  expect(await screen.findByText("ben@harbour.example is in the team already.")).toBeInTheDocument();
  expect(screen.getByLabelText("Email address")).toHaveAttribute("aria-invalid", "true");
});

test("the last owner stays one, and is told why", async () => {
  const { user } = renderApp("/settings?tab=team", {
    ...asOwner,
    [`PATCH ${V}/team/*`]: problem(
      409,
      "last_owner",
      "This is the account's last owner. Make somebody else an owner first.",
    ),
  });
  await user.click(await screen.findByRole("button", { name: "Change Ada Vogel" }));
  await user.click(await screen.findByRole("radio", { name: /Member/ }));
  await user.click(screen.getByRole("button", { name: "Save" }));
  expect(await screen.findByText(/This is the account's last owner/)).toBeInTheDocument();
});

test("taking somebody out asks first", async () => {
  const { user, calls } = renderApp("/settings?tab=team", asOwner);
  await user.click(await screen.findByRole("button", { name: "Delete ben@harbour.example" }));
  expect(await screen.findByText(/is signed out of this account at once/)).toBeInTheDocument();
  expect(calls.some((call) => call.method === "DELETE")).toBe(false);
  await user.click(screen.getByRole("button", { name: "Take out" }));
  await waitFor(() => expect(calls.some((call) => call.path === `${V}/team/usr_2`)).toBe(true));
});

test.each([
  ["team", "Add a person"],
  ["senders", "New sender"],
  ["relays", "New relay"],
  ["api-keys", "New key"],
])("a member sees the %s, and why they cannot change them", async (tab, button) => {
  renderApp(`/settings?tab=${tab}`, asMember);
  const off = (await screen.findAllByRole("button", { name: new RegExp(`^${button}`) }))[0];
  expect(off).toHaveAttribute("aria-disabled", "true");
  expect(off).toHaveAccessibleDescription("Only an owner of the account changes this.");
});

test("a demo account says why it has no team", async () => {
  renderApp("/settings?tab=team");
  expect((await screen.findAllByRole("button", { name: /^Add a person/ }))[0]).toHaveAccessibleDescription(
    "A demo account has no team: it is yours alone.",
  );
});

test("campaigns are ordered by the server, and the address keeps the order", async () => {
  const { user, router, calls } = renderApp("/campaigns", { [`GET ${V}/campaigns`]: page(sample.campaigns) });
  await screen.findByText("Spring letter");
  expect(calls.find((call) => call.path.startsWith(`${V}/campaigns?`))?.path).not.toContain("sort=");
  await user.click(screen.getByRole("combobox", { name: "Sort" }));
  await user.click(await screen.findByRole("option", { name: "By name" }));
  await waitFor(() => expect(router.state.location.href).toBe("/campaigns?sort=name"));
  await waitFor(() => expect(calls.some((call) => call.path.includes("sort=name"))).toBe(true));
});

test("every order that an address can ask for is named", async () => {
  renderApp("/campaigns?sort=-name");
  expect(await screen.findByRole("combobox", { name: "Sort" })).toHaveTextContent("By name, last first");
});
