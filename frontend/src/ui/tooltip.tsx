import {
  cloneElement,
  type FocusEvent,
  type HTMLAttributes,
  type ReactElement,
  type ReactNode,
  useEffect,
  useId,
  useRef,
  useState,
} from "react";
import { createPortal } from "react-dom";

/** Long enough not to flicker while the pointer passes over. */
const DELAY_MS = 350;
const GAP_PX = 8;
const EDGE_PX = 8;

type TooltipProps = { text: ReactNode; children: ReactElement<HTMLAttributes<HTMLElement>> };

/**
 * A word of explanation on hover and on keyboard focus; Escape takes it away. The trigger must be focusable.
 * Own code, because it is on every page: the library's costs 30 kB of the first load, this 1.
 */
export function Tooltip({ text, children }: TooltipProps) {
  const id = useId();
  const [anchor, setAnchor] = useState<DOMRect | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const hide = () => {
    clearTimeout(timer.current);
    setAnchor(null);
  };
  const show = (element: HTMLElement, delayMs: number) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setAnchor(element.getBoundingClientRect()), delayMs);
  };
  const isOpen = anchor !== null;
  useEffect(() => {
    if (!isOpen) return;
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && setAnchor(null);
    const onScroll = () => setAnchor(null);
    window.addEventListener("keydown", onKey);
    window.addEventListener("scroll", onScroll, { capture: true, passive: true });
    return () => {
      window.removeEventListener("keydown", onKey);
      window.removeEventListener("scroll", onScroll, { capture: true });
    };
  }, [isOpen]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const own = children.props;
  const trigger = cloneElement(children, {
    onMouseEnter: (event) => {
      own.onMouseEnter?.(event);
      show(event.currentTarget, DELAY_MS);
    },
    onMouseLeave: (event) => {
      own.onMouseLeave?.(event);
      hide();
    },
    onFocus: (event: FocusEvent<HTMLElement>) => {
      own.onFocus?.(event);
      if (event.currentTarget.matches(":focus-visible")) show(event.currentTarget, 0);
    },
    onBlur: (event) => {
      own.onBlur?.(event);
      hide();
    },
    onMouseDown: (event) => {
      own.onMouseDown?.(event);
      hide();
    },
    ...(isOpen && own["aria-describedby"] === undefined ? { "aria-describedby": id } : {}),
  });
  return (
    <>
      {trigger}
      {anchor ? createPortal(<Bubble id={id} anchor={anchor} text={text} />, document.body) : null}
    </>
  );
}

function Bubble({ id, anchor, text }: { id: string; anchor: DOMRect; text: ReactNode }) {
  const ref = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState({ left: -9999, top: -9999 });
  useEffect(() => {
    if (!ref.current) return;
    const { offsetWidth: width, offsetHeight: height } = ref.current;
    const centre = anchor.left + anchor.width / 2 - width / 2;
    const left = Math.max(EDGE_PX, Math.min(centre, window.innerWidth - width - EDGE_PX));
    const isRoomAbove = anchor.top - height - GAP_PX >= EDGE_PX;
    setPlace({ left, top: isRoomAbove ? anchor.top - height - GAP_PX : anchor.bottom + GAP_PX });
  }, [anchor]);
  return (
    <div
      ref={ref}
      id={id}
      role="tooltip"
      style={place}
      className="glass-high pointer-events-none fixed z-[70] w-max max-w-72 rounded-lg px-2.5 py-1.5 text-[0.8125rem] leading-snug text-ink"
    >
      {text}
    </div>
  );
}
