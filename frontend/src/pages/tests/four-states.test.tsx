import { screen, waitFor } from "@testing-library/react";
import { beforeAll, describe, expect, test } from "vitest";
import { type Answer, ok, page, problem } from "@/testing/mock-api";
import { axeFaults, renderApp, warmUp } from "@/testing/render-app";
import * as sample from "@/testing/sample";

const V = "/api/v1";

beforeAll(warmUp, 120_000);
const emptyOverview = {
  ...sample.overview,
  sending_now: [],
  next_scheduled: [],
  next_messages: { scheduled: 0, next_at: null },
  last_24_h: sample.overview.last_24_h.map((hour) => ({ ...hour, sent: 0, failed: 0 })),
};

type Case = {
  page: string;
  path: string;
  /** What the page asks for first. */
  route: string;
  error: RegExp;
  data: RegExp;
  /** Absent where there is no empty state: one thing is there or is not. */
  empty?: { answer: Answer; text: RegExp };
};

const CASES: Case[] = [
  {
    page: "sign-in",
    path: "/sign-in",
    route: "GET /auth/options",
    error: /ways to sign in could not be loaded/,
    data: /Try the demo/,
    empty: { answer: ok({ demo: false, google: false, signed_in: false }), text: /No way to sign in is set up/ },
  },
  {
    page: "overview",
    path: "/",
    route: `GET ${V}/overview`,
    error: /overview could not be loaded/,
    data: /Harbour news, November/,
    empty: { answer: ok(emptyOverview), text: /Nothing is sent or scheduled yet/ },
  },
  {
    page: "campaigns",
    path: "/campaigns",
    route: `GET ${V}/campaigns`,
    error: /campaigns could not be loaded/,
    data: /Spring letter/,
    empty: { answer: page([]), text: /No campaigns yet/ },
  },
  {
    page: "campaign",
    path: "/campaigns/cmp_2",
    route: `GET ${V}/campaigns/*`,
    error: /campaign could not be loaded/,
    data: /Harbour news, November/,
  },
  {
    page: "campaign's messages",
    path: "/campaigns/cmp_2",
    route: `GET ${V}/campaigns/*/messages`,
    error: /messages could not be loaded/,
    data: /ada@mail0.example/,
    empty: { answer: page([]), text: /No messages yet/ },
  },
  {
    page: "compose",
    path: "/campaigns/cmp_4/compose",
    route: `GET ${V}/campaigns/*`,
    error: /draft could not be loaded/,
    data: /Drop a CSV file here/,
  },
  {
    page: "scheduled",
    path: "/scheduled",
    route: `GET ${V}/campaigns`,
    error: /scheduled campaigns could not be loaded/,
    data: /Winter sale/,
    empty: { answer: page([]), text: /Nothing is scheduled/ },
  },
  {
    page: "scheduled messages",
    path: "/scheduled?tab=messages",
    route: `GET ${V}/messages`,
    error: /scheduled messages could not be loaded/,
    data: /grace@mail.example/,
    empty: { answer: page([]), text: /Nothing is scheduled/ },
  },
  {
    page: "sent",
    path: "/sent",
    route: `GET ${V}/messages`,
    error: /history could not be loaded/,
    data: /grace@mail1.example/,
    empty: { answer: page([]), text: /No sent messages/ },
  },
  {
    page: "contacts",
    path: "/contacts",
    route: `GET ${V}/contacts`,
    error: /contacts could not be loaded/,
    data: /grace@mail1.example/,
    empty: { answer: page([]), text: /No contacts yet/ },
  },
  {
    page: "lists",
    path: "/lists",
    route: `GET ${V}/lists`,
    error: /lists could not be loaded/,
    data: /Newsletter/,
    empty: { answer: page([]), text: /No lists yet/ },
  },
  {
    page: "imports",
    path: "/imports",
    route: `GET ${V}/imports`,
    error: /imports could not be loaded/,
    data: /leads\.csv/,
    empty: { answer: page([]), text: /No imports yet/ },
  },
  {
    page: "suppressions",
    path: "/suppressions",
    route: `GET ${V}/suppressions`,
    error: /suppressions could not be loaded/,
    data: /gone@mail.example/,
    empty: { answer: page([]), text: /Nobody is suppressed/ },
  },
  {
    page: "inbox",
    path: "/inbox",
    route: `GET ${V}/inbox`,
    error: /mailbox could not be loaded/,
    data: /grace@mail1.example/,
    empty: { answer: page([]), text: /No mail yet/ },
  },
  {
    page: "inbox mail",
    path: "/inbox?mail=inb_0",
    route: `GET ${V}/inbox/*`,
    error: /mail could not be loaded/,
    data: /Its story/,
  },
  {
    page: "senders",
    path: "/settings",
    route: `GET ${V}/senders`,
    error: /senders could not be loaded/,
    data: /Harbour Books/,
    empty: { answer: page([]), text: /No sender yet/ },
  },
  {
    page: "relays",
    path: "/settings?tab=relays",
    route: `GET ${V}/relays`,
    error: /relays could not be loaded/,
    data: /smtp.harbour.example/,
    empty: { answer: page([]), text: /No relay of your own/ },
  },
  {
    page: "limits",
    path: "/settings?tab=limits",
    route: `GET ${V}/limits`,
    error: /limits could not be loaded/,
    data: /The whole account/,
    empty: { answer: page([]), text: /No limits/ },
  },
  {
    page: "API keys",
    path: "/settings?tab=api-keys",
    route: `GET ${V}/api-keys`,
    error: /API keys could not be loaded/,
    data: /Shop/,
    empty: { answer: page([]), text: /No API keys yet/ },
  },
  {
    page: "team",
    path: "/settings?tab=team",
    route: `GET ${V}/team`,
    error: /team could not be loaded/,
    data: /ben@harbour.example/,
    empty: { answer: page([]), text: /Nobody is in the team yet/ },
  },
  {
    page: "account",
    path: "/settings?tab=account",
    route: `GET ${V}/me`,
    error: /This page could not be loaded/,
    data: /Times are shown in/,
  },
  {
    page: "campaign's progress",
    path: "/campaigns/cmp_2",
    route: `GET ${V}/campaigns/*/progress`,
    error: /progress could not be loaded/,
    data: /adds up, always/,
  },
  {
    page: "campaign's chart",
    path: "/campaigns/cmp_2",
    route: `GET ${V}/campaigns/*/throughput`,
    error: /chart could not be loaded/,
    data: /tried again/,
    empty: { answer: ok({ step_s: 1, points: [] }), text: /Nothing was sent yet/ },
  },
  {
    page: "message",
    path: "/sent?message=msg_0",
    route: `GET ${V}/messages/*`,
    error: /message could not be loaded/,
    data: /Accepted by the mail server/,
  },
  {
    page: "compose: an import as audience",
    path: "/campaigns/cmp_5/compose",
    route: `GET ${V}/imports/*`,
    error: /import could not be loaded/,
    data: /customers.csv is imported/,
  },
  {
    page: "compose: preview",
    path: "/campaigns/cmp_5/compose?step=preview",
    route: `POST ${V}/campaigns/*/preview`,
    error: /preview could not be loaded/,
    data: /What blooms in April, Ada/,
  },
  {
    page: "compose: forecast",
    path: "/campaigns/cmp_5/compose?step=schedule",
    route: `POST ${V}/campaigns/*/forecast`,
    error: /forecast could not be loaded/,
    data: /Everyone has it/,
  },
];

