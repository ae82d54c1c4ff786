"""A batch is read and answered in the short way where its messages say the same, and means what it would mean in the long one."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.messages import MessageBatchInput, MessageInput, SameAgain, _unfold_batch
from app.public_ids import PublicIds

ADDRESSES = ["a@example.test", "B@EXAMPLE.test", "jürgen@example.test", "nobody", "", None, 7]
SAID: list[dict[str, Any]] = [
    {"subject": "Hello", "html": "<p>Hello</p>"},
    {"subject": "Hello", "html": "<p>Hello</p>", "scheduled_at": "2030-01-31T09:00:00+01:00", "tags": ["a"]},
    {"subject": "Hello", "text": "{{ name }}"},
]
BAD: list[dict[str, Any]] = [{"subject": "two\nlines"}, {"subject": "Hello", "unknown": 1}, {}]
VARIABLES: list[dict[str, Any]] = [{}, {"variables": {"name": "Ada"}}, {"variables": {"n": 1}}]
BAD_VARIABLES: list[dict[str, Any]] = [{"variables": None}, {"variables": {"n": [1]}}]


def items(
    addresses: list[Any], said: list[dict[str, Any]], variables: list[dict[str, Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    parts = st.sampled_from(addresses).map(lambda to: {"to": to}), st.sampled_from(said), st.sampled_from(variables)
    return st.tuples(*parts).map(lambda found: {**found[0], **found[1], **found[2]})


@given(
    batch=st.one_of(
        st.lists(items(ADDRESSES[:3], SAID, VARIABLES), min_size=1, max_size=8),
        st.lists(items(ADDRESSES, SAID + BAD, VARIABLES + BAD_VARIABLES), min_size=1, max_size=8),
    )
)
def test_each_message_of_a_batch_is_read_as_it_would_be_alone(batch: list[dict[str, Any]]) -> None:
    alone: list[MessageInput] = []
    faults: list[Any] = []
    for index, item in enumerate(batch):
        try:
            alone.append(MessageInput.model_validate(item))
        except ValidationError as error:
            faults += [(("messages", index, *fault["loc"]), fault["msg"]) for fault in error.errors()]
    try:
        together: Sequence[MessageInput | SameAgain] = MessageBatchInput.model_validate({"messages": batch}).messages
    except ValidationError as error:
        assert [(fault["loc"], fault["msg"]) for fault in error.errors()] == faults
        return
    assert not faults
    said: MessageInput | None = None
    for read, expected in zip(together, alone, strict=True):
        said = said if isinstance(read, SameAgain) else read
        assert said is not None
        assert said.model_copy(update={"to": read.to, "variables": read.variables}) == expected


def test_of_messages_that_say_the_same_only_the_first_is_read_in_full() -> None:
    batch = [{**SAID[0], "to": f"p{number}@example.test"} for number in range(3)]
    read: Sequence[MessageInput | SameAgain] = MessageBatchInput.model_validate({"messages": batch}).messages
    assert isinstance(read[0], MessageInput)
    assert list(read[1:]) == [SameAgain("p1@example.test", {}), SameAgain("p2@example.test", {})]


@pytest.mark.parametrize("messages", [[], [{**SAID[0], "to": "a@example.test"}] * 1001, "text", [1], None])
def test_a_batch_that_is_no_list_of_one_to_a_thousand_is_refused(messages: Any) -> None:
    with pytest.raises(ValidationError):
        MessageBatchInput.model_validate({"messages": messages})


def test_an_answer_that_an_earlier_version_kept_is_given_as_it_is() -> None:
    kept = orjson.dumps({"data": [{"id": "msg_0", "to": "a@example.test"}]})
    assert _unfold_batch(PublicIds(b"0" * 16), kept) == kept
