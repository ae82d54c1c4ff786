import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { beforeAll, expect, test, vi } from "vitest";
import { ok, problem, type Routes } from "@/testing/mock-api";
import { renderApp, warmUp } from "@/testing/render-app";
import * as sample from "@/testing/sample";

const V = "/api/v1";

beforeAll(warmUp, 120_000);

test("what is typed is saved by itself", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_5/compose?step=content");
  const subject = await screen.findByLabelText("Subject");
  await user.clear(subject);
  await user.type(subject, "Hello");
  await waitFor(() => expect(calls.findLast((call) => call.method === "PATCH")?.body).toEqual({ subject: "Hello" }), {
    timeout: 4000,
  });
  expect(await screen.findByText("Draft saved")).toBeInTheDocument();
});

test("a fault that the server finds lands at its field, and the rest is saved", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_5/compose?step=content", {
    [`PATCH ${V}/campaigns/*`]: ({ body }) =>
      typeof body === "object" && body !== null && "subject" in body
        ? problem(422, "invalid_input", "Some fields cannot be taken.", [
            { pointer: "/subject", detail: "{{ nickname }} is not known to this audience", code: "unknown_tag" },
          ])
        : ok({ ...sample.readyDraft, ...(typeof body === "object" ? body : {}) }),
  });
  await user.type(await screen.findByLabelText("Subject"), " x");
  await user.type(screen.getByLabelText("Preview text"), "!");
  expect(
    await screen.findByText("{{ nickname }} is not known to this audience.", undefined, { timeout: 4000 }),
  ).toBeInTheDocument();
  await waitFor(() =>
    expect(
      calls.some((call) => call.method === "PATCH" && JSON.stringify(call.body).startsWith('{"preview_text"')),
    ).toBe(true),
  );
  expect(screen.getByText("Kept in this browser")).toBeInTheDocument();
});

test("nothing typed is lost when the page is loaded again before it was saved", async () => {
  localStorage.setItem("mailtide-draft-cmp_5", JSON.stringify({ subject: "Kept words" }));
  renderApp("/campaigns/cmp_5/compose?step=content");
  expect(await screen.findByLabelText("Subject")).toHaveValue("Kept words");
});

test("an unknown merge tag is told while writing", async () => {
  renderApp("/campaigns/cmp_5/compose?step=content", {
    [`GET ${V}/campaigns/*`]: ok({ ...sample.readyDraft, subject: "Hi {{ nickname }}" }),
  });
  expect(await screen.findByText(/The audience does not have {{ nickname }}/)).toBeInTheDocument();
});

test("pasted addresses become the audience, each once", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_4/compose");
  await user.click(await screen.findByRole("tab", { name: "Paste" }));
  await user.click(await screen.findByLabelText("Addresses"));
  await user.paste("email,first_name\nada@mail.example,Ada\nADA@mail.example,Ada\nnobody");
  expect(await screen.findByText(/1 address/)).toBeInTheDocument();
  await user.click(screen.getByRole("button", { name: "Use this address" }));
  await waitFor(() =>
    expect(calls.find((call) => call.method === "PATCH")?.body).toEqual({
      audience: { contacts: [{ first_name: "Ada", email: "ADA@mail.example" }] },
    }),
  );
});

test("the launch shows the forecast first, and is off with the reason while something is missing", async () => {
  const { user, calls, unmount } = renderApp("/campaigns/cmp_5/compose?step=schedule");
  await user.click(await screen.findByRole("button", { name: "Launch now" }));
  const confirm = await screen.findByRole("button", { name: /Launch now to 12,319/ });
  expect(calls.some((call) => call.path.endsWith("/launch"))).toBe(false);
  await user.click(confirm);
  await waitFor(() => expect(calls.find((call) => call.path.endsWith("/launch"))?.body).toEqual({}));
  unmount();
  renderApp("/campaigns/cmp_4/compose?step=schedule");
  expect(await screen.findByRole("button", { name: /Launch now/ })).toHaveAccessibleDescription(/Choose who gets it/);
});

test("a scheduled launch can be undone", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_5/compose?step=schedule", {
    [`POST ${V}/campaigns/*/launch`]: ok({ ...sample.scheduledCampaign, id: "cmp_5" }),
  });
  await user.click(await screen.findByRole("radio", { name: /At a time/ }));
  await user.click(
    within(screen.getByRole("complementary", { name: "Forecast" })).getByRole("button", { name: "Schedule" }),
  );
  await user.click(await screen.findByRole("button", { name: /Schedule to/ }));
  await user.click(await screen.findByRole("button", { name: "Undo" }));
  await waitFor(() => expect(calls.some((call) => call.path.endsWith("/unschedule"))).toBe(true));
});

