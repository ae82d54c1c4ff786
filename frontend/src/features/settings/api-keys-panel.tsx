import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import {
  type ApiKey,
  apiKeysQuery,
  createApiKey,
  type NewApiKey,
  revokeApiKey,
  SCOPES,
  type Scope,
} from "@/api/api-keys";
import { describeError } from "@/api/http";
import { SettingsRow } from "@/features/settings/settings-list";
import { useSettingsReason } from "@/features/settings/use-rights";
import { downloads } from "@/lib/paths";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { CopyButton } from "@/ui/copy-button";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { InputField } from "@/ui/field";
import { Notice, Panel } from "@/ui/panel";
import { EmptyState, QueryState } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast } from "@/ui/toast";

export function ApiKeysPanel() {
  const query = useQuery(apiKeysQuery);
  const reason = useSettingsReason();
  const queryClient = useQueryClient();
  const [isMaking, setIsMaking] = useState(false);
  const [made, setMade] = useState<NewApiKey | null>(null);
  const [dropping, setDropping] = useState<ApiKey | null>(null);
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["api-keys"] });
  const add = (
    <Button
      size="small"
      variant="primary"
      icon={<Plus aria-hidden className="size-3.5" />}
      disabledReason={reason}
      onClick={() => setIsMaking(true)}
    >
      New key
    </Button>
  );
  return (
    <Panel flush title="API keys" aside={add}>
      <p className="px-5 pb-4 text-sm text-ink-2">
        Everything on these pages can be done by a program.{" "}
        <a href={downloads.apiDocs} className="font-medium text-accent-text underline">
          Read how
        </a>
        .
      </p>
      <QueryState
        query={query}
        what="The API keys"
        isEmpty={(keys) => keys.length === 0}
        empty={<EmptyState icon={<KeyRound aria-hidden />} title="No API keys yet" action={add} />}
      >
        {(keys) => (
          <ul className="divide-y divide-line-2 border-t border-line-2">
            {keys.map((key) => (
              <SettingsRow
                key={key.id}
                name={key.name}
                title={
                  <>
                    {key.name}
                    {key.scopes.map((scope) => (
                      <Badge key={scope} tone="idle">
                        {scope}
                      </Badge>
                    ))}
                  </>
                }
                text={
                  <>
                    {key.prefix !== null ? <code className="font-mono">{key.prefix}…</code> : null}
                    {" · "}
                    {key.last_used_at ? (
                      <>
                        used <Time at={key.last_used_at} />
                      </>
                    ) : (
                      "never used"
                    )}
                  </>
                }
                onDelete={() => setDropping(key)}
                deleteReason={reason}
              />
            ))}
          </ul>
        )}
      </QueryState>
      {isMaking ? (
        <NewKeyDialog
          onClose={() => setIsMaking(false)}
          onMade={(key) => {
            setIsMaking(false);
            setMade(key);
            void refresh();
          }}
        />
      ) : null}
      <Dialog
        open={made !== null}
        onClose={() => setMade(null)}
        title="Your new key"
        description="Copy it now: it is shown this once and kept nowhere."
        footer={<Button onClick={() => setMade(null)}>I have copied it</Button>}
      >
        <div className="inset-panel flex items-center gap-3 p-3">
          <code className="min-w-0 flex-1 font-mono text-sm break-all">{made?.secret}</code>
          {made?.secret ? <CopyButton text={made.secret} /> : null}
        </div>
      </Dialog>
      <ConfirmDialog
        open={dropping !== null}
        onClose={() => setDropping(null)}
        title="Revoke this key?"
        confirm="Revoke the key"
        onConfirm={async () => {
          if (dropping === null) return;
          try {
            await revokeApiKey(dropping.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          await refresh();
        }}
      >
        Programs that use “{dropping?.name}” are shut out at once.
      </ConfirmDialog>
    </Panel>
  );
}

const MEANINGS = {
  read: "See everything, change nothing",
  send: "Write and send: campaigns, messages, contacts",
  admin: "Settings: senders, relays, limits, keys",
} satisfies Record<Scope, string>;

function NewKeyDialog({ onClose, onMade }: { onClose: () => void; onMade: (key: NewApiKey) => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<Scope[]>(["read", "send"]);
  const make = useMutation({ mutationFn: () => createApiKey({ name: name.trim(), scopes }), onSuccess: onMade });
  const reason = name.trim() === "" ? "Give it a name." : scopes.length === 0 ? "Choose what it may do." : null;
  return (
    <Dialog
      open
      onClose={onClose}
      title="New API key"
      footer={
        <Button type="submit" form="new-key" variant="primary" busy={make.isPending} disabledReason={reason}>
          Make the key
        </Button>
      }
    >
      <form
        id="new-key"
        className="grid gap-4 pb-1"
        onSubmit={(event) => {
          event.preventDefault();
          if (reason === null) make.mutate();
        }}
      >
        <InputField
          label="Name"
          placeholder="Which program uses it"
          value={name}
          maxLength={200}
          onChange={(event) => setName(event.target.value)}
        />
        <fieldset className="grid gap-3">
          <legend className="mb-2 text-sm font-medium">It may</legend>
          {SCOPES.map((scope) => (
            <Checkbox
              key={scope}
              checked={scopes.includes(scope)}
              onChange={(on) => setScopes(on ? [...scopes, scope] : scopes.filter((each) => each !== scope))}
              hint={MEANINGS[scope]}
            >
              {scope}
            </Checkbox>
          ))}
        </fieldset>
        {make.error ? <Notice tone="bad">{describeError(make.error)}</Notice> : null}
      </form>
    </Dialog>
  );
}
