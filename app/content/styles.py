"""Rules of a <style> copied into style attributes, for mail programs that ignore style sheets. Once per campaign."""

import re

import css_inline

from app.content.templates import Piece, as_literals, cut

# css-inline 0.24 ends the whole process (stack overflow) on 16,000 nested elements, and its work grows with rules times
# elements. Real newsletters have fewer than 2,000 elements; what is larger goes out as written, <style> included.
_ELEMENTS_MAX = 3_000
_WORK_MAX = 2_000_000  # rules × elements

_ELEMENT = re.compile(r"<[A-Za-z]")
_STYLE = re.compile(r"<style\b([^<]*)", re.IGNORECASE)  # no "<" inside: work stays linear on hostile input
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True, keep_at_rules=True)


def inline_styles(source: str) -> str:
    """The HTML source with its rules inlined; the source itself when it has none, is too large, or would lose a tag."""
    rules = sum(sheet.count("{") for sheet in _STYLE.findall(source))
    elements = len(_ELEMENT.findall(source))
    if rules == 0 or elements > _ELEMENTS_MAX or rules * elements > _WORK_MAX:
        return source
    protected, tags = protect_tags(source)
    try:
        inlined = _INLINER.inline(protected)
    except (css_inline.InlineError, ValueError):
        return source
    # Entities may have become characters: "&#123;{" must not turn into a tag.
    restored = restore_tags(as_literals(inlined), tags)
    return source if restored is None else restored


def protect_tags(source: str) -> tuple[str, list[Piece]]:
    """Put a word that HTML tools leave alone in the place of each merge tag."""
    pieces = cut(source)
    tags = [piece for piece in pieces if piece.kind != "text"]
    number = 0
    parts = []
    for piece in pieces:
        if piece.kind == "text":
            # The marks are ours alone: private-use characters of the source would be taken for them.
            parts.append(piece.raw.replace("\ue000", "").replace("\ue001", ""))
        else:
            parts.append(f"\ue000{number}\ue001")
            number += 1
    return "".join(parts), tags


def restore_tags(text: str, tags: list[Piece]) -> str | None:
    """Put the tags back. None when one is gone, doubled or has moved: an `if` without its `endif` would not parse."""
    found = [int(number) for number in _PROTECTED.findall(text)]
    if found != list(range(len(tags))):
        return None
    return _PROTECTED.sub(lambda match: tags[int(match.group(1))].raw, text)


_PROTECTED = re.compile("\ue000(\\d+)\ue001")