/** jsdom has no upload: this one is over at once. */
class InstantUpload {
  upload: { onprogress: ((event: { lengthComputable: boolean; loaded: number; total: number }) => void) | null } = {
    onprogress: null,
  };
  onload: (() => void) | null = null;
  status = 201;
  responseText = JSON.stringify(sample.importJob({ status: "awaiting_mapping", mapping: null }));
  open() {}
  setRequestHeader() {}
  abort() {}
  send() {
    setTimeout(() => {
      this.upload.onprogress?.({ lengthComputable: true, loaded: 1, total: 1 });
      this.onload?.();
    }, 0);
  }
}

test("a CSV file shows its columns with their guessed meaning, goes up, and becomes the audience", async () => {
  vi.stubGlobal("XMLHttpRequest", InstantUpload);
  const { user, calls } = renderApp("/campaigns/cmp_4/compose");
  const file = new File(["E-Mail;Vorname;Ort\nada@mail.example;Ada;Bremen\n"], "customers.csv", { type: "text/csv" });
  await user.upload(await screen.findByLabelText("CSV file", { selector: "input" }), file);
  expect(await screen.findByRole("combobox", { name: "Meaning of E-Mail" })).toHaveTextContent("Email address");
  expect(screen.getByRole("combobox", { name: "Meaning of Vorname" })).toHaveTextContent("First name");
  await screen.findByText(/uploaded/);
  await user.click(screen.getByRole("button", { name: "Import the contacts" }));
  await waitFor(() =>
    expect(calls.find((call) => call.path.endsWith("/start"))?.body).toEqual({
      mapping: { email: "E-Mail", first_name: "Vorname", city: "Ort" },
      on_conflict: "update",
    }),
  );
  await waitFor(() =>
    expect(calls.find((call) => call.method === "PATCH")?.body).toEqual({ audience: { import_id: "imp_1" } }),
  );
});

test("the merge tags are those that the server says the audience has, in any browser", async () => {
  renderApp("/campaigns/cmp_5/compose?step=content", {
    [`GET ${V}/campaigns/*`]: ok({
      ...sample.readyDraft,
      subject: "Hello {{ first_name }}",
      audience: { kind: "contacts", contact_count: 2, label: "2 contacts", columns: ["first_name"] },
    }),
  });
  expect(await screen.findByRole("button", { name: "Insert the merge tag first_name" })).toBeInTheDocument();
  expect(screen.queryByText(/The audience does not have/)).not.toBeInTheDocument();
});

test("while nobody knows what the audience has, no merge tag is called unknown", async () => {
  renderApp("/campaigns/cmp_5/compose?step=content", {
    [`GET ${V}/campaigns/*`]: ok({ ...sample.readyDraft, subject: "Hello {{ first_name }}", audience: null }),
  });
  await screen.findByLabelText("Subject");
  expect(screen.queryByText(/The audience does not have/)).not.toBeInTheDocument();
});

test("choosing an audience never touches what is written", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_5/compose");
  await user.click(await screen.findByRole("tab", { name: "Lists" }));
  await user.click(await screen.findByRole("checkbox", { name: /Members/ }));
  await user.click(screen.getByRole("button", { name: "Use this list" }));
  await waitFor(() =>
    expect(calls.filter((call) => call.method === "PATCH").map((call) => call.body)).toEqual([
      { audience: { list_ids: ["lst_2"] } },
    ]),
  );
});

test("the preview offers the people of the audience, and nobody else", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_5/compose?step=preview", {
    [`GET ${V}/campaigns/*/audience`]: ({ url }) =>
      ok({
        data: url.searchParams.get("q") === "zoe" ? [] : sample.audienceContacts.slice(0, 2),
        next_cursor: null,
      }),
  });
  const people = await screen.findByRole("region", { name: "Preview as" });
  await user.click(await within(people).findByRole("button", { name: "grace@mail1.example" }));
  await waitFor(() =>
    expect(calls.findLast((call) => call.path.endsWith("/preview"))?.body).toEqual({ contact_id: "ctc_1" }),
  );
  expect(calls.some((call) => call.path.startsWith(`${V}/contacts`))).toBe(false);
  await user.type(within(people).getByRole("searchbox"), "zoe");
  expect(await within(people).findByText("Nobody in the audience fits.")).toBeInTheDocument();
});

test("what the launch would be refused for is said beforehand, with its place and the way there", async () => {
  const fault = { pointer: "/subject", detail: "the audience has no {{ nickname }}", code: "unknown_tag" };
  const { user } = renderApp("/campaigns/cmp_5/compose?step=schedule", {
    [`POST ${V}/campaigns/*/forecast`]: ok({ ...sample.forecast, faults: [fault, fault, fault] }),
  });
  await user.click(await screen.findByRole("link", { name: "Change the content" }));
  expect(await screen.findByLabelText("Subject")).toBeInTheDocument();
  await user.click(screen.getByRole("button", { name: /Schedule/ }));
  expect(await screen.findByRole("button", { name: /^Launch now/ })).toHaveAccessibleDescription(
    "Subject: The audience has no {{ nickname }}. And 2 more.",
  );
});

