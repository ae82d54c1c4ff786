"""How long one recipient's message takes to make."""

import time
from datetime import UTC, datetime

from app.content.compiled import ContentSource, RenderedMessage, compile_content
from tests.bench.options import Line, Lines, Options

DEFAULT_N = 20_000


def run(options: Options) -> Lines:
    count = options.size(DEFAULT_N)
    paragraph = '<p style="margin:0 0 12px">A paragraph of a newsletter, with <a href="https://shop.example/?a=1">a link</a>.</p>\n'
    source = ContentSource(
        subject="{{ first_name | default('Hello') }}, your order",
        html="<html><body>" + paragraph * 26 + "<p>Hi {{ first_name | default('friend') }} in {{ city }},</p>"
        '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>',
        text_body=None, preview_text="", from_name="The Shop", from_email="news@shop.example", reply_to=None,
        list_id="news", is_bulk=True,
    )  # fmt: skip
    assert source.html is not None
    started = time.perf_counter()
    compiled = compile_content(source)
    result: Line = {"bench": "content", "n": count, "html_bytes": len(source.html)}
    result["compile_ms"] = round((time.perf_counter() - started) * 1000, 1)
    now = datetime.now(UTC)
    made = None
    started = time.process_time()
    for number in range(count):
        made = compiled.render(
            recipient=f"user{number}@example.test", variables={"first_name": "Zoë", "city": "Köln"},
            message_public_id=f"msg_{number:022d}", unsubscribe_url=f"https://mail.example/u/{number:043d}",
            date=now, eight_bit=True, smtputf8=False,
        )  # fmt: skip
    result["render_us"] = round((time.process_time() - started) / count * 1e6, 1)
    assert isinstance(made, RenderedMessage)
    result["message_bytes"] = len(made.data)
    yield result
