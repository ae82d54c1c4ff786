"""Merge tags: what they give, what is refused at save, and that hostile ones stop."""

import contextlib
import time
from collections.abc import Mapping

import minijinja
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.content.templates import (
    RenderStop,
    Template,
    TemplateFault,
    escape_html,
    find_faults,
    merge_tags,
    parse,
)

VALUES: dict[str, object] = {
    "first_name": "Zoë", "blank": "", "nothing": None, "age": "25", "count": 0, "price": 9.5, "yes": True, "code": "R&D",
    "items": [{"name": "tea", "n": 2}, {"name": "milk", "n": 1}], "order": {"id": 7, "to": {"city": "Ulm"}}, "tags": ["a", "b"],
}  # fmt: skip


def render(source: str, values: Mapping[str, object] = VALUES, *, is_html: bool = False) -> str:
    template = Template(parse(source), encode_text=str, encode_value=escape_html if is_html else str)
    return "".join(template.render(values))


RENDERED = {
    "plain text": ("Hello", "Hello"),
    "name": ("Hi {{ first_name }}!", "Hi Zoë!"),
    "no spaces": ("{{first_name}}", "Zoë"),
    "default unused": ('{{ first_name | default("friend") }}', "Zoë"),
    "default for absent": ('{{ nobody | default("friend") }}', "friend"),
    "default for blank": ("{{ blank|default('friend') }}", "friend"),
    "default for null": ("{{ nothing|default('friend', true) }}", "friend"),
    "default keeps zero": ("{{ count|default(9) }}", "0"),
    "default of another tag": ("{{ nobody|default(first_name) }}", "Zoë"),
    "default then filter": ("{{ nobody|default('friend')|upper }}", "FRIEND"),
    "absent path with default": ("{{ order.from.city|default('?') }}", "?"),
    "given but empty": ("[{{ blank }}]", "[]"),
    "path": ("{{ order.to.city }} {{ order.id }}", "Ulm 7"),
    "numbers and flags": ("{{ price }} {{ yes }} {{ price|round(2) }} {{ age|round }}", "9.5 true 9.50 25"),
    "filters": ("{{ first_name|upper }} {{ ' a b '|trim|title }} {{ tags|join(', ') }} {{ tags|length }}", "ZOË A B a, b 2"),
    "urlencode": ("{{ 'a b&ü'|urlencode }}", "a%20b%26%C3%BC"),
    "truncate": ("{{ 'abcdef'|truncate(4) }}", "abc…"),
    "if": ("{% if yes %}y{% else %}n{% endif %}{% if nobody %}y{% else %}n{% endif %}", "yn"),
    "elif": ("{% if count %}a{% elif first_name == 'Zoë' %}b{% else %}c{% endif %}", "b"),
    "numbers in texts": ("{% if age > 18 and age < 100 %}adult{% endif %}", "adult"),
    "text equals number": ("{% if age == 25 %}y{% endif %}{% if age != 25 %}n{% endif %}", "y"),
    "not, or, parentheses": ("{% if not (count or nobody) and yes %}y{% endif %}", "y"),
    "is defined": ("{% if nobody is defined %}a{% endif %}{% if blank is defined %}b{% endif %}{% if nobody is not defined %}c{% endif %}", "bc"),
    "in": ("{% if 'a' in tags %}y{% endif %}{% if 'x' in tags %}n{% endif %}", "y"),
    "incomparable is false": ("{% if items > 3 %}y{% else %}n{% endif %}", "n"),
    "for": ("{% for i in items %}{{ loop.index }}:{{ i.name }}×{{ i.n }}{% if not loop.last %}, {% endif %}{% endfor %}", "1:tea×2, 2:milk×1"),
    "the loop's name ends with it": ("{% for first_name in tags %}{{ first_name }}{% endfor %}{{ first_name }}", "abZoë"),
    "white space control": ("a \n {{- first_name -}} \n b", "aZoëb"),
    "comment": ("a{# not sent #}b", "ab"),
    "css is no comment": ("@media print{#menu{color:red}}", "@media print{#menu{color:red}}"),
    "literal braces": ("{{ '{{' }} }} %}", "{{ }} %}"),
    "braces in a string": ("{{ nobody | default('}}') }}{{ nobody | default(\"it's\") }}", "}}it's"),
    "escapes in a string": (r"{{ 'a\"b\\c' }}", 'a"b\\c'),
    "line ends": ("a\r\nb\rc", "a\nb\nc"),
    "control characters": ("a\x00b\x1bc\x85d\ud800", "abcd"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), RENDERED.values(), ids=RENDERED)
def test_a_template_gives(source: str, expected: str) -> None:
    assert render(source) == expected


def test_values_are_escaped_in_html_and_text_around_them_is_not() -> None:
    html = "<b>{{ code }} {{ '<i title=\"' }}</b>"
    assert render(html, is_html=True) == "<b>R&amp;D &lt;i title=&quot;</b>"
    assert render(html) == '<b>R&D <i title="</b>'


