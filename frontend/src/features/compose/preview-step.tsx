import { useMutation, useQuery } from "@tanstack/react-query";
import { Monitor, SendHorizontal, Smartphone, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { audienceQuery, type Campaign, type Preview, previewQuery, sendTest } from "@/api/campaigns";
import { describeError } from "@/api/http";
import { meQuery } from "@/api/me";
import { sendersQuery } from "@/api/senders";
import { cx } from "@/lib/cx";
import { Button } from "@/ui/button";
import { Field, Input } from "@/ui/field";
import { MailFrame } from "@/ui/mail-frame";
import { Notice } from "@/ui/panel";
import { SearchField } from "@/ui/search-field";
import { EmptyState, QueryState } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { toast } from "@/ui/toast";

type View = "desktop" | "phone" | "text";
const VIEWS = [
  { value: "desktop", label: "Desktop", icon: <Monitor aria-hidden className="size-3.5" /> },
  { value: "phone", label: "Phone", icon: <Smartphone aria-hidden className="size-3.5" /> },
  { value: "text", label: "Text" },
] as const;

/** How it will look, to one of them. */
export function PreviewStep({ campaign, version }: { campaign: Campaign; version: string }) {
  const [contactId, setContactId] = useState<string | undefined>(undefined);
  const [view, setView] = useState<View>("desktop");
  const preview = useQuery({ ...previewQuery(campaign.id, contactId, version), enabled: campaign.audience !== null });
  if (campaign.audience === null) {
    return (
      <EmptyState icon={<Smartphone aria-hidden />} title="Nobody to preview it as">
        Choose an audience first: the preview shows the message as one of its contacts gets it.
      </EmptyState>
    );
  }
  return (
    <div className="grid items-start gap-6 lg:grid-cols-[17rem_minmax(0,1fr)]">
      <div className="flex flex-col gap-6 max-lg:order-2">
        <ContactChoice campaign={campaign} contactId={contactId} onChoose={setContactId} />
        <TestForm campaign={campaign} />
      </div>
      <div className="min-w-0">
        <QueryState
          query={preview}
          what="The preview"
          loading={<div role="status" aria-label="Loading" className="skeleton h-96" />}
        >
          {(data) => (
            <div className={cx("flex flex-col gap-3 transition-opacity", preview.isPlaceholderData && "opacity-60")}>
              {data.warnings.map((warning) => (
                <Notice
                  key={warning.code + warning.message}
                  tone="warn"
                  icon={<TriangleAlert aria-hidden className="size-4" />}
                >
                  {warning.message}
                </Notice>
              ))}
              <Tabs label="View" value={view} tabs={VIEWS} onChange={setView}>
                <Mail preview={data} view={view} senderId={campaign.sender_id} />
              </Tabs>
            </div>
          )}
        </QueryState>
      </div>
    </div>
  );
}

function Mail({ preview, view, senderId }: { preview: Preview; view: View; senderId: string | null }) {
  const senders = useQuery(sendersQuery).data ?? [];
  const sender = senders.find((each) => each.id === senderId) ?? senders.find((each) => each.is_default);
  const from = sender ? sender.name || sender.email : "No sender yet";
  return (
    <div
      className={cx(
        "mx-auto overflow-hidden border border-line-2 bg-white text-[#111a33] shadow-glass transition-[max-width] duration-300",
        view === "phone" ? "max-w-[24.375rem] rounded-[2rem] border-[6px] !border-[#1b2440]" : "max-w-full rounded-2xl",
      )}
    >
      <div className="border-b border-[#e4e9f5] px-5 py-4">
        <p className="font-semibold break-words">{preview.subject || "(no subject)"}</p>
        <p className="mt-0.5 text-[0.8125rem] break-all text-[#4a5573]">
          {from} → {preview.to ?? "—"}
        </p>
      </div>
      {view === "text" ? (
        <pre className="max-h-[40rem] overflow-auto px-5 py-4 font-mono text-[0.8125rem] whitespace-pre-wrap">
          {preview.text || "(empty)"}
        </pre>
      ) : (
        <MailFrame
          title="Message"
          html={
            preview.html ??
            `<pre style="white-space:pre-wrap;font:14px sans-serif">${escapeHtml(preview.text ?? "")}</pre>`
          }
          heightPx={640}
        />
      )}
    </div>
  );
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

type ContactChoiceProps = {
  campaign: Campaign;
  contactId: string | undefined;
  onChoose: (id: string | undefined) => void;
};

function ContactChoice({ campaign, contactId, onChoose }: ContactChoiceProps) {
  const [q, setQ] = useState("");
  const query = useQuery(audienceQuery(campaign.id, q, JSON.stringify(campaign.audience)));
  const contacts = query.data ?? [];
  const row = "block w-full truncate rounded-lg px-3 py-2 text-left text-sm transition-colors pointer-coarse:py-2.5";
  return (
    <section aria-label="Preview as" className="flex flex-col gap-2">
      <h3 className="text-sm font-semibold">Preview as</h3>
      <div className="[&>label]:w-full">
        <SearchField label="Search the audience" value={q} onSearch={setQ} />
      </div>
      <ul className="inset-panel flex flex-col p-1">
        <li>
          <button
            type="button"
            aria-pressed={contactId === undefined}
            onClick={() => onChoose(undefined)}
            className={cx(
              row,
              contactId === undefined ? "bg-accent-soft font-medium text-accent-text" : "hover:bg-hover",
            )}
          >
            The first of the audience
          </button>
        </li>
        {query.error ? <li className="px-3 py-2 text-sm text-bad-text">{describeError(query.error)}</li> : null}
        {q !== "" && query.data?.length === 0 ? (
          <li className="px-3 py-2 text-sm text-ink-2">Nobody in the audience fits.</li>
        ) : null}
        {contacts.map((contact) => (
          <li key={contact.id}>
            <button
              type="button"
              aria-pressed={contactId === contact.id}
              onClick={() => onChoose(contact.id)}
              className={cx(
                row,
                contactId === contact.id ? "bg-accent-soft font-medium text-accent-text" : "hover:bg-hover",
              )}
            >
              {contact.email}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function TestForm({ campaign }: { campaign: Campaign }) {
  const me = useQuery(meQuery).data;
  const [to, setTo] = useState(me?.user?.email ?? "");
  const test = useMutation({
    mutationFn: () => sendTest(campaign.id, to.trim()),
    onSuccess: () =>
      toast.success(me?.demo ? "The test is on its way to the Inbox." : `The test is on its way to ${to.trim()}.`),
  });
  return (
    <form
      className="flex flex-col gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (to.includes("@")) test.mutate();
      }}
    >
      <Field
        label="Send a test"
        error={test.error ? describeError(test.error) : undefined}
        hint={me?.demo ? "It lands in the Inbox of the sandbox." : undefined}
      >
        {(ids) => (
          <Input
            {...ids}
            type="email"
            value={to}
            onChange={(event) => setTo(event.target.value)}
            placeholder="you@example.com"
          />
        )}
      </Field>
      <Button
        type="submit"
        busy={test.isPending}
        icon={<SendHorizontal aria-hidden className="size-3.5" />}
        disabledReason={to.includes("@") ? null : "Give an address."}
      >
        Send the test
      </Button>
    </form>
  );
}
