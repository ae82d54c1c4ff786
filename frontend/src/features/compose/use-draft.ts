/**
 * A draft that keeps itself. What is typed goes to the browser's storage at once and to the server after a pause; what the
 * server refuses stays here, with the reason at its field, and everything else is saved without it.
 */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import * as z from "zod";
import { type Campaign, type CampaignInput, campaignQuery, updateCampaign } from "@/api/campaigns";
import { ApiError, ConnectionError, describeError } from "@/api/http";
import { readStored, writeStored } from "@/lib/storage";

const PAUSE_MS = 700;
/** After a lost connection: try again by itself. */
const RETRY_MS = 4000;

const fieldsSchema = z.object({
  name: z.string(),
  subject: z.string(),
  preview_text: z.string(),
  html: z.string(),
  text: z.string(),
  sender_id: z.string().nullable(),
  pacing: z.enum(["burst", "smooth"]),
  uncertain_policy: z.enum(["hold", "resend"]),
  limit: z.object({ limit: z.number(), window_s: z.number() }).nullable(),
});
export type DraftFields = z.infer<typeof fieldsSchema>;
export type DraftField = keyof DraftFields;

export type SaveState =
  | { kind: "saved" }
  | { kind: "saving" }
  | { kind: "waiting" }
  | { kind: "failed"; reason: string };

export type Draft = {
  fields: DraftFields;
  faults: Partial<Record<DraftField, string>>;
  state: SaveState;
  set: (changes: Partial<DraftFields>) => void;
  /** Save what is typed now. Resolves to whether the server has all of it. */
  flush: () => Promise<boolean>;
};

const NAMES = fieldsSchema.keyof().options;

function fieldsOf(campaign: Campaign): DraftFields {
  return {
    name: campaign.name,
    subject: campaign.subject,
    preview_text: campaign.preview_text,
    html: campaign.html ?? "",
    text: campaign.text ?? "",
    sender_id: campaign.sender_id,
    pacing: campaign.pacing,
    uncertain_policy: campaign.uncertain_policy,
    limit: campaign.limit,
  };
}

const storageKey = (id: string) => `mailtide-draft-${id}`;

function readKept(id: string): Partial<DraftFields> {
  const stored = readStored(storageKey(id));
  if (stored === null) return {};
  try {
    const kept = fieldsSchema.partial().safeParse(JSON.parse(stored));
    if (!kept.success) return {};
    return Object.fromEntries(Object.entries(kept.data).filter(([, value]) => value !== undefined));
  } catch {
    return {};
  }
}

export function useDraft(campaign: Campaign): Draft {
  const { id } = campaign;
  const queryClient = useQueryClient();
  const [fields, setFields] = useState<DraftFields>(() => ({ ...fieldsOf(campaign), ...readKept(id) }));
  const [faults, setFaults] = useState<Draft["faults"]>({});
  const [state, setState] = useState<SaveState>({ kind: "saved" });
  const latest = useRef(fields);
  /** What the server has, as far as we know. */
  const saved = useRef(fieldsOf(campaign));
  const running = useRef<Promise<boolean> | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  const save = useCallback(async (): Promise<boolean> => {
    clearTimeout(timer.current);
    const sent = latest.current;
    const changes = changedFields(saved.current, sent);
    if (Object.keys(changes).length === 0) {
      writeStored(storageKey(id), null);
      setFaults({});
      setState({ kind: "saved" });
      return true;
    }
    setState({ kind: "saving" });
    try {
      const { campaign: after, faults: found } = await saveWhatCanBe(id, changes);
      if (after) {
        saved.current = { ...fieldsOf(after), name: after.name };
        queryClient.setQueryData(campaignQuery(id).queryKey, after);
      }
      setFaults(found);
      const rest = changedFields(saved.current, latest.current);
      writeStored(storageKey(id), Object.keys(rest).length === 0 ? null : JSON.stringify(rest));
      const isAll = Object.keys(found).length === 0;
      setState(
        isAll ? { kind: "saved" } : { kind: "failed", reason: "What is marked below is kept in this browser only." },
      );
      return isAll && Object.keys(rest).length === 0;
    } catch (error) {
      setState({ kind: "failed", reason: describeError(error) });
      // The session has ended: asked anew, the campaign says so too, and that brings the sign-in and then this page again.
      if (error instanceof ApiError && error.status === 401) {
        void queryClient.invalidateQueries({ queryKey: campaignQuery(id).queryKey });
      }
      if (error instanceof ConnectionError) timer.current = setTimeout(() => void save(), RETRY_MS);
      return false;
    }
  }, [id, queryClient]);

  const flush = useCallback(async (): Promise<boolean> => {
    // One save at a time, in the order of typing.
    while (running.current) await running.current;
    const run = save().finally(() => {
      running.current = null;
    });
    running.current = run;
    return run;
  }, [save]);

  const set = useCallback(
    (changes: Partial<DraftFields>) => {
      latest.current = { ...latest.current, ...changes };
      setFields(latest.current);
      writeStored(storageKey(id), JSON.stringify(changedFields(saved.current, latest.current)));
      setState({ kind: "waiting" });
      clearTimeout(timer.current);
      timer.current = setTimeout(() => void flush(), PAUSE_MS);
    },
    [flush, id],
  );

  // What an earlier visit could not save is tried again; what this one has not saved yet goes when the page is left.
  useEffect(() => {
    if (Object.keys(changedFields(saved.current, latest.current)).length > 0) void flush();
    return () => {
      clearTimeout(timer.current);
      if (Object.keys(changedFields(saved.current, latest.current)).length > 0) void flush();
    };
  }, [flush]);

  return { fields, faults, state, set, flush };
}

function changedFields(before: DraftFields, after: DraftFields): Partial<DraftFields> {
  return Object.fromEntries(
    NAMES.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name])).map((name) => [
      name,
      after[name],
    ]),
  );
}

type Saved = { campaign: Campaign | null; faults: Draft["faults"] };

/** Save all changes; when some fields are refused, save the others without them. */
async function saveWhatCanBe(id: string, changes: Partial<DraftFields>): Promise<Saved> {
  try {
    return { campaign: await updateCampaign(id, toInput(changes)), faults: {} };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 422) throw error;
    const faults = faultsByField(error);
    const rest = Object.fromEntries(
      Object.entries(changes).filter(([name]) => !NAMES.some((each) => each === name && each in faults)),
    );
    if (Object.keys(faults).length === 0) throw error;
    if (Object.keys(rest).length === 0 || Object.keys(rest).length === Object.keys(changes).length)
      return { campaign: null, faults };
    const after = await saveWhatCanBe(id, rest);
    return { campaign: after.campaign, faults: { ...after.faults, ...faults } };
  }
}

/** The server's pointers ("/html") as names of fields. */
function faultsByField(error: ApiError): Draft["faults"] {
  const faults: Draft["faults"] = {};
  for (const { pointer, detail } of error.faults) {
    const field = NAMES.find((name) => name === pointer.split("/")[1]);
    if (field)
      faults[field] = faults[field] === undefined ? asSentence(detail) : `${faults[field]} ${asSentence(detail)}`;
  }
  return faults;
}

export function asSentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** An empty body is no body. */
function toInput(changes: Partial<DraftFields>): CampaignInput {
  const { html, text, limit, ...rest } = changes;
  return {
    ...rest,
    ...(html === undefined ? {} : { html: html === "" ? null : html }),
    ...(text === undefined ? {} : { text: text === "" ? null : text }),
    ...(limit === undefined ? {} : { limit: limit && { limit: limit.limit, window_s: limit.window_s } }),
  };
}
