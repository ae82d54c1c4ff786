"""How one recipient will see a content. The HTML is sanitised for this view only: what is sent is what was written."""

from collections.abc import Mapping
from copy import deepcopy

import nh3

from app.content.compiled import ContentSource, RenderFault, compile_content
from app.content.templates import TemplateFault
from app.domain.errors import InvalidInput

_TAGS = nh3.ALLOWED_TAGS | {"center", "font", "section", "article", "header", "footer", "main", "u", "s"}
_ATTRIBUTES = deepcopy(nh3.ALLOWED_ATTRIBUTES)
_ATTRIBUTES["*"] = _ATTRIBUTES.get("*", set()) | {
    "style", "align", "valign", "width", "height", "bgcolor", "border", "color", "face", "size", "dir", "lang", "title",
    "cellpadding", "cellspacing",
}  # fmt: skip
# nh3's time grows with the square of the nesting: 60,000 nested elements take 38 s, 10,000 one. Tags that close count too.
_ELEMENTS_MAX = 10_000
_SCHEMES = {"http", "https", "mailto", "tel"}


#: Whose address stands in From: the view shows subject and bodies only.
_NOBODY = "preview@example.test"


def render_preview(
    *,
    subject: str,
    html: str | None,
    text_body: str | None,
    preview_text: str,
    recipient: str,
    variables: Mapping[str, object],
    unsubscribe_url: str | None,
    is_bulk: bool = True,
) -> dict[str, str | None]:
    """{"subject", "html", "text"} for one recipient; html is None when the content has none.

    Raises  InvalidInput when a source cannot be parsed (find_faults says where), or when this recipient lacks a value.
    """
    source = ContentSource(
        subject=subject, html=html, text_body=text_body, preview_text=preview_text, from_name="", from_email=_NOBODY,
        reply_to=None, list_id=None, is_bulk=is_bulk,
    )  # fmt: skip
    try:
        compiled = compile_content(source)
    except TemplateFault as fault:
        raise InvalidInput(f"The content cannot be rendered: {fault}", code="template_syntax") from fault
    rendered = compiled.render_parts(recipient=recipient, variables=variables, unsubscribe_url=unsubscribe_url)
    if isinstance(rendered, RenderFault):
        raise InvalidInput(f"The content cannot be rendered for {recipient}: {rendered.reason}.", code="render_fault")
    shown_subject, page, text = rendered
    return {"subject": shown_subject, "html": None if page is None else sanitise_html(page), "text": text}


def sanitise_html(page: str) -> str:
    """HTML without scripts, forms, frames, handlers and javascript: links, for showing inside our own pages."""
    if page.count("<") > _ELEMENTS_MAX:
        return "<p>This page has too many elements to be shown here.</p>"
    return nh3.clean(
        page,
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        clean_content_tags={"script", "style", "title"},
    )
