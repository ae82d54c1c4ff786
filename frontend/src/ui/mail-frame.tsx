/**
 * Somebody's HTML, locked up: `sandbox` without a word allows no script, no form, no navigation and no access to this page.
 * The base target keeps a click on a link from replacing the frame's content; it then does nothing, as in any preview.
 */
export function MailFrame({ title, html, heightPx }: { title: string; html: string; heightPx: number }) {
  const head =
    '<meta charset="utf-8"><base target="_blank"><style>body{margin:16px;font-family:system-ui,sans-serif;color:#111a33;background:#fff;overflow-wrap:anywhere}img{max-width:100%}</style>';
  return (
    <iframe
      title={title}
      sandbox=""
      referrerPolicy="no-referrer"
      srcDoc={head + html}
      style={{ height: heightPx }}
      className="block w-full border-0 bg-white"
    />
  );
}
