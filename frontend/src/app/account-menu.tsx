import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { ArrowRightLeft, LogOut, Moon, Sun, SunMoon } from "lucide-react";
import type { ReactElement } from "react";
import { describeError } from "@/api/http";
import { meQuery, signOut, switchAccount } from "@/api/me";
import { setTheme, useTheme } from "@/lib/theme";
import { Menu, type MenuItem } from "@/ui/menu";
import { toast } from "@/ui/toast";

const THEMES = {
  system: { next: "light", label: "Theme: as the system", icon: SunMoon },
  light: { next: "dark", label: "Theme: light", icon: Sun },
  dark: { next: "system", label: "Theme: dark", icon: Moon },
} as const;

export default function AccountMenu({ trigger, before = [] }: { trigger: ReactElement; before?: MenuItem[] }) {
  const theme = THEMES[useTheme()];
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  async function leave() {
    try {
      await signOut();
      await navigate({ to: "/sign-in" });
      queryClient.clear();
    } catch (error) {
      toast.error(describeError(error));
    }
  }
  async function change(accountId: string) {
    try {
      await switchAccount(accountId);
      // What is still on its way was asked for in the account before.
      await queryClient.cancelQueries();
      // Who is signed in comes first, since all else depends on it; and nothing of the other account is left to be shown.
      await queryClient.fetchQuery({ ...meQuery, staleTime: 0 });
      queryClient.removeQueries({ type: "inactive" });
      await navigate({ to: "/" });
      await queryClient.resetQueries({ predicate: ({ queryKey }) => queryKey[0] !== meQuery.queryKey[0] });
    } catch (error) {
      // Whatever has worked of it: the page asks anew where it is.
      void queryClient.invalidateQueries();
      toast.error(describeError(error));
    }
  }
  const others = useQuery(meQuery).data?.accounts.filter((account) => !account.current) ?? [];
  return (
    <Menu
      trigger={trigger}
      items={[
        ...before,
        ...others.map((account) => ({
          id: account.id,
          label: `Switch to ${account.name}`,
          icon: <ArrowRightLeft aria-hidden />,
          onSelect: () => void change(account.id),
        })),
        { label: theme.label, icon: <theme.icon aria-hidden />, onSelect: () => setTheme(theme.next) },
        { label: "Sign out", icon: <LogOut aria-hidden />, onSelect: () => void leave() },
      ]}
    />
  );
}
