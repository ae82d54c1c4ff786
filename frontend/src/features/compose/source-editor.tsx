/** HTML source. Fetched when somebody opens it. */
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { html as htmlLanguage } from "@codemirror/lang-html";
import { bracketMatching, defaultHighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { useEffect, useRef } from "react";

type SourceEditorProps = {
  html: string;
  onChange: (html: string) => void;
  onReady: (insert: (text: string) => void) => void;
  onFocus: () => void;
  label: string;
};

/** Escape gives the keyboard back to the page. */
function leave(view: EditorView): boolean {
  view.contentDOM.blur();
  return true;
}

export function SourceEditor({ html, onChange, onReady, onFocus, label }: SourceEditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const latest = useRef({ onChange, onFocus });
  latest.current = { onChange, onFocus };
  const initial = useRef(html);
  useEffect(() => {
    if (!host.current) return;
    const view = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: initial.current,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          bracketMatching(),
          syntaxHighlighting(defaultHighlightStyle),
          htmlLanguage(),
          EditorView.lineWrapping,
          // Escape leaves the editor for the keyboard: Tab indents inside it.
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab, { key: "Escape", run: leave }]),
          EditorView.contentAttributes.of({ "aria-label": label }),
          EditorView.updateListener.of(
            (update) => update.docChanged && latest.current.onChange(update.state.doc.toString()),
          ),
          EditorView.domEventHandlers({ focus: () => latest.current.onFocus() }),
          EditorView.theme({
            "&": { fontSize: "13px", maxHeight: "36rem", background: "#ffffff", color: "#111a33" },
            ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.6", minHeight: "18rem" },
            ".cm-gutters": { background: "#f3f5fb", color: "#5a6480", border: "none" },
            "&.cm-focused": { outline: "none" },
          }),
        ],
      }),
    });
    onReady((text) => {
      const { from, to } = view.state.selection.main;
      view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + text.length } });
      view.focus();
    });
    return () => view.destroy();
  }, [label, onReady]);
  return <div ref={host} className="control overflow-hidden !rounded-xl" />;
}

export default SourceEditor;