STOPPED = {
    "missing": ("Hi {{ nobody }}", "nobody is missing and has no default"),
    "null": ("{{ nothing }}", "nothing is missing and has no default"),
    "missing path": ("{{ order.from.city }}", "order.from.city is missing and has no default"),
    "missing through a filter": ("{{ nobody|upper }}", "nobody is missing and has no default"),
    "missing list": ("{% for x in nobody %}{% endfor %}", "nobody is missing and has no default"),
    "python attribute": ("{{ first_name.__class__ }}", "first_name.__class__ is missing and has no default"),
    "an object": ("{{ order }}", "a list or an object cannot be written out: name one of its values"),
    "no list": ("{% for x in first_name %}{% endfor %}", "for needs a list"),
}


@pytest.mark.parametrize(("source", "reason"), STOPPED.values(), ids=STOPPED)
def test_a_message_that_lacks_a_value_is_not_rendered(source: str, reason: str) -> None:
    with pytest.raises(RenderStop) as stop:
        render(source)
    assert str(stop.value) == reason


REFUSED = {
    "unclosed tag": ("a\nb {{ first_name", 'Line 2: "{{" is not closed'),
    "unclosed statement": ("{% if x", '"{%" is not closed'),
    "unclosed comment": ("{# x", 'A comment "{#" is not closed'),
    "single brace": ("{{ x }", "is not closed"),
    "empty": ("{{ }}", "empty"),
    "no endif": ("\n\n{% if yes %}a", 'Line 3: "{% if yes %}" has no "{% endif %}"'),
    "no endfor": ("{% for x in items %}a", 'has no "{% endfor %}"'),
    "crossed": ("{% for x in items %}{% if x %}{% endfor %}{% endif %}", "endfor"),
    "stray end": ("a{% endif %}", "nothing that it could belong to"),
    "unknown statement": ("{% include 'x' %}", 'There is no statement "include"'),
    "call": ("{{ range(10) }}", "cannot call anything"),
    "arithmetic": ("{{ 'a' * 1000 }}", "cannot stand in a merge tag"),
    "list": ("{{ [1] }}", "cannot stand in a merge tag"),
    "unknown filter": ("{{ a|shout }}", 'There is no filter "shout"'),
    "default after another filter": ("{{ a|upper|default('x') }}", 'Put "default" first'),
    "rubbish after": ("{{ first name }}", '"name" is not expected'),
    "keyword": ("{{ if }}", "missing"),
    "for without in": ("{% for x items %}{% endfor %}", '"in" is missing'),
    "else twice": ("{% if a %}{% else %}{% else %}{% endif %}", "nothing that it could belong to"),
}


