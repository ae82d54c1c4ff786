/**
 * The one way to the server. Answers are parsed by the schema that the caller gives, so the rest of the app holds only
 * true types; failures become ApiError (the server said no, and why) or ConnectionError (nobody answered).
 */
import * as z from "zod";
import { reportConnection } from "@/lib/connection";

export const API = "/api/v1";

export type FieldFault = { pointer: string; detail: string; code?: string | undefined };

const problemSchema = z.object({
  title: z.string().optional(),
  status: z.number().optional(),
  detail: z.string().nullish(),
  code: z.string().optional(),
  errors: z
    .array(z.object({ pointer: z.string().default(""), detail: z.string(), code: z.string().optional() }))
    .nullish(),
});

export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly faults: FieldFault[] = [],
  ) {
    super(message);
  }
}

export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  constructor() {
    super("The server does not answer. Check the connection; this page tries again by itself.");
  }
}

type Params = Record<string, string | number | undefined>;

/** A path with its query, without empty values. */
export function withParams(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** The last answer of each polled address, so that an unchanged one is a 304 without a body. */
const known = new Map<string, { etag: string; body: unknown }>();
const KNOWN_MAX = 50;

export async function get<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  options: { params?: Params; signal?: AbortSignal } = {},
): Promise<z.infer<Schema>> {
  const url = withParams(path, options.params);
  const before = known.get(url);
  const response = await send(url, {
    headers: { Accept: "application/json", ...(before ? { "If-None-Match": before.etag } : {}) },
    cache: "no-store",
    ...(options.signal ? { signal: options.signal } : {}),
  });
  if (response.status === 304 && before) return parse(schema, before.body, url);
  const body: unknown = await readJson(response);
  remember(url, response.headers.get("ETag"), body);
  return parse(schema, body, url);
}

function remember(url: string, etag: string | null, body: unknown): void {
  known.delete(url);
  if (etag === null) return;
  known.set(url, { etag, body });
  const oldest = known.keys().next();
  if (known.size > KNOWN_MAX && !oldest.done) known.delete(oldest.value);
}

/** Forget all answers: they belong to the session that ended. */
export function forgetAnswers(): void {
  known.clear();
}

export async function post<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  body?: unknown,
): Promise<z.infer<Schema>> {
  // One key for all tries of this one act: a lost answer is asked for again, and nothing happens twice.
  const headers = { "Idempotency-Key": newKey() };
  for (let tries = 1; ; tries += 1) {
    try {
      return await write("POST", path, schema, body, headers);
    } catch (error) {
      if (!(error instanceof ConnectionError) || tries >= 3) throw error;
      await new Promise((resolve) => setTimeout(resolve, tries * 700));
    }
  }
}

export function patch<Schema extends z.ZodType>(path: string, schema: Schema, body: unknown): Promise<z.infer<Schema>> {
  return write("PATCH", path, schema, body);
}

export async function remove(path: string, body?: unknown): Promise<void> {
  await write("DELETE", path, z.unknown(), body);
}

async function write<Schema extends z.ZodType>(
  method: string,
  path: string,
  schema: Schema,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<z.infer<Schema>> {
  const response = await send(path, {
    method,
    headers: {
      Accept: "application/json",
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return parse(schema, response.status === 204 ? undefined : await readJson(response), path);
}

async function send(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    reportConnection(true);
    throw new ConnectionError();
  }
  if (response.status === 502 || response.status === 504) {
    reportConnection(true);
    throw new ConnectionError();
  }
  reportConnection(false);
  if (response.status >= 400) throw toError(response.status, await readJson(response));
  return response;
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Turn a problem document into an error whose message is fit for people. */
export function toError(status: number, body: unknown): ApiError {
  const problem = problemSchema.safeParse(body);
  if (!problem.success) return new ApiError(status, "unknown", `The server answered ${status} without saying why.`);
  const { code, detail, title, errors } = problem.data;
  const message = detail || title || `The server answered ${status}.`;
  return new ApiError(status, code ?? "unknown", message, errors ?? []);
}

export function parse<Schema extends z.ZodType>(schema: Schema, body: unknown, url: string): z.infer<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const where = result.error.issues[0];
  console.error(`Answer of ${url} is not as agreed`, result.error.issues);
  throw new ApiError(
    0,
    "unexpected_answer",
    `The server's answer was not understood (${where?.path.join(".") || "body"}).`,
  );
}

/** 128 random bits. crypto.randomUUID exists only on https and localhost. */
function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What to say when an act failed. */
export function describeError(error: unknown): string {
  if (error instanceof ApiError && error.faults.length > 0) {
    return error.faults
      .map((fault) => fault.detail)
      .slice(0, 3)
      .join(" ");
  }
  return error instanceof Error ? error.message : "Something went wrong.";
}