describe.each(CASES)("the page $page", ({ path, route, error, data, empty }) => {
  test("shows that it is loading", async () => {
    renderApp(path, { [route]: "never" });
    expect((await screen.findAllByRole("status", { name: "Loading" })).length).toBeGreaterThan(0);
  });

  test("says what failed and why, and tries again when asked", async () => {
    let isBroken = true;
    const sampleAnswer = (await import("@/testing/mock-api")).sampleRoutes()[route];
    const { user } = renderApp(path, {
      [route]: (request) => {
        if (isBroken || sampleAnswer === undefined) return problem(500, "internal_error", "Something broke here.");
        return typeof sampleAnswer === "function" ? sampleAnswer(request) : sampleAnswer;
      },
    });
    expect(await screen.findByText(error)).toBeInTheDocument();
    expect(screen.getAllByText("Something broke here.").length).toBeGreaterThan(0);
    isBroken = false;
    await user.click(screen.getAllByRole("button", { name: "Try again" })[0] ?? document.body);
    await waitFor(() => expect(screen.queryByText(error)).not.toBeInTheDocument());
  });

  test.runIf(empty)("says what to do first when there is nothing", async () => {
    renderApp(path, { [route]: empty?.answer ?? page([]) });
    expect(await screen.findByText(empty?.text ?? /never/)).toBeInTheDocument();
  });

  test("shows its data, without faults that axe finds", async () => {
    const { container } = renderApp(path);
    expect((await screen.findAllByText(data)).length).toBeGreaterThan(0);
    expect(await axeFaults(container)).toEqual([]);
  });
});
