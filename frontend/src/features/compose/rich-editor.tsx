/** The rich text editor. A page of its own in the build: it is fetched when somebody writes. */
import { mergeAttributes, Node } from "@tiptap/core";
import Image from "@tiptap/extension-image";
import { type Editor, EditorContent, useEditor, useEditorState } from "@tiptap/react";
import StarterKit from "@tiptap/starter-kit";
import {
  Bold,
  Heading1,
  Heading2,
  ImagePlus,
  Italic,
  Link2,
  List,
  ListOrdered,
  type LucideIcon,
  Minus,
  Quote,
  RectangleHorizontal,
  Redo2,
  Underline,
  Undo2,
} from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { cx } from "@/lib/cx";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { InputField } from "@/ui/field";
import { Tooltip } from "@/ui/tooltip";

/** A call to action. Its style is inline, because that is all that mail programs respect. */
const BUTTON_STYLE =
  "display:inline-block;padding:12px 24px;border-radius:8px;background:#4338ca;color:#ffffff;font-weight:600;text-decoration:none";

const ButtonBlock = Node.create({
  name: "buttonBlock",
  group: "block",
  atom: true,
  draggable: true,
  addAttributes() {
    return {
      href: { default: "https://", parseHTML: (element) => element.querySelector("a")?.getAttribute("href") ?? "" },
      label: { default: "Button", parseHTML: (element) => element.textContent },
    };
  },
  parseHTML() {
    return [{ tag: "p[data-button]", priority: 100 }];
  },
  renderHTML({ node, HTMLAttributes }) {
    const { href, label, ...rest } = HTMLAttributes;
    return [
      "p",
      mergeAttributes(rest, { "data-button": "" }),
      ["a", { href, style: BUTTON_STYLE }, String(label ?? node.attrs.label)],
    ];
  },
});

type RichEditorProps = {
  html: string;
  onChange: (html: string) => void;
  /** Gives the way to put a merge tag at the caret. */
  onReady: (insert: (text: string) => void) => void;
  onFocus: () => void;
  label: string;
};

export function RichEditor({ html, onChange, onReady, onFocus, label }: RichEditorProps) {
  const editor = useEditor({
    extensions: [
      StarterKit.configure({
        link: { openOnClick: false, HTMLAttributes: { target: null, rel: null } },
        heading: { levels: [1, 2, 3] },
      }),
      Image.configure({ HTMLAttributes: { style: "max-width:100%;height:auto" } }),
      ButtonBlock,
    ],
    content: html,
    injectCSS: false,
    editorProps: {
      attributes: { "aria-label": label, role: "textbox", "aria-multiline": "true", class: "mail-prose" },
    },
    onUpdate: ({ editor: changed }) => onChange(changed.isEmpty ? "" : changed.getHTML()),
    onFocus,
  });
  useEffect(() => {
    onReady((text) => editor.chain().focus().insertContent({ type: "text", text }).run());
  }, [editor, onReady]);
  return (
    <div className="control overflow-hidden !rounded-xl">
      <Toolbar editor={editor} />
      <EditorContent editor={editor} className="max-h-[36rem] overflow-y-auto bg-white" />
    </div>
  );
}

type Asking = "link" | "image" | "button" | null;

