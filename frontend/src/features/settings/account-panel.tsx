import { useQuery } from "@tanstack/react-query";
import { meQuery } from "@/api/me";
import { formatZone, viewerZone } from "@/lib/format";
import { setTheme, type Theme, useTheme } from "@/lib/theme";
import { ChoiceCards } from "@/ui/choice-cards";
import { Notice, Panel } from "@/ui/panel";
import { QueryState } from "@/ui/states";

const THEMES = [
  { value: "system", title: "As the system" },
  { value: "light", title: "Light" },
  { value: "dark", title: "Dark" },
] as const satisfies ReadonlyArray<{ value: Theme; title: string }>;

export function AccountPanel() {
  const query = useQuery(meQuery);
  const theme = useTheme();
  return (
    <div className="grid gap-5">
      <Panel title="Account">
        <QueryState query={query} what="The account">
          {(me) => (
            <div className="grid gap-4">
              {me.demo ? (
                <Notice tone="info">
                  This is a demo account of your own. Its mail goes to the sandbox and to nobody else.
                </Notice>
              ) : null}
              <dl className="grid gap-x-6 gap-y-2 text-sm sm:grid-cols-[10rem_1fr]">
                <dt className="text-ink-2">Account</dt>
                <dd className="font-medium">{me.account.name}</dd>
                <dt className="text-ink-2">Signed in as</dt>
                <dd className="font-medium">{me.user?.email ?? me.user?.name ?? "an API key"}</dd>
                <dt className="text-ink-2">Times are shown in</dt>
                <dd className="font-medium">{formatZone(viewerZone())} time, UTC on hover</dd>
              </dl>
            </div>
          )}
        </QueryState>
      </Panel>
      <Panel title="Appearance">
        <ChoiceCards label="Theme" value={theme} choices={THEMES} onChange={setTheme} columns={3} />
      </Panel>
    </div>
  );
}
