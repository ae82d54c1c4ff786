/**
 * Addresses that a link or a download opens outside the router. Pages have typed links: `<Link to="/campaigns/$id">` does not
 * compile when there is no such page.
 */
const api = "/api/v1";

export const downloads = {
  googleLogin: (next: string) =>
    next === "/" ? "/auth/google/login" : `/auth/google/login?next=${encodeURIComponent(next)}`,
  rejects: (importId: string) => `${api}/imports/${importId}/rejects.csv`,
  campaignMessages: (campaignId: string) => `${api}/campaigns/${campaignId}/messages.csv`,
  rawMail: (inboxId: string) => `${api}/inbox/${inboxId}/raw`,
  apiDocs: "/docs",
} as const;

/** Where to go after signing in: a path of this site, never another site. */
export function safeNext(next: string | undefined): string {
  if (!next?.startsWith("/") || next.startsWith("//") || next.includes("\\")) return "/";
  return next.startsWith("/sign-in") ? "/" : next;
}
