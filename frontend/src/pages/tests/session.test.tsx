import { screen, waitFor } from "@testing-library/react";
import { beforeAll, expect, test, vi } from "vitest";
import { type Answer, ok, problem } from "@/testing/mock-api";
import { renderApp, warmUp } from "@/testing/render-app";
import * as sample from "@/testing/sample";

const V = "/api/v1";

beforeAll(warmUp, 120_000);
const signedOut = problem(401, "not_signed_in", "Sign in first.");

test("a visitor without a session is led to the sign-in, and then to the page that was asked for", async () => {
  let isIn = false;
  const { user, router } = renderApp("/campaigns?status=sent", {
    [`GET ${V}/me`]: () => (isIn ? ok(sample.me) : signedOut),
    "POST /auth/demo": () => {
      isIn = true;
      return ok(sample.me, 201);
    },
  });
  await user.click(await screen.findByRole("button", { name: /Try the demo/ }));
  expect(await screen.findByRole("heading", { name: "Campaigns" })).toBeInTheDocument();
  expect(router.state.location.href).toBe("/campaigns?status=sent");
});

test("a session that ends while a page is open brings the sign-in with the way back", async () => {
  const { router } = renderApp("/contacts?q=ada", { [`GET ${V}/contacts`]: signedOut });
  await waitFor(() => expect(router.state.location.pathname).toBe("/sign-in"));
  expect(router.state.location.search).toEqual({ next: "/contacts?q=ada" });
});

test("the way back never leads to another site", async () => {
  const { user, router } = renderApp("/sign-in?next=%2F%2Fevil.example");
  await user.click(await screen.findByRole("button", { name: /Try the demo/ }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/"));
});

test("a lost connection shows a banner and recovers by itself", async () => {
  let isLost = false;
  renderApp("/lists", {
    [`GET ${V}/lists`]: () => (isLost ? "lost" : ok({ data: sample.lists, next_cursor: null })),
    "GET /healthz": () => (isLost ? "lost" : ok({})),
  });
  await screen.findByText("Newsletter");
  isLost = true;
  const { reportConnection } = await import("@/lib/connection");
  reportConnection(true);
  expect(await screen.findByText(/The connection is lost/)).toBeInTheDocument();
  expect(screen.getByText("Newsletter")).toBeInTheDocument();
  isLost = false;
  await waitFor(() => expect(screen.queryByText(/The connection is lost/)).not.toBeInTheDocument(), { timeout: 6000 });
});

test("signing out ends the session and shows the sign-in", async () => {
  const { user, router, calls } = renderApp("/");
  await screen.findAllByText("Demo visitor");
  await user.click(screen.getAllByText("Demo visitor")[0] ?? document.body);
  await user.click(await screen.findByRole("menuitem", { name: "Sign out" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/sign-in"));
  expect(calls.some((call) => call.method === "POST" && call.path === "/auth/logout")).toBe(true);
});

test("a session that ends on the overview needs no way back in the address", async () => {
  const { router } = renderApp("/", { [`GET ${V}/overview`]: signedOut });
  await waitFor(() => expect(router.state.location.href).toBe("/sign-in"));
});

test("a person in two accounts goes to the other one, and everything is asked anew", async () => {
  let current = "acc_1";
  const { user, calls } = renderApp("/campaigns", {
    [`GET ${V}/me`]: () =>
      ok({
        ...sample.owner,
        accounts: sample.owner.accounts.map((each) => ({ ...each, current: each.id === current })),
        account: { ...sample.owner.account, id: current, name: current === "acc_1" ? "Harbour Books" : "Reading Club" },
      }),
    [`POST ${V}/me/account`]: ({ body }) => {
      current = typeof body === "object" && body !== null && "account_id" in body ? String(body.account_id) : current;
      return ok(sample.owner);
    },
  });
  await screen.findAllByText("Ada Vogel");
  await user.click(screen.getAllByText("Ada Vogel")[0] ?? document.body);
  await user.click(await screen.findByRole("menuitem", { name: "Switch to Reading Club" }));
  expect(await screen.findByText("Reading Club")).toBeInTheDocument();
  expect(await screen.findByRole("heading", { name: "Overview" })).toBeInTheDocument();
  expect(calls.find((call) => call.path.endsWith("/me/account"))?.body).toEqual({ account_id: "acc_2" });
});

test("nothing of the account before is shown in the other one, and who is signed in is asked once", async () => {
  let isSwitched = false;
  let tellMe: (answer: Answer) => void = () => undefined;
  const { user, router, calls } = renderApp("/", {
    [`GET ${V}/me`]: () =>
      isSwitched
        ? new Promise<Answer>((resolve) => {
            tellMe = resolve;
          })
        : ok(sample.owner),
    [`GET ${V}/overview`]: () => (isSwitched ? "never" : ok(sample.overview)),
    [`POST ${V}/me/account`]: () => {
      isSwitched = true;
      return ok(sample.owner);
    },
  });
  expect((await screen.findAllByText("Winter sale")).length).toBeGreaterThan(0);
  await router.navigate({ to: "/lists" });
  await screen.findByText("Newsletter");
  const asked = () => calls.filter((call) => call.path === `${V}/me`).length;
  const before = asked();
  await user.click(screen.getAllByText("Ada Vogel")[0] ?? document.body);
  await user.click(await screen.findByRole("menuitem", { name: "Switch to Reading Club" }));
  await waitFor(() => expect(asked()).toBe(before + 1));
  expect(screen.queryByText("Winter sale")).not.toBeInTheDocument();
  tellMe(ok(sample.owner));
  expect(await screen.findByRole("heading", { name: "Overview" })).toBeInTheDocument();
  expect(screen.queryByText("Winter sale")).not.toBeInTheDocument();
  await waitFor(() => expect(calls.filter((call) => call.path === `${V}/overview`).length).toBeGreaterThan(1));
  expect(asked()).toBe(before + 1);
});

test("two accounts of the same name are two items of the menu", async () => {
  const complaints = vi.spyOn(console, "error");
  const twin = { id: "acc_3", name: "Reading Club", role: "member", current: false };
  const { user } = renderApp("/", {
    [`GET ${V}/me`]: ok({ ...sample.owner, accounts: [...sample.owner.accounts, twin] }),
  });
  await screen.findAllByText("Ada Vogel");
  await user.click(screen.getAllByText("Ada Vogel")[0] ?? document.body);
  expect(await screen.findAllByRole("menuitem", { name: "Switch to Reading Club" })).toHaveLength(2);
  expect(complaints.mock.calls.flat().filter((each) => /same key/.test(String(each)))).toEqual([]);
  complaints.mockRestore();
});

test("with one account there is nothing to switch to", async () => {
  const { user } = renderApp("/");
  await screen.findAllByText("Demo visitor");
  await user.click(screen.getAllByText("Demo visitor")[0] ?? document.body);
  await screen.findByRole("menuitem", { name: "Sign out" });
  expect(screen.queryByRole("menuitem", { name: /Switch to/ })).not.toBeInTheDocument();
});
