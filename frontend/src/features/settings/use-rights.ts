import { useQuery } from "@tanstack/react-query";
import { meQuery } from "@/api/me";

/** Why this person cannot change the settings, or null when they may. The server decides; this only says it beforehand. */
export function useSettingsReason(): string | null {
  const me = useQuery(meQuery).data;
  return me === undefined || me.permissions.includes("admin") ? null : "Only an owner of the account changes this.";
}
