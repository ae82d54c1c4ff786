import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Plus, Trash2, X } from "lucide-react";
import { useState } from "react";
import { type Contact, createContact, deleteContact, updateContact } from "@/api/contacts";
import { ApiError, describeError } from "@/api/http";
import { formatWhen } from "@/lib/format";
import { Button, IconButton } from "@/ui/button";
import { ConfirmDialog } from "@/ui/dialog";
import { Drawer } from "@/ui/drawer";
import { Input, InputField } from "@/ui/field";
import { Notice } from "@/ui/panel";
import { toast } from "@/ui/toast";

type ContactDrawerProps = { contact: Contact | "new" | null; onClose: () => void };

export function ContactDrawer({ contact, onClose }: ContactDrawerProps) {
  return (
    <Drawer
      open={contact !== null}
      onClose={onClose}
      title={contact === "new" ? "New contact" : (contact?.email ?? "")}
    >
      {contact !== null ? (
        <ContactForm
          key={contact === "new" ? "new" : contact.id}
          contact={contact === "new" ? null : contact}
          onClose={onClose}
        />
      ) : null}
    </Drawer>
  );
}

type Attribute = { key: number; name: string; value: string };

function ContactForm({ contact, onClose }: { contact: Contact | null; onClose: () => void }) {
  const queryClient = useQueryClient();
  const [email, setEmail] = useState(contact?.email ?? "");
  const [rows, setRows] = useState<Attribute[]>(() =>
    Object.entries(contact?.attributes ?? { first_name: "" }).map(([name, value], key) => ({ key, name, value })),
  );
  const [isAsking, setIsAsking] = useState(false);
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["contacts"] });
  const save = useMutation({
    mutationFn: () => {
      const attributes = Object.fromEntries(
        rows.filter((row) => row.name.trim() !== "").map((row) => [row.name.trim(), row.value]),
      );
      if (contact === null) return createContact({ email: email.trim(), attributes });
      // A name that is gone is taken away: null says so.
      const gone = Object.keys(contact.attributes).filter((name) => !(name in attributes));
      return updateContact(contact.id, {
        attributes: { ...attributes, ...Object.fromEntries(gone.map((name) => [name, null])) },
      });
    },
    onSuccess: () => {
      toast.success(contact === null ? "The contact is made." : "Saved.");
      void refresh();
      onClose();
    },
  });
  const fault = (pointer: string) =>
    save.error instanceof ApiError ? save.error.faults.find((each) => each.pointer === pointer)?.detail : undefined;
  const change = (key: number, changes: Partial<Attribute>) =>
    setRows(rows.map((row) => (row.key === key ? { ...row, ...changes } : row)));
  return (
    <form
      className="flex flex-col gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate();
      }}
    >
      {contact?.suppressed ? (
        <Notice tone="warn">Nothing is sent to this address: {contact.suppressed.replaceAll("_", " ")}.</Notice>
      ) : null}
      {contact === null ? (
        <InputField
          label="Email address"
          type="email"
          required
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          error={fault("/email")}
        />
      ) : (
        <p className="text-sm text-ink-2">A contact since {formatWhen(contact.created_at)}.</p>
      )}
      <fieldset className="flex flex-col gap-2 max-sm:gap-4">
        <legend className="mb-2 text-sm font-medium">Attributes, for merge tags</legend>
        {rows.map((row) => (
          // On a phone the name stands over its value: side by side, long names would be cut.
          <div key={row.key} className="grid grid-cols-[minmax(0,1fr)_auto] gap-2 sm:grid-cols-[2fr_3fr_auto]">
            <div className="max-sm:col-start-1">
              <Input
                aria-label="Name"
                placeholder="first_name"
                value={row.name}
                title={row.name}
                onChange={(event) => change(row.key, { name: event.target.value })}
                className="font-mono !text-[0.8125rem]"
              />
              {fault(`/attributes/${row.name}`) !== undefined ? (
                <p className="text-xs text-bad-text">{fault(`/attributes/${row.name}`)}</p>
              ) : null}
            </div>
            <Input
              aria-label={`Value of ${row.name || "the attribute"}`}
              value={row.value}
              onChange={(event) => change(row.key, { value: event.target.value })}
              className="max-sm:col-start-1 max-sm:row-start-2"
            />
            <IconButton
              label={`Take ${row.name || "the attribute"} away`}
              className="max-sm:col-start-2 max-sm:row-start-1"
              icon={<X aria-hidden className="size-4" />}
              onClick={() => setRows(rows.filter((each) => each.key !== row.key))}
            />
          </div>
        ))}
        <Button
          size="small"
          variant="ghost"
          className="self-start"
          icon={<Plus aria-hidden className="size-3.5" />}
          onClick={() =>
            setRows([...rows, { key: Math.max(-1, ...rows.map((row) => row.key)) + 1, name: "", value: "" }])
          }
        >
          One more
        </Button>
      </fieldset>
      {save.error ? <Notice tone="bad">{describeError(save.error)}</Notice> : null}
      <div className="flex justify-between gap-2">
        {contact !== null ? (
          <Button icon={<Trash2 aria-hidden className="size-4" />} onClick={() => setIsAsking(true)}>
            Delete
          </Button>
        ) : (
          <span />
        )}
        <Button type="submit" variant="primary" busy={save.isPending}>
          Save
        </Button>
      </div>
      <ConfirmDialog
        open={isAsking}
        onClose={() => setIsAsking(false)}
        title="Delete this contact?"
        confirm="Delete the contact"
        onConfirm={async () => {
          if (contact === null) return;
          try {
            await deleteContact(contact.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          await refresh();
          onClose();
        }}
      >
        It leaves all lists. What was sent to it stays in the history.
      </ConfirmDialog>
    </form>
  );
}
