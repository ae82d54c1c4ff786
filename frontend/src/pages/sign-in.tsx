import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { ArrowRight, Clock, ShieldCheck, Sparkles, Waves } from "lucide-react";
import { describeError } from "@/api/http";
import { signInOptionsQuery, startDemo } from "@/api/me";
import { downloads, safeNext } from "@/lib/paths";
import { Button, buttonClass } from "@/ui/button";
import { Logo } from "@/ui/logo";
import { Notice } from "@/ui/panel";
import { QueryState } from "@/ui/states";

const route = getRouteApi("/sign-in");

export function SignInPage() {
  const { next, error } = route.useSearch();
  const options = useQuery(signInOptionsQuery);
  return (
    <main className="mx-auto grid min-h-dvh w-full max-w-6xl items-center gap-10 px-5 py-10 lg:grid-cols-[1.15fr_1fr] lg:gap-16">
      <section className="order-2 lg:order-1">
        <h1 className="text-[2rem] leading-[1.12] font-semibold tracking-[-0.03em] text-balance sm:text-5xl">
          Every message, exactly once, at the time you chose.
        </h1>
        <p className="mt-5 max-w-lg text-base leading-relaxed text-ink-2 sm:text-lg">
          Mailtide schedules your mail, keeps every limit, and tells the truth about each recipient.
        </p>
        <ul className="mt-8 grid gap-4 sm:grid-cols-2">
          <Point icon={<Clock aria-hidden />} title="On time">
            To the second, or to the exact slot that a limit leaves.
          </Point>
          <Point icon={<ShieldCheck aria-hidden />} title="An exact ledger">
            Sent, failed and uncertain always add up to the total.
          </Point>
          <Point icon={<Waves aria-hidden />} title="Paced">
            No window ever carries more than the limit allows.
          </Point>
          <Point icon={<Sparkles aria-hidden />} title="A forecast first">
            Know when it will be done before you launch.
          </Point>
        </ul>
      </section>
      <section aria-label="Sign in" className="glass order-1 mx-auto w-full max-w-md p-7 sm:p-9 lg:order-2">
        <div className="flex items-center gap-3">
          <Logo className="size-11" />
          <div>
            <p className="text-xl font-semibold tracking-[-0.02em]">Mailtide</p>
            <p className="text-sm text-ink-2">Sign in to go on</p>
          </div>
        </div>
        {error !== undefined ? (
          <div className="mt-5">
            <Notice tone="bad">{SIGN_IN_ERRORS[error] ?? "The sign-in did not work. Please try again."}</Notice>
          </div>
        ) : null}
        <div className="mt-7">
          <QueryState
            query={options}
            what="The ways to sign in"
            loading={
              <div role="status" aria-label="Loading" className="grid gap-3">
                <span className="skeleton h-11" />
                <span className="skeleton h-11" />
              </div>
            }
            isEmpty={(ways) => !ways.demo && !ways.google}
            empty={
              <Notice tone="info">
                No way to sign in is set up. Run <code>make admin EMAIL=you@example.com</code> for an API key, or set
                GOOGLE_CLIENT_ID or DEMO_MODE.
              </Notice>
            }
          >
            {(ways) => (
              <div className="grid gap-3">
                {ways.google ? (
                  <a
                    href={downloads.googleLogin(safeNext(next))}
                    className={`${buttonClass("secondary")} !h-11 w-full`}
                  >
                    <GoogleMark />
                    Continue with Google
                  </a>
                ) : null}
                {ways.demo ? <DemoButton next={next} /> : null}
              </div>
            )}
          </QueryState>
        </div>
      </section>
    </main>
  );
}

/** Codes that the server puts into the address when a sign-in fails. */
const SIGN_IN_ERRORS: Record<string, string> = {
  sign_in_refused: "The sign-in was refused or cancelled. Please try again.",
  sign_in_expired: "The sign-in took too long, or was begun in another browser. Please try again.",
  email_unverified: "The address of this Google account is not verified.",
  sign_up_closed: "Accounts of this domain may not sign in here. Ask the owner of this installation.",
  no_account: "You are not a member of any account here.",
  identity_provider_unavailable: "Google cannot be reached at the moment. Please try again later.",
};

function DemoButton({ next }: { next: string | undefined }) {
  const queryClient = useQueryClient();
  const router = useRouter();
  const demo = useMutation({
    mutationFn: startDemo,
    onSuccess: async () => {
      queryClient.clear();
      await router.navigate({ href: safeNext(next) });
    },
  });
  return (
    <>
      <Button variant="primary" busy={demo.isPending} onClick={() => demo.mutate()} className="!h-11 w-full">
        Try the demo
        <ArrowRight aria-hidden className="size-4" />
      </Button>
      <p className="text-center text-[0.8125rem] text-ink-3">
        One click, no address. Your own account with sample data; nothing leaves the sandbox.
      </p>
      {demo.error ? <Notice tone="bad">{describeError(demo.error)}</Notice> : null}
    </>
  );
}

function Point({ icon, title, children }: { icon: React.ReactNode; title: string; children: React.ReactNode }) {
  return (
    <li className="flex gap-3">
      <span className="grid size-9 shrink-0 place-items-center rounded-xl border border-line bg-glass-2 text-accent-text [&>svg]:size-[1.125rem]">
        {icon}
      </span>
      <div>
        <p className="text-sm font-semibold">{title}</p>
        <p className="text-sm text-ink-2">{children}</p>
      </div>
    </li>
  );
}

function GoogleMark() {
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true" className="size-[1.125rem]">
      <path
        fill="#4285F4"
        d="M23 12.300c0-.8-.1-1.600-.2-2.300H12v4.500h6.200a5.300 5.300 0 0 1-2.300 3.500v2.900h3.700c2.200-2 3.400-5 3.400-8.600Z"
      />
      <path
        fill="#34A853"
        d="M12 23.500c3.100 0 5.700-1 7.600-2.800l-3.700-2.900c-1 .7-2.300 1.100-3.900 1.100-3 0-5.500-2-6.400-4.700H1.800v3A11.500 11.500 0 0 0 12 23.500Z"
      />
      <path fill="#FBBC05" d="M5.600 14.200a6.900 6.900 0 0 1 0-4.400v-3H1.800a11.500 11.500 0 0 0 0 10.400l3.800-3Z" />
      <path
        fill="#EA4335"
        d="M12 5.100c1.700 0 3.200.6 4.400 1.700l3.300-3.300A11.500 11.500 0 0 0 1.800 6.800l3.800 3C6.500 7.100 9 5.100 12 5.100Z"
      />
    </svg>
  );
}
