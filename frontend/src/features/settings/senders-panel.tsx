import { zodResolver } from "@hookform/resolvers/zod";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { AtSign, Plus } from "lucide-react";
import { useState } from "react";
import { Controller, useForm } from "react-hook-form";
import * as z from "zod";
import { placeFaults } from "@/api/form-faults";
import { describeError } from "@/api/http";
import { relaysQuery } from "@/api/relays";
import { createSender, deleteSender, type Sender, sendersQuery, updateSender } from "@/api/senders";
import { SettingsRow } from "@/features/settings/settings-list";
import { useSettingsReason } from "@/features/settings/use-rights";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { Field, InputField } from "@/ui/field";
import { Notice, Panel } from "@/ui/panel";
import { Select } from "@/ui/select";
import { EmptyState, QueryState } from "@/ui/states";
import { toast } from "@/ui/toast";

export function SendersPanel() {
  const query = useQuery(sendersQuery);
  const reason = useSettingsReason();
  const queryClient = useQueryClient();
  const [editing, setEditing] = useState<Sender | "new" | null>(null);
  const [dropping, setDropping] = useState<Sender | null>(null);
  const add = (
    <Button
      size="small"
      variant="primary"
      icon={<Plus aria-hidden className="size-3.5" />}
      disabledReason={reason}
      onClick={() => setEditing("new")}
    >
      New sender
    </Button>
  );
  return (
    <Panel flush title="Senders" aside={add}>
      <QueryState
        query={query}
        what="The senders"
        isEmpty={(senders) => senders.length === 0}
        empty={
          <EmptyState icon={<AtSign aria-hidden />} title="No sender yet" action={add}>
            A sender is the From of your mail: a name and an address.
          </EmptyState>
        }
      >
        {(senders) => (
          <ul className="divide-y divide-line-2 border-t border-line-2">
            {senders.map((sender) => (
              <SettingsRow
                key={sender.id}
                name={sender.email}
                title={
                  <>
                    {sender.name || sender.email}
                    {sender.is_default ? <Badge tone="accent">Default</Badge> : null}
                  </>
                }
                text={
                  [sender.name ? sender.email : null, sender.reply_to ? `replies to ${sender.reply_to}` : null]
                    .filter(Boolean)
                    .join(" · ") || undefined
                }
                onEdit={() => setEditing(sender)}
                editReason={reason}
                onDelete={() => setDropping(sender)}
                deleteReason={reason}
              />
            ))}
          </ul>
        )}
      </QueryState>
      {editing !== null ? (
        <SenderDialog sender={editing === "new" ? null : editing} onClose={() => setEditing(null)} />
      ) : null}
      <ConfirmDialog
        open={dropping !== null}
        onClose={() => setDropping(null)}
        title="Delete this sender?"
        confirm="Delete the sender"
        onConfirm={async () => {
          if (dropping === null) return;
          try {
            await deleteSender(dropping.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          await queryClient.invalidateQueries({ queryKey: ["senders"] });
        }}
      >
        {dropping?.email} can no longer be chosen.
      </ConfirmDialog>
    </Panel>
  );
}

const schema = z.object({
  name: z.string().max(200),
  email: z.string().trim().min(1, "Give an address.").includes("@", { message: "This is no address: it has no @." }),
  reply_to: z.string().trim(),
  relay_id: z.string(),
  is_default: z.boolean(),
});
type Values = z.infer<typeof schema>;
const FIELDS = ["name", "email", "reply_to", "relay_id", "is_default"] as const;

function SenderDialog({ sender, onClose }: { sender: Sender | null; onClose: () => void }) {
  const queryClient = useQueryClient();
  const relays = useQuery(relaysQuery).data ?? [];
  const [fault, setFault] = useState<string | null>(null);
  const form = useForm<Values>({
    resolver: zodResolver(schema),
    defaultValues: {
      name: sender?.name ?? "",
      email: sender?.email ?? "",
      reply_to: sender?.reply_to ?? "",
      relay_id: sender?.relay_id ?? "",
      is_default: sender?.is_default ?? false,
    },
  });
  const save = useMutation({
    mutationFn: ({ reply_to, relay_id, ...rest }: Values) => {
      const input = { ...rest, reply_to: reply_to || null, relay_id: relay_id || null };
      return sender ? updateSender(sender.id, input) : createSender(input);
    },
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["senders"] });
      onClose();
    },
    onError: (error) => setFault(placeFaults(error, FIELDS, form.setError)),
  });
  const errors = form.formState.errors;
  return (
    <Dialog
      open
      onClose={onClose}
      title={sender ? "Change the sender" : "New sender"}
      footer={
        <Button type="submit" form="sender" variant="primary" busy={save.isPending}>
          Save
        </Button>
      }
    >
      <form
        id="sender"
        noValidate
        className="grid gap-4 pb-1"
        onSubmit={form.handleSubmit((values) => save.mutate(values))}
      >
        <InputField
          label="Name"
          placeholder="Harbour Books"
          {...form.register("name")}
          error={errors.name?.message}
          hint="What mailboxes show before the address."
        />
        <InputField
          label="Address"
          type="email"
          placeholder="hello@example.com"
          {...form.register("email")}
          error={errors.email?.message}
        />
        <InputField
          label="Replies go to"
          type="email"
          {...form.register("reply_to")}
          error={errors.reply_to?.message}
          hint="Empty: to the address above."
        />
        <Controller
          control={form.control}
          name="relay_id"
          render={({ field }) => (
            <Field label="Relay" error={errors.relay_id?.message}>
              {(ids) => (
                <Select
                  ids={ids}
                  value={field.value}
                  onChange={field.onChange}
                  options={[
                    { value: "", label: "The account's default" },
                    ...relays.map((relay) => ({ value: relay.id, label: relay.name })),
                  ]}
                />
              )}
            </Field>
          )}
        />
        <Controller
          control={form.control}
          name="is_default"
          render={({ field }) => (
            <Checkbox checked={field.value} onChange={field.onChange}>
              Use it where none is chosen
            </Checkbox>
          )}
        />
        {fault !== null ? <Notice tone="bad">{fault}</Notice> : null}
      </form>
    </Dialog>
  );
}