function Toolbar({ editor }: { editor: Editor }) {
  const [asking, setAsking] = useState<Asking>(null);
  const is = useEditorState({
    editor,
    selector: ({ editor: now }) => ({
      bold: now.isActive("bold"),
      italic: now.isActive("italic"),
      underline: now.isActive("underline"),
      h1: now.isActive("heading", { level: 1 }),
      h2: now.isActive("heading", { level: 2 }),
      bullets: now.isActive("bulletList"),
      numbers: now.isActive("orderedList"),
      quote: now.isActive("blockquote"),
      link: now.isActive("link"),
    }),
  });
  const run = () => editor.chain().focus();
  return (
    <div
      role="toolbar"
      aria-label="Formatting"
      className="flex flex-wrap gap-0.5 border-b border-line-2 bg-glass-2 p-1.5"
    >
      <Tool icon={Bold} label="Bold" on={is.bold} act={() => run().toggleBold().run()} />
      <Tool icon={Italic} label="Italic" on={is.italic} act={() => run().toggleItalic().run()} />
      <Tool icon={Underline} label="Underline" on={is.underline} act={() => run().toggleUnderline().run()} />
      <Gap />
      <Tool icon={Heading1} label="Large heading" on={is.h1} act={() => run().toggleHeading({ level: 1 }).run()} />
      <Tool icon={Heading2} label="Heading" on={is.h2} act={() => run().toggleHeading({ level: 2 }).run()} />
      <Tool icon={List} label="Bullets" on={is.bullets} act={() => run().toggleBulletList().run()} />
      <Tool icon={ListOrdered} label="Numbers" on={is.numbers} act={() => run().toggleOrderedList().run()} />
      <Tool icon={Quote} label="Quote" on={is.quote} act={() => run().toggleBlockquote().run()} />
      <Tool icon={Minus} label="Line" act={() => run().setHorizontalRule().run()} />
      <Gap />
      <Tool icon={Link2} label="Link" on={is.link} act={() => setAsking("link")} />
      <Tool icon={ImagePlus} label="Image by address" act={() => setAsking("image")} />
      <Tool icon={RectangleHorizontal} label="Button" act={() => setAsking("button")} />
      <Gap />
      <Tool icon={Undo2} label="Undo" act={() => run().undo().run()} />
      <Tool icon={Redo2} label="Redo" act={() => run().redo().run()} />
      {asking !== null ? <Asker editor={editor} asking={asking} onClose={() => setAsking(null)} /> : null}
    </div>
  );
}

function Gap() {
  return <span aria-hidden className="mx-1 my-1.5 w-px bg-line-2" />;
}

function Tool({ icon: Icon, label, on, act }: { icon: LucideIcon; label: string; on?: boolean; act: () => void }) {
  return (
    <Tooltip text={label}>
      <button
        type="button"
        aria-label={label}
        aria-pressed={on}
        onMouseDown={(event) => event.preventDefault()}
        onClick={act}
        className={cx(
          "grid size-8 place-items-center rounded-lg transition-colors pointer-coarse:size-10",
          on ? "bg-accent-soft text-accent-text" : "text-ink-2 hover:bg-hover hover:text-ink",
        )}
      >
        <Icon aria-hidden className="size-4" />
      </button>
    </Tooltip>
  );
}

const TITLES = { link: "Link", image: "Image", button: "Button" } as const;

function Asker({ editor, asking, onClose }: { editor: Editor; asking: Exclude<Asking, null>; onClose: () => void }) {
  const before: unknown = asking === "link" ? editor.getAttributes("link").href : undefined;
  const [address, setAddress] = useState(typeof before === "string" ? before : "https://");
  const [words, setWords] = useState(asking === "button" ? "Read more" : "");
  const isSafe = /^(https?:\/\/.+|mailto:.+|\{\{.+\}\}.*)$/i.test(address.trim());
  function apply(event: FormEvent) {
    event.preventDefault();
    if (!isSafe) return;
    const href = address.trim();
    const chain = editor.chain().focus();
    if (asking === "image") chain.setImage({ src: href, alt: words }).run();
    else if (asking === "button")
      chain.insertContent({ type: "buttonBlock", attrs: { href, label: words || "Button" } }).run();
    else if (editor.state.selection.empty && !editor.isActive("link")) {
      chain.insertContent({ type: "text", text: words || href, marks: [{ type: "link", attrs: { href } }] }).run();
    } else chain.extendMarkRange("link").setLink({ href }).run();
    onClose();
  }
  return (
    <Dialog
      open
      onClose={onClose}
      title={TITLES[asking]}
      footer={
        <>
          {asking === "link" && editor.isActive("link") ? (
            <Button
              onClick={() => {
                editor.chain().focus().extendMarkRange("link").unsetLink().run();
                onClose();
              }}
            >
              Take the link away
            </Button>
          ) : null}
          <Button
            type="submit"
            form="ask-address"
            variant="primary"
            disabledReason={isSafe ? null : "Give a whole address, beginning with https://"}
          >
            Insert
          </Button>
        </>
      }
    >
      <form id="ask-address" onSubmit={apply} className="grid gap-4 pb-1">
        <InputField
          label="Address"
          value={address}
          onChange={(event) => setAddress(event.target.value)}
          placeholder="https://example.com"
        />
        {asking === "link" && !editor.state.selection.empty ? null : (
          <InputField
            label={asking === "image" ? "What it shows, for those who do not see it" : "Words"}
            value={words}
            onChange={(event) => setWords(event.target.value)}
          />
        )}
      </form>
    </Dialog>
  );
}

export default RichEditor;
