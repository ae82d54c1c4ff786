"""Whom a campaign is for: an import, lists, or contacts given by hand; and how that is written in campaigns.audience."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class GivenContact:
    """A contact as it came with the campaign. `attributes` are clean: text by name."""

    email: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImportAudience:
    import_id: int


@dataclass(frozen=True, slots=True)
class ListsAudience:
    list_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ContactsAudience:
    contacts: tuple[GivenContact, ...]


Audience = ImportAudience | ListsAudience | ContactsAudience


_NAMES_SHOWN_MAX = 3


def describe_audience(stored: Mapping[str, Any], filename: str | None, list_names: Sequence[str]) -> str:
    """A stored audience for people: "people.csv", "News, Customers and 2 more lists", "12 contacts given by hand"."""
    match stored["kind"]:
        case "import":
            return filename or ("An uploaded file" if filename is not None else "A deleted import")
        case "lists":
            more = len(list_names) - _NAMES_SHOWN_MAX
            shown = ", ".join(list_names[:_NAMES_SHOWN_MAX]) or "A deleted list"
            return f"{shown} and {more} more {'list' if more == 1 else 'lists'}" if more > 0 else shown
        case _:
            size = int(stored.get("size") or 0)
            return f"{size:,} {'contact' if size == 1 else 'contacts'} given by hand"


@dataclass(frozen=True, slots=True)
class AudienceKey:
    """Where the members of a stored audience are. What does not apply is None or empty."""

    import_id: int | None = None
    list_ids: list[int] = field(default_factory=list)
    is_by_hand: bool = False

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any] | None) -> "AudienceKey":
        match (stored or {}).get("kind"):
            case "import":
                return cls(import_id=int((stored or {})["import_id"]))
            case "lists":
                return cls(list_ids=[int(list_id) for list_id in (stored or {})["list_ids"]])
            case "contacts":
                return cls(is_by_hand=True)
            case _:
                return cls()
