import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { BookMarked, Lightbulb, TriangleAlert } from "lucide-react";
import { lazy, type RefObject, Suspense, useCallback, useRef, useState } from "react";
import type { Campaign } from "@/api/campaigns";
import { describeError } from "@/api/http";
import { sendersQuery } from "@/api/senders";
import { createTemplate, fetchTemplate, templatesQuery } from "@/api/templates";
import { audienceTags } from "@/features/compose/use-audience";
import type { Draft } from "@/features/compose/use-draft";
import { hasOpenTag, unknownTags } from "@/lib/merge-tags";
import { Button } from "@/ui/button";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { Field, FieldError, Input, InputField, Textarea } from "@/ui/field";
import { Menu } from "@/ui/menu";
import { Notice } from "@/ui/panel";
import { Select } from "@/ui/select";
import { Tabs } from "@/ui/tabs";
import { toast } from "@/ui/toast";

const RichEditor = lazy(() => import("@/features/compose/rich-editor"));
const SourceEditor = lazy(() => import("@/features/compose/source-editor"));

/** Phones show about this much of a subject. */
const SUBJECT_GOOD = 60;
const SUBJECT_MAX = 998;

type Mode = "rich" | "source" | "text";
const MODES = [
  { value: "rich", label: "Rich text" },
  { value: "source", label: "HTML source" },
  { value: "text", label: "Plain text" },
] as const;

/** What rich text cannot keep: layouts by table, style sheets, whole documents. */
const NOT_RICH = /<(table|style|html|head|center|div|section|font|svg)\b/i;

/** What they get. */
export function ContentStep({ campaign, draft }: { campaign: Campaign; draft: Draft }) {
  const { fields, faults, set } = draft;
  const tags = audienceTags(campaign);
  const insert = useRef<((text: string) => void) | null>(null);
  const subject = useRef<HTMLInputElement>(null);
  const preview = useRef<HTMLInputElement>(null);
  // The editors hold their own text: when a template takes its place, fresh ones begin.
  const [edition, setEdition] = useState(0);
  const insertInto = (field: RefObject<HTMLInputElement | null>, name: "subject" | "preview_text") => () => {
    insert.current = (text) => {
      const input = field.current;
      if (!input) return;
      const from = input.selectionStart ?? input.value.length;
      set({ [name]: input.value.slice(0, from) + text + input.value.slice(input.selectionEnd ?? from) });
      requestAnimationFrame(() => {
        input.focus();
        input.setSelectionRange(from + text.length, from + text.length);
      });
    };
  };
  // An editor that has just come does not take the chips from the line that somebody is writing in.
  function takeOver(act: (text: string) => void) {
    const isElsewhere = [subject, preview].some(
      (field) => field.current !== null && field.current === document.activeElement,
    );
    if (!isElsewhere) insert.current = act;
  }
  return (
    <div className="flex flex-col gap-5">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <TagChips tags={tags ?? []} onInsert={(tag) => insert.current?.(`{{ ${tag} }}`)} />
        <Templates draft={draft} onReplaced={() => setEdition(edition + 1)} />
      </div>
      <Field
        label="Subject"
        error={faults.subject}
        aside={
          <span className={`num text-xs ${fields.subject.length > SUBJECT_GOOD ? "text-warn-text" : "text-ink-3"}`}>
            {fields.subject.length}
          </span>
        }
        hint={
          fields.subject.length > SUBJECT_GOOD
            ? `Longer than ${SUBJECT_GOOD} characters: phones will cut it off.`
            : undefined
        }
      >
        {(ids) => (
          <Input
            {...ids}
            ref={subject}
            value={fields.subject}
            maxLength={SUBJECT_MAX}
            onChange={(event) => set({ subject: event.target.value })}
            onFocus={insertInto(subject, "subject")}
            placeholder="What it is about, in a few words"
          />
        )}
      </Field>
      <div className="grid gap-5 sm:grid-cols-2">
        <Field label="Preview text" error={faults.preview_text} hint="What mailboxes show beside the subject.">
          {(ids) => (
            <Input
              {...ids}
              ref={preview}
              value={fields.preview_text}
              maxLength={500}
              onChange={(event) => set({ preview_text: event.target.value })}
              onFocus={insertInto(preview, "preview_text")}
            />
          )}
        </Field>
        <SenderField draft={draft} />
      </div>
      <Body key={edition} draft={draft} onReady={takeOver} />
      <Hints draft={draft} tags={tags} />
    </div>
  );
}

