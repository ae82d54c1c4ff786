/** The map of the dashboard: every page, its address, and what its address may carry. */
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  type RouterHistory,
  redirect,
} from "@tanstack/react-router";
import * as z from "zod";
import { CAMPAIGN_SORTS, STATUSES } from "@/api/campaigns";
import { ApiError, forgetAnswers } from "@/api/http";
import { meQuery, signInOptionsQuery } from "@/api/me";
import { MESSAGE_STATUSES } from "@/api/messages";
import { newQueryClient } from "@/api/query";
import { PageError, PageNotFound } from "@/app/page-error";
import { Shell } from "@/app/shell";
import { readStored, writeStored } from "@/lib/storage";
import { SkeletonRows } from "@/ui/states";

type Context = { queryClient: QueryClient };

/** A filter in the URL: what is not understood is left out, never an error page. */
const text = z.string().optional().catch(undefined);

/** Only a guess about the next visit, never a right: the server decides each time. */
const SIGNED_IN_KEY = "mailtide-signed-in";
const wasSignedIn = () => readStored(SIGNED_IN_KEY) !== null;
const rememberSignedIn = (is: boolean) => writeStored(SIGNED_IN_KEY, is ? "yes" : null);

/** What the sign-in page is told about the page that was wanted. */
function wayBack(href: string): { next?: string } {
  return href === "/" ? {} : { next: href };
}

const rootRoute = createRootRouteWithContext<Context>()({ component: Outlet, notFoundComponent: PageNotFound });

const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sign-in",
  // The overview is where a sign-in leads anyway: it is no detour to remember.
  validateSearch: z.object({ next: text.transform((next) => (next === "/" ? undefined : next)), error: text }),
  beforeLoad: () => rememberSignedIn(false),
  component: lazyRouteComponent(() => import("@/pages/sign-in"), "SignInPage"),
});

const designSystemRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/dev/ui",
  component: lazyRouteComponent(() => import("@/pages/design-system"), "DesignSystemPage"),
});

const appRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "app",
  beforeLoad: async ({ context, location }) => {
    const toSignIn = () => redirect({ to: "/sign-in", search: wayBack(location.href) });
    // A stranger is not asked for `me`: the browser would report its refusal as an error in the console. Whoever was signed
    // in the last time most likely still is, and is spared the question.
    const isKnown = context.queryClient.getQueryData(meQuery.queryKey) !== undefined || wasSignedIn();
    if (!isKnown && !(await context.queryClient.fetchQuery(signInOptionsQuery)).signed_in) throw toSignIn();
    try {
      await context.queryClient.ensureQueryData(meQuery);
      rememberSignedIn(true);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      rememberSignedIn(false);
      throw toSignIn();
    }
  },
  component: Shell,
  errorComponent: PageError,
});

const overviewRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/",
  component: lazyRouteComponent(() => import("@/pages/overview"), "OverviewPage"),
});

const campaignsRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/campaigns",
  validateSearch: z.object({
    status: z.enum(STATUSES).optional().catch(undefined),
    q: text,
    sort: z.enum(CAMPAIGN_SORTS).optional().catch(undefined),
  }),
  component: lazyRouteComponent(() => import("@/pages/campaigns"), "CampaignsPage"),
});

const campaignRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/campaigns/$id",
  validateSearch: z.object({
    status: z.enum(MESSAGE_STATUSES).optional().catch(undefined),
    q: text,
    message: text,
  }),
  component: lazyRouteComponent(() => import("@/pages/campaign"), "CampaignPage"),
});

export const STEPS = ["audience", "content", "preview", "schedule"] as const;

const composeRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/campaigns/$id/compose",
  validateSearch: z.object({ step: z.enum(STEPS).optional().catch(undefined), import: text }),
  component: lazyRouteComponent(() => import("@/pages/compose"), "ComposePage"),
});

const scheduledRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/scheduled",
  validateSearch: z.object({ tab: z.enum(["campaigns", "messages"]).optional().catch(undefined), q: text }),
  component: lazyRouteComponent(() => import("@/pages/scheduled"), "ScheduledPage"),
});

const sentRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/sent",
  validateSearch: z.object({ status: z.enum(MESSAGE_STATUSES).optional().catch(undefined), q: text, message: text }),
  component: lazyRouteComponent(() => import("@/pages/sent"), "SentPage"),
});

const contactsRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/contacts",
  validateSearch: z.object({ q: text, list: text }),
  component: lazyRouteComponent(() => import("@/pages/contacts"), "ContactsPage"),
});

const listsRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/lists",
  component: lazyRouteComponent(() => import("@/pages/lists"), "ListsPage"),
});

const importsRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/imports",
  validateSearch: z.object({ import: text }),
  component: lazyRouteComponent(() => import("@/pages/imports"), "ImportsPage"),
});

const suppressionsRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/suppressions",
  validateSearch: z.object({ q: text }),
  component: lazyRouteComponent(() => import("@/pages/suppressions"), "SuppressionsPage"),
});

const inboxRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/inbox",
  validateSearch: z.object({
    q: text,
    mail: text,
    view: z.enum(["html", "text", "headers", "source"]).optional().catch(undefined),
  }),
  component: lazyRouteComponent(() => import("@/pages/inbox"), "InboxPage"),
});

export const SETTINGS_TABS = ["senders", "relays", "limits", "api-keys", "team", "account"] as const;

const settingsRoute = createRoute({
  getParentRoute: () => appRoute,
  path: "/settings",
  validateSearch: z.object({ tab: z.enum(SETTINGS_TABS).optional().catch(undefined) }),
  component: lazyRouteComponent(() => import("@/pages/settings"), "SettingsPage"),
});

const routeTree = rootRoute.addChildren([
  signInRoute,
  designSystemRoute,
  appRoute.addChildren([
    overviewRoute,
    campaignsRoute,
    campaignRoute,
    composeRoute,
    scheduledRoute,
    sentRoute,
    contactsRoute,
    listsRoute,
    importsRoute,
    suppressionsRoute,
    inboxRoute,
    settingsRoute,
  ]),
]);

/** One dashboard: its router and its cache. Tests make their own with a history in memory. */
export function newApp(history?: RouterHistory) {
  // A session that ended brings the sign-in, and then the same page.
  const queryClient = newQueryClient({
    onSessionEnd: () => {
      const { pathname, href } = router.state.location;
      if (pathname === "/sign-in") return;
      queryClient.clear();
      forgetAnswers();
      rememberSignedIn(false);
      void router.navigate({ to: "/sign-in", search: wayBack(href) });
    },
  });
  const router = createRouter({
    routeTree,
    context: { queryClient },
    defaultPreload: "intent",
    scrollRestoration: history === undefined,
    defaultPendingComponent: SkeletonRows,
    defaultErrorComponent: PageError,
    defaultNotFoundComponent: PageNotFound,
    ...(history ? { history } : {}),
  });
  // The page's code is on its way while the server is asked who this is.
  for (const match of router.matchRoutes(router.latestLocation)) {
    const route = Object.values(router.routesById).find((each) => each.id === match.routeId);
    // One that cannot be fetched is asked for again when the page is shown, and fails there, where it can be told.
    if (route) void Promise.resolve(router.loadRouteChunk(route)).catch(() => undefined);
  }
  return { router, queryClient };
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof newApp>["router"];
  }
}
