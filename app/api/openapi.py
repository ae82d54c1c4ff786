"""The OpenAPI 3.1 document, and a page made from it: no CDN, no script."""

import html
from typing import Any

import orjson
from apiflask import APIFlask
from flask import Response

from app.api.context import json_response

BODY_METHODS = ("post", "put", "patch")
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "A stable word for programs."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail", "code"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body, or `?name` of a query."},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}
_DESCRIPTION = """Schedule and send mail. Ids are opaque. Times are RFC 3339 in UTC. Lists are pages:
`?limit=1..200&cursor=…` answers `{"data": […], "next_cursor": …}`. Every POST honours `Idempotency-Key`. Polled reads carry an
`ETag`. Every failure is `application/problem+json` (RFC 9457)."""


def register_openapi(app: APIFlask) -> None:
    """Add /openapi.json and /docs. The document is made once, on first use."""
    app.config.update(
        OPENAPI_VERSION="3.1.0", AUTO_OPERATION_ID=True, AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_404_RESPONSE=False, AUTO_AUTH_ERROR_RESPONSE=False, AUTO_SERVERS=False, SERVERS=[{"url": "/"}],
        DESCRIPTION=_DESCRIPTION,
        SECURITY_SCHEMES={
            "api_key": {"type": "http", "scheme": "bearer", "description": "An API key, `mt_…`."},
            "session": {"type": "apiKey", "in": "cookie", "name": "mailtide"},
        },
    )  # fmt: skip
    app.spec_processor(lambda spec: _complete(app, spec))

    @app.get("/openapi.json")
    @app.doc(hide=True)
    def get_openapi() -> Response:
        answer = json_response(app._get_spec("json"))
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    @app.get("/docs")
    @app.doc(hide=True)
    def show_docs() -> Response:
        return Response(render_docs(orjson.loads(orjson.dumps(app._get_spec("json")))), mimetype="text/html")


def _complete(app: APIFlask, spec: Any) -> Any:
    """Say what APIFlask does not: bodies that are required, permissions, problems, the Idempotency-Key."""
    spec.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    guards = _list_guards(app)
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            _complete_operation(
                operation, method, scope=guards.get((path, method)), schemas=spec["components"]["schemas"]
            )
    return spec


