"""What a stored audience is called."""

from typing import Any

import pytest

from app.domain.audience import describe_audience


@pytest.mark.parametrize(
    ("stored", "filename", "names", "label"),
    [
        ({"kind": "import", "import_id": 1}, "people.csv", [], "people.csv"),
        ({"kind": "import", "import_id": 1}, "", [], "An uploaded file"),
        ({"kind": "import", "import_id": 1}, None, [], "A deleted import"),
        ({"kind": "lists", "list_ids": [1]}, None, ["News"], "News"),
        ({"kind": "lists", "list_ids": [1, 2, 3]}, None, ["A", "B", "C"], "A, B, C"),
        ({"kind": "lists", "list_ids": [1, 2, 3, 4]}, None, ["A", "B", "C", "D"], "A, B, C and 1 more list"),
        ({"kind": "lists", "list_ids": [1, 2, 3, 4, 5]}, None, ["A", "B", "C", "D", "E"], "A, B, C and 2 more lists"),
        ({"kind": "lists", "list_ids": [1]}, None, [], "A deleted list"),
        ({"kind": "contacts", "size": 1}, None, [], "1 contact given by hand"),
        ({"kind": "contacts", "size": 12_000}, None, [], "12,000 contacts given by hand"),
    ],
)
def test_an_audience_is_called_by_what_it_was_made_from(
    stored: dict[str, Any], filename: str | None, names: list[str], label: str
) -> None:
    assert describe_audience(stored, filename, names) == label
