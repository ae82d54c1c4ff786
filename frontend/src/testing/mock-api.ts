/** A server made of a table: "GET /api/v1/campaigns" → what it answers. Stands in for `fetch`. */
import * as sample from "@/testing/sample";

export type Answer = { status?: number; body?: unknown; headers?: Record<string, string> } | "lost" | "never";
export type Handler = Answer | ((request: { url: URL; body: unknown; params: string[] }) => Answer | Promise<Answer>);
export type Routes = Record<string, Handler>;

export const ok = (body: unknown, status = 200): Answer => ({ status, body });
export const page = (data: unknown[]): Answer => ok({ data, next_cursor: null });
export const problem = (status: number, code: string, detail: string, errors: unknown[] = []): Answer => ({
  status,
  body: { type: `urn:mailtide:problem:${code}`, title: code, status, code, detail, errors },
});

const V = "/api/v1";
const byId = (all: Array<{ id: string }>) => (request: { params: string[] }) =>
  ok(all.find((each) => each.id === request.params[0]) ?? all[0]);

/** All of the API with sample data. `*` stands for one part of the path. */
export function sampleRoutes(): Routes {
  return {
    "GET /auth/options": ok({ demo: true, google: true, signed_in: true }),
    "POST /auth/demo": ok(sample.me, 201),
    "POST /auth/logout": { status: 204 },
    "GET /healthz": ok({}),
    [`GET ${V}/me`]: ok(sample.me),
    [`GET ${V}/overview`]: ok(sample.overview),
    [`GET ${V}/campaigns`]: ({ url }) => {
      const status = url.searchParams.get("status");
      return page(sample.campaigns.filter((each) => status === null || each.status === status));
    },
    [`POST ${V}/campaigns`]: ok(sample.draftCampaign, 201),
    [`GET ${V}/campaigns/*`]: byId(sample.campaigns),
    [`PATCH ${V}/campaigns/*`]: ({ params, body }) =>
      ok({
        ...sample.campaigns.find((each) => each.id === params[0]),
        ...(typeof body === "object" ? body : {}),
        audience: sample.readyDraft.audience,
        limit: null,
      }),
    [`DELETE ${V}/campaigns/*`]: { status: 204 },
    [`GET ${V}/campaigns/*/progress`]: ({ params }) => {
      const one = sample.campaigns.find((each) => each.id === params[0]);
      return ok(
        one?.status === "sending"
          ? sample.progress
          : {
              ...sample.progress,
              ...one?.counts,
              status: one?.status,
              per_second: 0,
              resumes_at: null,
              finishes_at: one?.finished_at,
              started_at: one?.started_at,
            },
      );
    },
    [`GET ${V}/campaigns/*/throughput`]: ok(sample.throughput),
    [`GET ${V}/campaigns/*/messages`]: page(sample.messages),
    [`GET ${V}/campaigns/*/audience`]: page(sample.audienceContacts),
    [`POST ${V}/campaigns/*/preview`]: ok(sample.preview),
    [`POST ${V}/campaigns/*/forecast`]: ok(sample.forecast),
    [`POST ${V}/campaigns/*/test`]: ok({ message_id: "msg_t", to: "ada@mail.example" }, 202),
    [`POST ${V}/campaigns/*/launch`]: ok({ ...sample.scheduledCampaign, id: "cmp_3" }),
    [`POST ${V}/campaigns/*/*`]: ({ params }) =>
      ok({ ...(sample.campaigns.find((each) => each.id === params[0]) ?? sample.campaigns[0]), message_count: 9 }),
    [`GET ${V}/messages`]: ({ url }) =>
      page(url.searchParams.get("status") === "scheduled" ? sample.scheduledMessages : sample.messages),
    [`GET ${V}/messages/*`]: ok(sample.messageDetail),
    [`POST ${V}/messages/*/*`]: ok(sample.messageDetail),
    [`GET ${V}/contacts`]: page(sample.contacts),
    [`POST ${V}/contacts`]: ok(sample.contacts[0], 201),
    [`PATCH ${V}/contacts/*`]: ok(sample.contacts[0]),
    [`DELETE ${V}/contacts/*`]: { status: 204 },
    [`GET ${V}/lists`]: page(sample.lists),
    [`POST ${V}/lists`]: ok(sample.lists[0], 201),
    [`GET ${V}/suppressions`]: page(sample.suppressions),
    [`POST ${V}/suppressions`]: ok(sample.suppressions[0], 201),
    [`GET ${V}/imports`]: page([
      sample.importJob(),
      sample.importJob({ id: "imp_2", filename: "leads.csv", status: "importing", rows_read: 4200, rows_rejected: 0 }),
    ]),
    [`GET ${V}/imports/*`]: ok(sample.importJob()),
    [`POST ${V}/imports/*/start`]: ok(sample.importJob({ status: "importing", rows_read: 4200 }), 202),
    [`GET ${V}/senders`]: page(sample.senders),
    [`POST ${V}/senders`]: ok(sample.senders[0], 201),
    [`GET ${V}/relays`]: page(sample.relays),
    [`POST ${V}/relays/*/test`]: ok(sample.relayTest),
    [`GET ${V}/team`]: page(sample.team),
    [`POST ${V}/team`]: ok(sample.team[1], 201),
    [`PATCH ${V}/team/*`]: ok({ ...sample.team[1], role: "owner" }),
    [`DELETE ${V}/team/*`]: { status: 204 },
    [`POST ${V}/me/account`]: ok(sample.owner),
    [`GET ${V}/templates`]: page([
      { id: "tpl_1", name: "Letter", subject: "News", created_at: sample.me.account.created_at },
    ]),
    [`GET ${V}/limits`]: page(sample.limits),
    [`PATCH ${V}/limits/*`]: ok(sample.limits[0]),
    [`GET ${V}/api-keys`]: page(sample.apiKeys),
    [`POST ${V}/api-keys`]: ok({ ...sample.apiKeys[0], id: "key_2", secret: "mt_secretshownonce" }, 201),
    [`GET ${V}/inbox`]: page(sample.inbox),
    [`GET ${V}/inbox/*`]: byId(sample.inbox.map((row) => ({ ...sample.inboxMail, ...row }))),
  };
}

