"""The plain-text part of a message whose author wrote only HTML."""

import html
import itertools
import re

from inscriptis import get_text
from inscriptis.model.config import ParserConfig

from app.content.styles import protect_tags
from app.content.templates import TemplateFault, as_literals, parse

# inscriptis takes 10 µs an element: what is larger than this is stripped of its markup and no more.
_ELEMENTS_MAX = 10_000
_CONFIG = ParserConfig(display_links=True)
_HIDDEN = re.compile(r"<(?:style|script)\b[^<]*", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]*>")
_PROTECTED = re.compile("\ue000(\\d+)\ue001")
_BLANK_LINES = re.compile(r"\n{3,}")


def to_text(document: str) -> str:
    """Plain text as a person would read the HTML: links as [label](address), lists with bullets, tables by columns."""
    if not document.strip():
        return ""
    if document.count("<") <= _ELEMENTS_MAX:
        try:
            return _tidy(get_text(document, _CONFIG))
        except Exception:  # noqa: S110  # a parser's trouble with hostile HTML must not stop a campaign
            pass
    return _tidy(html.unescape(_MARKUP.sub(" ", _HIDDEN.sub(" ", document))))


def to_text_source(source: str) -> str | None:
    """The text part as a template, made once from the HTML template: its merge tags survive.

    Returns  None when a statement would be lost or move (an `if` around a table's row): then the text is made from each
             recipient's HTML. An output tag may go with the attribute that it stood in (an image's address).
    """
    protected, tags = protect_tags(source)
    text = to_text(protected)
    # Entities are characters now: "&#123;{" must not turn into a tag.
    text = as_literals(text)
    kept = [int(number) for number in _PROTECTED.findall(text)]
    if [at for at in kept if tags[at].kind == "{%"] != [at for at, tag in enumerate(tags) if tag.kind == "{%"]:
        return None
    if any(later <= earlier for earlier, later in itertools.pairwise(kept)):
        return None
    text = _PROTECTED.sub(lambda match: tags[int(match.group(1))].raw, text)
    try:
        parse(text)
    except TemplateFault:
        return None
    return text


def _tidy(text: str) -> str:
    lines = (line.rstrip() for line in text.replace("\xa0", " ").split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
