"""The preview: one recipient's view, sanitised."""

import pytest

from app.content.preview import render_preview, sanitise_html
from app.domain.errors import InvalidInput


def preview(**changes: object) -> dict[str, str | None]:
    fields: dict[str, object] = {
        "subject": "Hi {{ n }}", "html": "<p onclick='x()'>{{ n }}</p><script>x()</script>", "text_body": None, "preview_text": "",
        "recipient": "ann@example.test", "variables": {"n": "Zoë <b>"}, "unsubscribe_url": "https://mail.example/u/x",
    }  # fmt: skip
    return render_preview(**{**fields, **changes})  # type: ignore[arg-type]


def test_it_shows_subject_html_and_text_of_one_recipient() -> None:
    shown = preview()
    assert shown["subject"] == "Hi Zoë <b>"
    assert shown["html"] is not None and shown["html"].startswith("<p>Zoë &lt;b&gt;</p>")
    assert "https://mail.example/u/x" in shown["html"]
    assert shown["text"] is not None and shown["text"].startswith("Zoë <b>")


def test_a_content_without_html_has_none() -> None:
    assert preview(html=None, text_body="Hello")["html"] is None


@pytest.mark.parametrize(
    "page",
    ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<a href='javascript:alert(1)'>x</a>", "<iframe src=//x></iframe>",
     "<form action=x><input></form>", "<svg onload=alert(1)>", "<base href=//x>", "<meta http-equiv=refresh content='0;url=//x'>"],
)  # fmt: skip
def test_nothing_active_is_left(page: str) -> None:
    shown = sanitise_html(page).lower()
    assert not [
        word
        for word in ("script", "onerror", "onload", "iframe", "form", "input", "base", "meta", "svg")
        if word in shown
    ]


def test_what_cannot_be_rendered_is_said_in_words() -> None:
    with pytest.raises(InvalidInput, match="m is missing and has no default"):
        preview(subject="{{ m }}")
    with pytest.raises(InvalidInput, match="not closed"):
        preview(subject="{{ m")


def test_deeply_nested_html_is_shown_without_harm() -> None:
    assert preview(html="<div>" * 60_000 + "x", text_body="x")["html"] is not None