export type Call = { method: string; path: string; body: unknown; headers: Headers };

/** A `fetch` that answers from the table, and the list of what it was asked. */
export function mockFetch(routes: Routes): { fetch: typeof fetch; calls: Call[] } {
  const calls: Call[] = [];
  const answerFetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(input instanceof Request ? input.url : input), window.location.origin);
    const method = init.method ?? "GET";
    const body: unknown = typeof init.body === "string" ? JSON.parse(init.body) : undefined;
    calls.push({ method, path: url.pathname + url.search, body, headers: new Headers(init.headers) });
    const answer = await find(routes, method, url, body);
    if (answer === "lost") throw new TypeError("Failed to fetch");
    if (answer === "never") {
      return new Promise((_, reject) => {
        init.signal?.addEventListener("abort", () => reject(new DOMException("Aborted", "AbortError")));
      });
    }
    const status = answer.status ?? 200;
    const text = answer.body === undefined ? null : JSON.stringify(answer.body);
    return new Response(text, {
      status,
      headers: { "Content-Type": status >= 400 ? "application/problem+json" : "application/json", ...answer.headers },
    });
  };
  return { fetch: answerFetch, calls };
}

async function find(routes: Routes, method: string, url: URL, body: unknown): Promise<Answer> {
  const asked = url.pathname.split("/");
  // The most exact pattern wins: fewer stars first.
  const patterns = Object.keys(routes).sort((a, b) => a.split("*").length - b.split("*").length);
  for (const pattern of patterns) {
    const [verb, path = ""] = pattern.split(" ");
    const parts = path.split("/");
    if (verb !== method || parts.length !== asked.length) continue;
    if (!parts.every((part, at) => part === "*" || part === asked[at])) continue;
    const handler = routes[pattern];
    if (handler === undefined) continue;
    const params = asked.filter((_, at) => parts[at] === "*");
    return typeof handler === "function" ? handler({ url, body, params }) : handler;
  }
  return problem(404, "not_found", `The mock has no ${method} ${url.pathname}.`);
}
