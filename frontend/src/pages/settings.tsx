import { getRouteApi } from "@tanstack/react-router";
import type { ReactElement } from "react";
import { AccountPanel } from "@/features/settings/account-panel";
import { ApiKeysPanel } from "@/features/settings/api-keys-panel";
import { LimitsPanel } from "@/features/settings/limits-panel";
import { RelaysPanel } from "@/features/settings/relays-panel";
import { SendersPanel } from "@/features/settings/senders-panel";
import { TeamPanel } from "@/features/settings/team-panel";
import { PageHeader } from "@/ui/panel";
import { Tabs } from "@/ui/tabs";

const route = getRouteApi("/app/settings");

const TABS = [
  { value: "senders", label: "Senders" },
  { value: "relays", label: "Relays" },
  { value: "limits", label: "Limits" },
  { value: "api-keys", label: "API keys" },
  { value: "team", label: "Team" },
  { value: "account", label: "Account" },
] as const;
type TabName = (typeof TABS)[number]["value"];

const PANELS = {
  senders: <SendersPanel />,
  relays: <RelaysPanel />,
  limits: <LimitsPanel />,
  "api-keys": <ApiKeysPanel />,
  team: <TeamPanel />,
  account: <AccountPanel />,
} satisfies Record<TabName, ReactElement>;

export function SettingsPage() {
  const { tab = "senders" } = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <div className="max-w-4xl">
      <PageHeader title="Settings" text="From whom, through which server, how fast, and who may." />
      <Tabs label="Settings" value={tab} tabs={TABS} onChange={(value) => void navigate({ search: { tab: value } })}>
        {PANELS[tab]}
      </Tabs>
    </div>
  );
}