@pytest.mark.parametrize(("source", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_source_that_cannot_be_understood_is_refused_with_its_line(source: str, sentence: str) -> None:
    with pytest.raises(TemplateFault) as fault:
        parse(source)
    assert sentence in str(fault.value)
    assert str(fault.value).startswith("Line ")


def test_faults_point_at_their_place() -> None:
    faults = find_faults(subject="{{ a", html="<p>{{ frist_name }}</p>", text_body="{{ email }}", known={"first_name"})
    assert [(fault.pointer, fault.code) for fault in faults] == [
        ("/subject", "template_syntax"),
        ("/html", "unknown_merge_tag"),
    ]
    assert 'Did you mean "first_name"?' in faults[1].detail


def test_a_tag_that_may_be_absent_need_not_be_known() -> None:
    for source in (
        "{{ coupon | default('none') }}",
        "{% if coupon is defined %}{{ coupon }}{% endif %}",
        "{{ unsubscribe_url }}{{ email }}",
        "{% for line in first_name %}{{ line.x }}{{ loop.index }}{% endfor %}",
    ):
        assert find_faults(subject=source, html=None, text_body=None, known={"first_name"}) == []
    assert (
        find_faults(subject="{{ a|default(b) }}{{ c|default('x') }}{{ c }}", html=None, text_body=None, known=None)
        == []
    )
    names = [
        fault.detail.split('"')[1]
        for fault in find_faults(
            subject="{{ a|default(b) }}{{ c|default('x') }}{{ c }}{% if d %}{% endif %}",
            html=None,
            text_body=None,
            known=set(),
        )
    ]
    assert names == ["b", "c", "d"]


def test_merge_tags_lists_the_names_that_come_from_the_recipient() -> None:
    source = "{{ a.b }}{% for c in d %}{{ c }}{{ loop.index }}{% endfor %}{% if e == 'f' %}{% endif %}"
    assert merge_tags(source) == {"a", "d", "e"}
    assert merge_tags("{{ broken") == set()


BIG: dict[str, object] = {"items": [{"x": "y"}] * 8_000, "long": "x" * 32_000}
HOSTILE = {
    "deep parentheses": "{% if " + "(" * 400 + "a" + ")" * 400 + " %}{% endif %}",
    "deep blocks": "{% if a %}" * 5_000,
    "closed deep blocks": "{% if 1 %}" * 1_000 + "{% endif %}" * 1_000,
    "unclosed, often": "{{ " * 170_000,
    "unclosed quotes": "{{ '" * 100_000,
    "comments": "{# " * 170_000,
    "statements": "{%" * 250_000,
    "many tags": "{{a}}" * 100_000,
    "range": "{% for i in range(1000000000) %}{% endfor %}",
    "repeat": "{{ 'a' * 1000000000 }}",
    "repeated lists": "{{ [[[1]*9999]*9999]*9999 }}",
    "long tag": "{{ " + "a or " * 100_000 + "a }}",
    "nots": "{% for a in items %}{% if " + "not " * 240 + "a %}{% endif %}{% endfor %}",
    "nested loops": "{% for a in items %}" * 10 + "x" + "{% endfor %}" * 10,
    "empty nested loops": "{% for a in items %}" * 3 + "{% endfor %}" * 3,
    "large body of a loop": "{% for a in items %}" + "x" * 500_000 + "{% endfor %}",
    "large value in a loop": "{% for a in items %}{{ long }}{% endfor %}",
    "work without output": "{% for a in items %}{% if items|join('" + "x" * 900 + "') == '' %}{% endif %}{% endfor %}",
    "search": "{% for a in items %}{% if a in items or long|upper in long or 'z' in long %}{% endif %}{% endfor %}",
    "terms in a loop": "{% for a in items %}{% if " + "b or " * 150 + "b %}{% endif %}{% endfor %}",
    "wide filters": "{% for a in items %}{{ long" + "|upper|lower" * 70 + "|length }}{% endfor %}",
}  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_template_stops_with_a_fault(source: str) -> None:
    """CPU time, so that a busy machine does not fail it. Each takes a few ms to 50; the bound is what must not be passed."""
    started = time.thread_time()
    with pytest.raises((TemplateFault, RenderStop)):
        render(source, BIG, is_html=True)
    assert time.thread_time() - started < 0.5


_FRAGMENTS = st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", " if ", " for ", " in ", "endif", "endfor", "else", "elif", "a", ".b", "|", "default",
     "('x')", "upper", '"', "'", "\\", "(", ")", "not ", "is defined", "-", " ", "\n", "1", "==", "x", "é", "{", "}"]
)  # fmt: skip


@given(st.lists(_FRAGMENTS, max_size=30).map("".join) | st.text(max_size=40))
def test_any_source_is_parsed_or_refused_and_nothing_else(source: str) -> None:
    with contextlib.suppress(TemplateFault, RenderStop):
        render(source, {"a": {"b": "x"}, "x": ["1"]})


_NAMES = st.sampled_from(["first_name", "blank", "nobody", "order.to.city", "yes", "code"])
_SHORT = st.text("ab<&\n é.", max_size=8)


@st.composite
def _sources(draw: st.DrawFn, depth: int = 2) -> str:
    """Sources that mean the same here and in Jinja: `or` and comparisons of mixed types are left out."""
    parts = []
    for kind in draw(st.lists(st.integers(0, 5 if depth else 2), max_size=5)):
        if kind == 0:
            parts.append(draw(_SHORT))
        elif kind == 1:
            parts.append("{{ " + draw(st.sampled_from(["first_name", "code", "order.to.city", "order.id"])) + " }}")
        elif kind == 2:
            parts.append(
                '{{ first_name | default("'
                + draw(st.text("ab<& ", max_size=5))
                + '") | '
                + draw(st.sampled_from(["upper", "lower", "trim", "title"]))
                + " }}"
            )
        elif kind == 3:
            test = draw(
                st.sampled_from(
                    ["yes", "not yes", "code == 'R&D'", "order.id > 3 and yes", "nobody is defined", "'a' in tags"]
                )
            )
            parts.append(
                "{% if " + test + " %}" + draw(_sources(depth=depth - 1)) + "{% else %}" + draw(_SHORT) + "{% endif %}"
            )
        elif kind == 4:
            parts.append(
                "{% for i in items -%}" + draw(_sources(depth=depth - 1)) + "{{ i.name }}{{ loop.index }}{% endfor %}"
            )
        else:
            parts.append("{{- '" + draw(st.text("ab<& ", max_size=5)) + "' }}")
    return "".join(parts)  # fmt: skip


@given(_sources())
def test_the_language_means_what_it_means_in_jinja(source: str) -> None:
    """minijinja as the oracle. It escapes "/" too and writes &#x27; for an apostrophe as we do."""
    oracle = minijinja.Environment(
        undefined_behavior="strict", auto_escape_callback=lambda name: "html", keep_trailing_newline=True
    )
    expected = oracle.render_str(source, "x.html", **VALUES).replace("&#x2f;", "/")
    assert render(source, is_html=True) == expected
