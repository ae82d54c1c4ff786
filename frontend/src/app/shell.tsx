import { useQuery } from "@tanstack/react-query";
import { Link, type LinkProps, Outlet, useNavigate } from "@tanstack/react-router";
import {
  CalendarClock,
  ChevronsUpDown,
  Ellipsis,
  Inbox,
  LayoutDashboard,
  type LucideIcon,
  Megaphone,
  Plus,
  SendHorizontal,
  Settings,
  Users,
} from "lucide-react";
import {
  type ButtonHTMLAttributes,
  type ComponentType,
  cloneElement,
  type ReactElement,
  Suspense,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { meQuery } from "@/api/me";
import { ConnectionBanner } from "@/app/connection-banner";
import { useNewCampaign } from "@/features/campaigns/use-new-campaign";
import { cx } from "@/lib/cx";
import { Button } from "@/ui/button";
import { Logo } from "@/ui/logo";
import type { MenuItem } from "@/ui/menu";
import { SkeletonRows } from "@/ui/states";

/** What a browser takes at most from the end of a touch to its click, with room to spare. */
const CLICK_MS = 500;

type AccountMenuProps = { trigger: ReactElement<ButtonHTMLAttributes<HTMLButtonElement>>; before?: MenuItem[] };

/**
 * The menu comes after the first paint. Until then its button is there and is one: a click is kept and opens the menu
 * when it has come, and the focus stays on the button.
 */
function AccountMenu(props: AccountMenuProps) {
  const [Menu, setMenu] = useState<ComponentType<AccountMenuProps> | null>(null);
  const [isWanted, setIsWanted] = useState(false);
  const host = useRef<HTMLDivElement>(null);
  const hadFocus = useRef(false);
  const isPressed = useRef(false);
  const load = useCallback(async () => {
    try {
      const { default: LoadedMenu } = await import("@/app/account-menu");
      // In the middle of a click the button stays the one that was pressed: the click itself comes back here.
      if (isPressed.current) return;
      hadFocus.current = host.current?.contains(document.activeElement) ?? false;
      setMenu(() => LoadedMenu);
    } catch {
      // The server is away for a moment: the next click tries again.
      setIsWanted(false);
    }
  }, []);
  useEffect(() => void load(), [load]);
  useLayoutEffect(() => {
    if (Menu === null) return;
    const button = host.current?.querySelector("button");
    if (hadFocus.current) button?.focus();
    if (isWanted) button?.click();
  }, [Menu, isWanted]);
  return (
    <div ref={host} className="contents">
      {Menu ? (
        <Menu {...props} />
      ) : (
        cloneElement(props.trigger, {
          "aria-haspopup": "menu",
          onPointerDown: () => {
            isPressed.current = true;
          },
          onPointerLeave: () => {
            // A finger leaves before its click comes.
            setTimeout(() => {
              isPressed.current = false;
              void load();
            }, CLICK_MS);
          },
          onClick: () => {
            isPressed.current = false;
            setIsWanted(true);
            void load();
          },
        })
      )}
    </div>
  );
}

type NavItem = { to: LinkProps["to"]; label: string; icon: LucideIcon };

const NAV = [
  { to: "/", label: "Overview", icon: LayoutDashboard },
  { to: "/campaigns", label: "Campaigns", icon: Megaphone },
  { to: "/scheduled", label: "Scheduled", icon: CalendarClock },
  { to: "/sent", label: "Sent", icon: SendHorizontal },
  { to: "/contacts", label: "Contacts", icon: Users },
  { to: "/inbox", label: "Inbox", icon: Inbox },
  { to: "/settings", label: "Settings", icon: Settings },
] as const satisfies NavItem[];
/** What a phone shows at its lower edge; the rest is under "More". */
const BOTTOM: readonly string[] = ["/", "/campaigns", "/contacts", "/inbox"];

/** What surrounds every page: navigation at the side, or below on a phone. */
export function Shell() {
  return (
    <div className="mx-auto flex min-h-dvh w-full max-w-[100rem]">
      <a
        href="#main"
        className="fixed top-2 left-2 z-[80] -translate-y-20 rounded-lg bg-accent-fill px-4 py-2.5 text-accent-ink focus:translate-y-0"
      >
        Skip to the page
      </a>
      <Sidebar />
      <div className="flex min-w-0 flex-1 flex-col">
        <main
          id="main"
          tabIndex={-1}
          className="min-w-0 flex-1 px-4 pt-5 pb-28 outline-none sm:px-6 md:pt-8 md:pb-12 lg:px-9"
        >
          <ConnectionBanner />
          <Suspense fallback={<SkeletonRows />}>
            <Outlet />
          </Suspense>
        </main>
      </div>
      <BottomBar />
    </div>
  );
}

function Sidebar() {
  const newCampaign = useNewCampaign();
  return (
    <aside className="sticky top-0 hidden h-dvh w-60 shrink-0 flex-col p-4 pr-0 md:flex">
      <div className="glass flex h-full flex-col p-3">
        <Link to="/" className="mb-4 flex items-center gap-2.5 rounded-lg px-2 pt-2 pb-1">
          <Logo className="size-8" />
          <span className="text-lg font-semibold tracking-[-0.02em]">Mailtide</span>
        </Link>
        <Button
          variant="primary"
          icon={<Plus aria-hidden className="size-4" />}
          busy={newCampaign.isPending}
          onClick={() => newCampaign.mutate()}
          className="mb-4 w-full"
        >
          New campaign
        </Button>
        <nav aria-label="Main" className="flex flex-col gap-0.5">
          {NAV.map((item) => (
            <Link
              key={item.label}
              to={item.to}
              activeOptions={{ exact: item.to === "/", includeSearch: false }}
              className="flex h-10 items-center gap-3 rounded-[0.625rem] px-3 text-sm font-medium text-ink-2 transition-colors hover:bg-hover hover:text-ink data-[status=active]:bg-accent-soft data-[status=active]:text-accent-text"
            >
              <item.icon aria-hidden className="size-[1.125rem]" />
              {item.label}
            </Link>
          ))}
        </nav>
        <div className="mt-auto">
          <AccountMenu
            trigger={
              <button
                type="button"
                className="flex w-full items-center gap-2.5 rounded-[0.625rem] p-2 text-left transition-colors hover:bg-hover"
              >
                <AccountLine />
                <ChevronsUpDown aria-hidden className="ml-auto size-4 shrink-0 text-ink-3" />
              </button>
            }
          />
        </div>
      </div>
    </aside>
  );
}

function AccountLine() {
  const me = useQuery(meQuery).data;
  const name = me?.user?.name || me?.user?.email || me?.account.name || "Account";
  return (
    <>
      <span
        aria-hidden
        className="grid size-8 shrink-0 place-items-center rounded-full bg-linear-to-br from-accent-2 to-accent text-xs font-semibold text-white"
      >
        {name.slice(0, 1).toUpperCase()}
      </span>
      <span className="min-w-0">
        <span className="block truncate text-sm font-medium text-ink">{name}</span>
        <span className="block truncate text-xs text-ink-3">{me?.demo ? "Sandbox only" : me?.account.name}</span>
      </span>
    </>
  );
}

function BottomBar() {
  const navigate = useNavigate();
  const more: MenuItem[] = NAV.filter((item) => !BOTTOM.includes(item.to)).map((item) => ({
    label: item.label,
    icon: <item.icon aria-hidden />,
    onSelect: () => void navigate({ to: item.to }),
  }));
  const tab =
    "flex flex-1 flex-col items-center gap-0.5 rounded-xl py-1.5 text-[0.6875rem] font-medium text-ink-2 data-[status=active]:text-accent-text";
  return (
    <nav
      aria-label="Main, below"
      className="glass-high fixed inset-x-2 bottom-2 z-30 flex rounded-2xl p-1 pb-[max(0.25rem,env(safe-area-inset-bottom))] md:hidden"
    >
      {NAV.filter((item) => BOTTOM.includes(item.to)).map((item) => (
        <Link
          key={item.label}
          to={item.to}
          activeOptions={{ exact: item.to === "/", includeSearch: false }}
          className={tab}
        >
          <item.icon aria-hidden className="size-5" />
          {item.label}
        </Link>
      ))}
      <AccountMenu
        before={more}
        trigger={
          <button type="button" className={cx(tab, "border-0 bg-transparent")}>
            <Ellipsis aria-hidden className="size-5" />
            More
          </button>
        }
      />
    </nav>
  );
}
