import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { LogOut, Moon, Sun, SunMoon } from "lucide-react";
import type { ReactElement } from "react";
import { describeError } from "@/api/http";
import { signOut } from "@/api/me";
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
  return (
    <Menu
      trigger={trigger}
      items={[
        ...before,
        { label: theme.label, icon: <theme.icon aria-hidden />, onSelect: () => setTheme(theme.next) },
        { label: "Sign out", icon: <LogOut aria-hidden />, onSelect: () => void leave() },
      ]}
    />
  );
}