test("the time that was chosen is kept while another step is looked at", async () => {
  const { user } = renderApp("/campaigns/cmp_5/compose?step=schedule");
  await user.click(await screen.findByRole("radio", { name: /At a time/ }));
  fireEvent.change(await screen.findByLabelText("Date"), { target: { value: "2031-05-06" } });
  const steps = screen.getByRole("navigation", { name: "Steps" });
  await user.click(within(steps).getByRole("button", { name: /^Content/ }));
  expect(await screen.findByLabelText("Subject")).toBeInTheDocument();
  await user.click(within(steps).getByRole("button", { name: /^Schedule/ }));
  expect(await screen.findByRole("radio", { name: /At a time/ })).toBeChecked();
  expect(screen.getByLabelText("Date")).toHaveValue("2031-05-06");
});

test("the content is not done while the forecast finds a fault in it, until it is changed", async () => {
  const fault = { pointer: "/text", detail: "the audience has no {{ nickname }}", code: "unknown_tag" };
  const { user } = renderApp("/campaigns/cmp_5/compose?step=schedule", {
    ...savingDraft(),
    [`POST ${V}/campaigns/*/forecast`]: ok({ ...sample.forecast, faults: [fault] }),
  });
  await screen.findByRole("link", { name: "Change the content" });
  const steps = screen.getByRole("navigation", { name: "Steps" });
  await user.click(within(steps).getByRole("button", { name: "Content, has a fault" }));
  await user.type(await screen.findByLabelText("Preview text"), "!");
  expect(await within(steps).findByRole("button", { name: "Content, done" }, { timeout: 4000 })).toBeInTheDocument();
});

test("a fault that was mended is not shown again while the new forecast is on its way", async () => {
  const fault = { pointer: "/text", detail: "the audience has no {{ nickname }}", code: "unknown_tag" };
  let isMended = false;
  const { user, calls } = renderApp("/campaigns/cmp_5/compose?step=schedule", {
    ...savingDraft(),
    [`POST ${V}/campaigns/*/forecast`]: () => (isMended ? "never" : ok({ ...sample.forecast, faults: [fault] })),
  });
  await user.click(await screen.findByRole("link", { name: "Change the content" }));
  isMended = true;
  await user.click(await screen.findByRole("tab", { name: "Plain text" }));
  await user.type(screen.getByRole("textbox", { name: "Plain text" }), "Hello");
  await user.click(screen.getByRole("button", { name: "Schedule" }));
  await waitFor(() => expect(calls.filter((call) => call.path.endsWith("/forecast")).length).toBeGreaterThan(1));
  expect(await screen.findByRole("button", { name: /^Launch now/ })).not.toHaveAccessibleDescription(/nickname/);
});

/** A server that keeps what it is sent, and says when it was sent. */
function savingDraft(): Routes {
  let draft: object = sample.readyDraft;
  let saves = 0;
  return {
    [`GET ${V}/campaigns/*`]: () => ok(draft),
    [`PATCH ${V}/campaigns/*`]: ({ body }) => {
      saves += 1;
      const at = new Date(Date.parse(sample.readyDraft.updated_at) + saves * 1000).toISOString();
      draft = { ...draft, ...(typeof body === "object" ? body : {}), updated_at: at };
      return ok(draft);
    },
  };
}

test("a time is chosen to the second, and a day on which the clocks change is explained", async () => {
  const { user, calls } = renderApp("/campaigns/cmp_5/compose?step=schedule");
  await user.click(await screen.findByRole("radio", { name: /At a time/ }));
  fireEvent.change(screen.getByLabelText("Date"), { target: { value: "2027-03-28" } });
  fireEvent.change(screen.getByLabelText("Time"), { target: { value: "02:30:00" } });
  expect(screen.getByRole("alert")).toHaveTextContent(
    "On Sunday 28 Mar 2027 the clocks in Berlin go forward from 02:00 to 03:00, so 02:30 does not exist.",
  );
  fireEvent.change(screen.getByLabelText("Time"), { target: { value: "09:00:30" } });
  expect(screen.getByText("Sunday 28 Mar 2027, 09:00:30 Berlin")).toBeInTheDocument();
  await waitFor(() =>
    expect(calls.findLast((call) => call.path.endsWith("/forecast"))?.body).toEqual({
      scheduled_at: "2027-03-28T07:00:30.000Z",
    }),
  );
});