function TagChips({ tags, onInsert }: { tags: string[]; onInsert: (tag: string) => void }) {
  return (
    <div className="flex min-w-0 flex-wrap items-center gap-1.5">
      <span className="mr-1 text-[0.8125rem] text-ink-2">Merge tags</span>
      {["email", ...tags.slice(0, 12), "unsubscribe_url"].map((tag) => (
        <button
          key={tag}
          type="button"
          aria-label={`Insert the merge tag ${tag}`}
          onMouseDown={(event) => event.preventDefault()}
          onClick={() => onInsert(tag)}
          className="rounded-md border border-line-2 bg-glass-2 px-2 py-0.5 font-mono text-xs text-accent-text transition-colors pointer-coarse:min-h-10 pointer-coarse:px-3 hover:border-accent hover:bg-accent-soft"
        >
          {tag}
        </button>
      ))}
    </div>
  );
}

function SenderField({ draft }: { draft: Draft }) {
  const senders = useQuery(sendersQuery);
  const options = (senders.data ?? []).map((sender) => ({
    value: sender.id,
    label: sender.name ? `${sender.name} <${sender.email}>` : sender.email,
  }));
  const value = draft.fields.sender_id ?? senders.data?.find((sender) => sender.is_default)?.id ?? "";
  return (
    <Field
      label="From"
      error={draft.faults.sender_id ?? (senders.error ? describeError(senders.error) : undefined)}
      hint={
        senders.data?.length === 0 ? (
          <>
            There is no sender yet.{" "}
            <Link to="/settings" search={{ tab: "senders" }} className="font-medium text-accent-text underline">
              Make one
            </Link>
          </>
        ) : undefined
      }
    >
      {(ids) => (
        <Select
          ids={ids}
          value={value}
          options={options}
          onChange={(id) => draft.set({ sender_id: id })}
          className="w-full"
        />
      )}
    </Field>
  );
}

function Body({ draft, onReady }: { draft: Draft; onReady: (insert: (text: string) => void) => void }) {
  const { fields, faults, set } = draft;
  const [mode, setMode] = useState<Mode>(NOT_RICH.test(fields.html) ? "source" : "rich");
  const [isAsking, setIsAsking] = useState(false);
  const text = useRef<HTMLTextAreaElement>(null);
  const ready = useRef(onReady);
  ready.current = onReady;
  // Chips write where the caret was last: the editor says how it is written into, and again when it is entered.
  const insertHere = useRef<((text: string) => void) | null>(null);
  const pass = useCallback((act: (text: string) => void) => {
    insertHere.current = act;
    ready.current(act);
  }, []);
  const reclaim = useCallback(() => {
    if (insertHere.current) ready.current(insertHere.current);
  }, []);
  function change(next: Mode) {
    if (next === "rich" && NOT_RICH.test(fields.html)) setIsAsking(true);
    else setMode(next);
  }
  const error = mode === "text" ? faults.text : faults.html;
  return (
    <div className="flex flex-col gap-2">
      <Tabs label="The message as" value={mode} tabs={MODES} onChange={change}>
        {mode === "text" ? (
          <Textarea
            ref={text}
            aria-label="Plain text"
            rows={14}
            value={fields.text}
            onChange={(event) => set({ text: event.target.value })}
            placeholder="Left empty, it is made from the HTML."
            className="font-mono"
            onFocus={() =>
              pass((tag) => {
                const area = text.current;
                if (area)
                  set({ text: area.value.slice(0, area.selectionStart) + tag + area.value.slice(area.selectionEnd) });
              })
            }
          />
        ) : (
          <Suspense fallback={<div role="status" aria-label="The editor is loading" className="skeleton h-80" />}>
            {mode === "rich" ? (
              <RichEditor
                label="Message"
                html={fields.html}
                onChange={(html) => set({ html })}
                onReady={pass}
                onFocus={reclaim}
              />
            ) : (
              <SourceEditor
                label="HTML source"
                html={fields.html}
                onChange={(html) => set({ html })}
                onReady={pass}
                onFocus={reclaim}
              />
            )}
          </Suspense>
        )}
      </Tabs>
      {error !== undefined ? <FieldError>{error}</FieldError> : null}
      <ConfirmDialog
        open={isAsking}
        onClose={() => setIsAsking(false)}
        title="Simplify this HTML?"
        confirm="Open as rich text"
        variant="primary"
        onConfirm={async () => setMode("rich")}
      >
        It has a layout of its own (tables or styles) that rich text cannot keep. It would be simplified with your first
        change.
      </ConfirmDialog>
    </div>
  );
}

