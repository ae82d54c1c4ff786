import { zodResolver } from "@hookform/resolvers/zod";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleCheck, PlugZap, Plus, Server, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { Controller, useForm } from "react-hook-form";
import * as z from "zod";
import { placeFaults } from "@/api/form-faults";
import { describeError } from "@/api/http";
import { meQuery } from "@/api/me";
import {
  createRelay,
  deleteRelay,
  type Relay,
  type RelayTest,
  relaysQuery,
  testRelay,
  updateRelay,
} from "@/api/relays";
import { SettingsRow } from "@/features/settings/settings-list";
import { useSettingsReason } from "@/features/settings/use-rights";
import { formatMs } from "@/lib/format";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { Field, InputField } from "@/ui/field";
import { Notice, Panel } from "@/ui/panel";
import { Select } from "@/ui/select";
import { EmptyState, QueryState } from "@/ui/states";
import { toast } from "@/ui/toast";

export function RelaysPanel() {
  const query = useQuery(relaysQuery);
  const isDemo = useQuery(meQuery).data?.demo ?? false;
  const right = useSettingsReason();
  const queryClient = useQueryClient();
  const [editing, setEditing] = useState<Relay | "new" | null>(null);
  const [dropping, setDropping] = useState<Relay | null>(null);
  const add = (
    <Button
      size="small"
      variant="primary"
      icon={<Plus aria-hidden className="size-3.5" />}
      disabledReason={isDemo ? "A demo account sends to the sandbox only." : right}
      onClick={() => setEditing("new")}
    >
      New relay
    </Button>
  );
  return (
    <Panel flush title="Relays" aside={add}>
      <QueryState
        query={query}
        what="The relays"
        isEmpty={(relays) => relays.length === 0}
        empty={
          <EmptyState icon={<Server aria-hidden />} title="No relay of your own">
            {isDemo
              ? "A demo account's mail goes to the sandbox: see the Inbox."
              : "Mail goes through the server that this installation is set up with."}
          </EmptyState>
        }
      >
        {(relays) => (
          <ul className="divide-y divide-line-2 border-t border-line-2">
            {relays.map((relay) => (
              <RelayRow
                key={relay.id}
                relay={relay}
                reason={right}
                onEdit={() => setEditing(relay)}
                onDelete={() => setDropping(relay)}
              />
            ))}
          </ul>
        )}
      </QueryState>
      {editing !== null ? (
        <RelayDialog relay={editing === "new" ? null : editing} onClose={() => setEditing(null)} />
      ) : null}
      <ConfirmDialog
        open={dropping !== null}
        onClose={() => setDropping(null)}
        title="Delete this relay?"
        confirm="Delete the relay"
        onConfirm={async () => {
          if (dropping === null) return;
          try {
            await deleteRelay(dropping.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          await queryClient.invalidateQueries({ queryKey: ["relays"] });
        }}
      >
        Mail of its senders goes through the default from then on.
      </ConfirmDialog>
    </Panel>
  );
}

type RelayRowProps = { relay: Relay; reason: string | null; onEdit: () => void; onDelete: () => void };

function RelayRow({ relay, reason, onEdit, onDelete }: RelayRowProps) {
  const test = useMutation({
    mutationFn: () => testRelay(relay.id),
    onError: (error) => toast.error(describeError(error)),
  });
  return (
    <SettingsRow
      name={relay.name}
      title={
        <>
          {relay.name}
          {relay.is_default ? <Badge tone="accent">Default</Badge> : null}
          {relay.paused_at ? <Badge tone="warn">Paused</Badge> : null}
        </>
      }
      text={
        <>
          <span className="num wrap-anywhere">
            {relay.host}:{relay.port} · {TLS_LABELS[relay.tls] ?? relay.tls}
            {relay.username ? ` · ${relay.username}` : ""}
          </span>
          {relay.pause_reason !== null ? <span className="block text-warn-text">{relay.pause_reason}</span> : null}
        </>
      }
      actions={
        <Button
          size="small"
          aria-label={`Test the connection to ${relay.name}`}
          icon={<PlugZap aria-hidden className="size-3.5" />}
          busy={test.isPending}
          disabledReason={reason}
          onClick={() => test.mutate()}
        >
          Test connection
        </Button>
      }
      onEdit={() => {
        test.reset(); // what it says is about the relay as it was
        onEdit();
      }}
      editReason={reason}
      onDelete={onDelete}
      deleteReason={reason}
      below={
        <div role="status" aria-live="polite">
          {test.isPending ? (
            <p className="mt-3 text-[0.8125rem] text-ink-2">Connecting to {relay.host}…</p>
          ) : test.data ? (
            <TestResult test={test.data} />
          ) : null}
        </div>
      }
    />
  );
}

const STEPS = {
  resolve: "The name was not found",
  connect: "No connection",
  tls: "No encryption",
  login: "Not signed in",
  done: "The connection works",
} satisfies Record<RelayTest["step"], string>;

/** How the test went: how far it came, what to change, and what the server offers. */
function TestResult({ test }: { test: RelayTest }) {
  const facts = [
    { label: "Encryption", value: test.tls_version ?? "none" },
    { label: "The server's words", value: test.reply },
    { label: "It offers", value: test.extensions.join(", ") },
  ].filter((fact) => fact.value !== null && fact.value !== "" && (test.ok || fact.label !== "Encryption"));
  return (
    <div className="mt-3 grid gap-3">
      <Notice
        tone={test.ok ? "good" : "bad"}
        icon={
          test.ok ? <CircleCheck aria-hidden className="size-4" /> : <TriangleAlert aria-hidden className="size-4" />
        }
      >
        <p className="num font-semibold">
          {STEPS[test.step]}, after {formatMs(test.duration_ms)}
        </p>
        <p className="font-normal">{test.detail}</p>
      </Notice>
      {facts.length > 0 ? (
        <dl className="grid gap-x-4 gap-y-1 px-1 text-[0.8125rem] sm:grid-cols-[9rem_minmax(0,1fr)]">
          {facts.map((fact) => (
            <div key={fact.label} className="contents">
              <dt className="text-ink-2">{fact.label}</dt>
              <dd className="font-mono break-words text-ink max-sm:mb-1">{fact.value}</dd>
            </div>
          ))}
        </dl>
      ) : null}
    </div>
  );
}

const TLS = [
  { value: "starttls", label: "STARTTLS (port 587)" },
  { value: "implicit", label: "TLS from the start (port 465)" },
  { value: "none", label: "None (a local server only)" },
] as const;
const TLS_LABELS: Record<string, string> = { starttls: "STARTTLS", implicit: "TLS", none: "no TLS" };

const schema = z.object({
  name: z.string().trim().min(1, "Give it a name."),
  host: z.string().trim().min(1, "Give the server's name."),
  port: z
    .number({ error: "A number from 1 to 65535." })
    .int()
    .min(1, "A number from 1 to 65535.")
    .max(65_535, "A number from 1 to 65535."),
  tls: z.enum(["starttls", "implicit", "none"]),
  username: z.string(),
  password: z.string(),
  is_default: z.boolean(),
});
type Values = z.infer<typeof schema>;
const FIELDS = ["name", "host", "port", "tls", "username", "password", "is_default"] as const;

function RelayDialog({ relay, onClose }: { relay: Relay | null; onClose: () => void }) {
  const queryClient = useQueryClient();
  const [fault, setFault] = useState<string | null>(null);
  const form = useForm<Values>({
    resolver: zodResolver(schema),
    defaultValues: {
      name: relay?.name ?? "",
      host: relay?.host ?? "",
      port: relay?.port ?? 587,
      tls: TLS.find((each) => each.value === relay?.tls)?.value ?? "starttls",
      username: relay?.username ?? "",
      password: "",
      is_default: relay?.is_default ?? false,
    },
  });
  const save = useMutation({
    mutationFn: ({ username, password, ...rest }: Values) => {
      // An empty password field means: as it was. It is never sent back to us, so it cannot be shown.
      const input = { ...rest, username: username || null, ...(password === "" ? {} : { password }) };
      return relay ? updateRelay(relay.id, input) : createRelay(input);
    },
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["relays"] });
      onClose();
    },
    onError: (error) => setFault(placeFaults(error, FIELDS, form.setError)),
  });
  const errors = form.formState.errors;
  return (
    <Dialog
      open
      onClose={onClose}
      title={relay ? "Change the relay" : "New relay"}
      footer={
        <Button type="submit" form="relay" variant="primary" busy={save.isPending}>
          Save
        </Button>
      }
    >
      <form
        id="relay"
        noValidate
        autoComplete="off"
        className="grid gap-4 pb-1"
        onSubmit={form.handleSubmit((values) => save.mutate(values))}
      >
        <InputField label="Name" placeholder="Main relay" {...form.register("name")} error={errors.name?.message} />
        <div className="grid grid-cols-[1fr_6.5rem] gap-3">
          <InputField
            label="Server"
            placeholder="smtp.example.com"
            {...form.register("host")}
            error={errors.host?.message}
          />
          <InputField
            label="Port"
            type="number"
            {...form.register("port", { valueAsNumber: true })}
            error={errors.port?.message}
          />
        </div>
        <Controller
          control={form.control}
          name="tls"
          render={({ field }) => (
            <Field label="Encryption" error={errors.tls?.message}>
              {(ids) => <Select ids={ids} value={field.value} onChange={field.onChange} options={TLS} />}
            </Field>
          )}
        />
        <InputField
          label="User name"
          autoComplete="off"
          {...form.register("username")}
          error={errors.username?.message}
        />
        <InputField
          label="Password"
          type="password"
          autoComplete="new-password"
          {...form.register("password")}
          error={errors.password?.message}
          hint={
            relay?.has_password ? "One is kept. Leave this empty to keep it." : "It is sealed, and never shown again."
          }
        />
        <Controller
          control={form.control}
          name="is_default"
          render={({ field }) => (
            <Checkbox checked={field.value} onChange={field.onChange}>
              Use it where a sender has none
            </Checkbox>
          )}
        />
        {fault !== null ? <Notice tone="bad">{fault}</Notice> : null}
      </form>
    </Dialog>
  );
}