def _complete_operation(operation: dict[str, Any], method: str, *, scope: str | None, schemas: dict[str, Any]) -> None:
    responses = operation["responses"]
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses["default"] = {"description": "A problem: `code` says which.", "content": problem}
    operation["security"] = [{"api_key": []}, {"session": []}] if scope else []
    if scope:
        operation["x-scope"] = scope
    if "requestBody" in operation:
        operation["requestBody"]["required"] = any(
            schemas.get(_name_of(content["schema"]), {}).get("required")
            for content in operation["requestBody"]["content"].values()
        )
    if method == "post" and scope:
        operation.setdefault("parameters", []).append({
            "name": "Idempotency-Key", "in": "header", "required": False,
            "description": "Repeating a request with the same key gives the first answer again.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        })  # fmt: skip


def _list_guards(app: APIFlask) -> dict[tuple[str, str], str]:
    """(path as the document writes it, method) → the scope its route requires."""
    import re

    found: dict[tuple[str, str], str] = {}
    for rule in app.url_map.iter_rules():
        scope = getattr(app.view_functions[rule.endpoint], "_requires", None)
        path = re.sub(r"<(?:[^<:]+:)?([^>]+)>", r"{\1}", rule.rule)
        for method in rule.methods or ():
            if scope:
                found[path, method.lower()] = scope
    return found


def _name_of(schema: Any) -> str:
    return str(schema.get("$ref", "")).rsplit("/", 1)[-1] if isinstance(schema, dict) else ""


_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.55 system-ui,sans-serif;margin:0;display:grid;grid-template-columns:16rem 1fr}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid #8884;box-sizing:border-box}
nav a{display:block;padding:.15rem 0;text-decoration:none;color:inherit;overflow-wrap:anywhere;font-size:13px}
main{padding:1.5rem 2rem;max-width:60rem;min-width:0}section{border-top:1px solid #8884;padding:1rem 0}
.m{display:inline-block;min-width:4.2em;font:600 12px ui-monospace,monospace;text-transform:uppercase}
.get{color:#1a7f4b}.post{color:#1558d6}.patch{color:#a15c00}.delete{color:#c62828}.put{color:#a15c00}
code,pre{font:13px ui-monospace,monospace}pre{background:#8881;padding:.8rem;border-radius:8px;overflow:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem .3rem 0;vertical-align:top;
border-bottom:1px solid #8883}summary{cursor:pointer}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;border:0}main{padding:1rem}}
"""


def render_docs(spec: dict[str, Any]) -> str:
    """The whole document as one page."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            groups.setdefault((operation.get("tags") or ["Other"])[0], []).append((method, path, operation))
    menu, body = [], []
    for tag, entries in sorted(groups.items()):
        menu.append(f"<strong>{_text(tag)}</strong>")
        body.append(f"<h2>{_text(tag)}</h2>")
        for method, path, operation in entries:
            anchor = _text(operation.get("operationId", f"{method}{path}"))
            menu.append(f'<a href="#{anchor}">{_method(method)}{_text(path)}</a>')
            body.append(_render_operation(anchor, method, path, operation))
    body.append("<h2>Schemas</h2>")
    for name, schema in sorted(spec["components"]["schemas"].items()):
        body.append(f'<section id="schema-{_text(name)}"><h3>{_text(name)}</h3>{_render_schema(schema)}</section>')
    info = spec["info"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_text(info['title'])} API</title><style>{_STYLE}</style><nav>{''.join(menu)}</nav>"
        f"<main><h1>{_text(info['title'])} API</h1><p>{_text(info.get('description', ''))}</p>"
        f'<p><a href="/openapi.json">openapi.json</a></p>{"".join(body)}</main></html>'
    )


def _render_operation(anchor: str, method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f'<section id="{anchor}"><h3>{_method(method)}<code>{_text(path)}</code></h3>']
    parts.append(f"<p><strong>{_text(operation.get('summary', ''))}</strong></p>")
    if operation.get("description"):
        parts.append(f"<p>{_text(operation['description'])}</p>")
    if operation.get("x-scope"):
        parts.append(f"<p>Needs the scope <code>{_text(operation['x-scope'])}</code>.</p>")
    if operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{_text(item['name'])}</code></td><td>{_text(item['in'])}</td>"
            f"<td>{_text(_type_of(item.get('schema', {})))}</td><td>{_text(item.get('description', ''))}</td></tr>"
            for item in operation["parameters"]
        )
        parts.append(f"<table><tr><th>Parameter<th>In<th>Type<th></tr>{rows}</table>")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body <code>{_text(media)}</code>: {_link(content.get('schema', {}))}</p>")
    for status, response in operation["responses"].items():
        links = ", ".join(_link(content.get("schema", {})) for content in response.get("content", {}).values())
        parts.append(f"<p><code>{_text(status)}</code> {_text(response.get('description', ''))} {links}</p>")
    return "".join([*parts, "</section>"])


def _render_schema(schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"<pre>{_text(orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode())}</pre>"
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{_text(name)}</code>{'' if name in required else '?'}</td><td>{_link(item)}</td>"
        f"<td>{_text(item.get('description', ''))}</td></tr>"
        for name, item in schema["properties"].items()
    )
    return f"<table><tr><th>Field<th>Type<th></tr>{rows}</table>"


def _link(schema: dict[str, Any]) -> str:
    name = _name_of(schema) or _name_of(schema.get("items", {}))
    many = "list of " if schema.get("type") == "array" else ""
    return f'{many}<a href="#schema-{_text(name)}">{_text(name)}</a>' if name else _text(_type_of(schema))


def _type_of(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type_of(arm) for arm in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if _name_of(schema):
        return _name_of(schema)
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS if key in schema]
    return " ".join([str(schema.get("format") or schema.get("type", "any")), *bounds])


_BOUNDS = (
    ("minimum", "≥"),
    ("maximum", "≤"),
    ("minLength", "length ≥"),
    ("maxLength", "length ≤"),
    ("maxItems", "items ≤"),
)


def _method(method: str) -> str:
    return f'<span class="m {method}">{method}</span>'


def _text(value: object) -> str:
    return html.escape(str(value))