/** What a person should know before anybody else sees it. */
function Hints({ draft, tags }: { draft: Draft; tags: string[] | null }) {
  const { subject, preview_text, html, text } = draft.fields;
  const all = [subject, preview_text, html, text].join("\n");
  // Without an audience nothing is unknown yet.
  const unknown = tags === null || hasOpenTag(all) ? [] : unknownTags(all, tags);
  const hasUnsubscribe = /unsubscribe_url/.test(html + text);
  return (
    <div className="flex flex-col gap-2">
      {unknown.length > 0 ? (
        <Notice tone="warn" icon={<TriangleAlert aria-hidden className="size-4" />}>
          The audience does not have {unknown.map((tag) => `{{ ${tag} }}`).join(", ")}. Give a fallback, like{" "}
          <code className="font-mono text-[0.8125rem]">{`{{ ${unknown[0]} | default("friend") }}`}</code>, or take it
          out.
        </Notice>
      ) : null}
      {(html !== "" || text !== "") && !hasUnsubscribe ? (
        <Notice tone="info" icon={<Lightbulb aria-hidden className="size-4" />}>
          There is no unsubscribe link: one is put below the message. To place it yourself, use the merge tag
          unsubscribe_url.
        </Notice>
      ) : null}
    </div>
  );
}

function Templates({ draft, onReplaced }: { draft: Draft; onReplaced: () => void }) {
  const templates = useQuery(templatesQuery);
  const queryClient = useQueryClient();
  const [chosen, setChosen] = useState<string | null>(null);
  const [name, setName] = useState<string | null>(null);
  const keep = useMutation({
    mutationFn: (title: string) =>
      createTemplate({
        name: title,
        subject: draft.fields.subject,
        html: draft.fields.html || null,
        text: draft.fields.text || null,
      }),
    onSuccess: () => {
      toast.success("Kept as a template.");
      setName(null);
      void queryClient.invalidateQueries({ queryKey: ["templates"] });
    },
    onError: (error) => toast.error(describeError(error)),
  });
  async function use(id: string) {
    const template = await fetchTemplate(id);
    draft.set({
      subject: template.subject || draft.fields.subject,
      html: template.html ?? "",
      text: template.text ?? "",
    });
    await draft.flush();
    onReplaced();
  }
  return (
    <>
      <Menu
        trigger={
          <Button size="small" variant="ghost" icon={<BookMarked aria-hidden className="size-3.5" />}>
            Templates
          </Button>
        }
        items={[
          ...(templates.data ?? [])
            .slice(0, 12)
            .map((template) => ({ id: template.id, label: template.name, onSelect: () => setChosen(template.id) })),
          {
            label: "Keep this as a template…",
            onSelect: () => setName(draft.fields.name),
            disabledReason:
              draft.fields.html === "" && draft.fields.text === "" ? "There is nothing written yet." : null,
          },
        ]}
      />
      <ConfirmDialog
        open={chosen !== null}
        onClose={() => setChosen(null)}
        title="Use this template?"
        confirm="Use the template"
        variant="primary"
        onConfirm={async () => {
          if (chosen === null) return;
          await use(chosen).catch((error: unknown) => {
            toast.error(describeError(error));
            throw error;
          });
        }}
      >
        It takes the place of the subject and the message that are written now.
      </ConfirmDialog>
      <Dialog
        open={name !== null}
        onClose={() => setName(null)}
        title="Keep as a template"
        footer={
          <Button
            variant="primary"
            busy={keep.isPending}
            disabledReason={name?.trim() ? null : "Give it a name."}
            onClick={() => keep.mutate((name ?? "").trim())}
          >
            Keep it
          </Button>
        }
      >
        <InputField label="Name" value={name ?? ""} onChange={(event) => setName(event.target.value)} maxLength={200} />
      </Dialog>
    </>
  );
}
