"""Reading what a request carries: the one place where bytes become validated models.

Routes keep APIFlask's own words, `@blueprint.input(Model)` and `@blueprint.input(Model, location="query")`; the adapter
registered here replaces APIFlask's reading, which ignores Content-Type, accepts NaN and NUL, and loses the place of a fault.
A fault's pointer is a JSON pointer (RFC 6901) into the body; a query parameter's is `?name`.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import orjson
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import UnsupportedMediaType

from app.domain.errors import Fault, InvalidInput

FAULTS_MAX = 100  # a body of a thousand bad items names the first hundred
_NUL = "\x00"
Model = TypeVar("Model", bound=BaseModel)


class Input(BaseModel):
    """A body or a query string. Unknown fields are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(extra="forbid")


class JsonAdapter(PydanticAdapter):
    """APIFlask's seam for pydantic models, with our reading and our errors."""

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:
        """Raises InvalidInput with a fault per place; UnsupportedMediaType for a body that is not declared JSON."""
        if location == "json":
            return validate(self.model_class, read_json(request))
        if location in ("query", "querystring"):
            return validate(self.model_class, _read_query(request), in_query=True)
        return super().validate_input(request, location, **kwargs)


registry.register("pydantic", JsonAdapter)


def read_json(request: Request) -> Any:
    """The body as plain data; an empty body is an empty object, for calls whose fields are all optional.

    Raises InvalidInput for what is not JSON (orjson refuses NaN, lone surrogates and deep nesting) and for NUL in any
    text, which PostgreSQL cannot store; UnsupportedMediaType when Content-Type is not application/json.
    """
    body = request.get_data(cache=True)
    if not body:
        return {}
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body with Content-Type: application/json.")
    return parse_json(body)


def parse_json(body: bytes) -> Any:
    """`read_json`, of a body that is declared JSON."""
    if not body:
        return {}
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        detail = f"The body is not valid JSON: {error}."
        raise InvalidInput(detail, [Fault("", detail, "not_json")], code="not_json") from error
    if b"u0000" in body:  # NUL can only be written as \u0000; without the \, which most lines have, it is found faster
        faults = [Fault(pointer, "holds the character NUL", "nul") for pointer in find_nul(data)][:FAULTS_MAX]
        if faults:
            raise InvalidInput("Text must not hold the character NUL (U+0000).", faults)
    return data


def find_nul(data: Any) -> Iterator[str]:
    """The pointers of all texts that hold NUL. Keeps its own stack: the data may nest as deeply as orjson allows."""
    stack: list[tuple[str, Any]] = [("", data)]
    while stack:
        pointer, value = stack.pop()
        if isinstance(value, str):
            if _NUL in value:
                yield pointer
        elif isinstance(value, dict):
            if any(_NUL in key for key in value):
                yield pointer
            stack.extend((f"{pointer}/{_escape(key)}", item) for key, item in value.items())
        elif isinstance(value, list):
            stack.extend((f"{pointer}/{index}", item) for index, item in enumerate(value))


def validate(model: type[Model], data: Any, *, in_query: bool = False) -> Model:
    """Make the model, or raise InvalidInput with one Fault per place."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_make_fault(item, in_query=in_query) for item in error.errors(include_url=False, include_input=False)]
        what = "query" if in_query else "body"
        raise InvalidInput(f"The {what} has {_count(len(faults), 'fault')}.", faults[:FAULTS_MAX]) from error


def _read_query(request: Request) -> dict[str, str]:
    values = request.args.to_dict()
    for name, value in values.items():
        if _NUL in value or _NUL in name:
            text = "holds the character NUL"
            raise InvalidInput(f"The query parameter {name!r} {text}.", [Fault(f"?{name}", text, "nul")])
    return values


def _make_fault(item: ErrorDetails, *, in_query: bool) -> Fault:
    detail = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        detail = "is not a known query parameter" if in_query else "is not a known field"
    elif item["type"] == "missing":
        detail = "is required"
    code = "unknown_field" if item["type"] == "extra_forbidden" else item["type"]
    if in_query:
        return Fault("?" + ".".join(str(part) for part in item["loc"]), detail, code)
    return Fault("".join(f"/{_escape(str(part))}" for part in _real_path(item)), detail, code)


def _real_path(item: ErrorDetails) -> Iterator[int | str]:
    """Where the fault is, without the names that pydantic adds for the arms of a union."""
    for part in item["loc"]:
        if isinstance(part, str) and ("[" in part or part.endswith("Input")):
            continue
        yield part


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
