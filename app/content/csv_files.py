"""CSV in and out: what an uploaded file is, its records with their line numbers, and cells that a spreadsheet cannot run.

Used by the upload (app/commands/imports.py) and by the import itself (worker/importing.py), so that both see one file
alike. Nothing here knows the database.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.content.addresses import is_address
from app.domain.contact import ATTRIBUTES_COUNT_MAX, is_attribute_name

COLUMNS_MAX = 64
LINE_SIZE_MAX = 1024 * 1024  # bytes
SAMPLE_ROWS = 10
CELL_SHOWN_MAX = 200  # characters of a cell in sample rows
#: Characters in one cell. An unclosed quote would otherwise swallow the rest of the file.
CELL_SIZE_MAX = 128 * 1024
DELIMITERS = (",", ";", "\t", "|")
_ROWS_LOOKED_AT = 200
_MAGIC = {
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PK\x05\x06": "an empty zip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
}

csv.field_size_limit(CELL_SIZE_MAX)


#: One row of the file: its first line (from 1), its cells, and why they mean nothing or None. A plain tuple: a named one
#: takes twice as long to make as the row to read.
Record = tuple[int, list[str], str | None]


class NotCsv(Exception):
    """The file cannot be imported. `code` is stable; the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class CsvShape:
    """What the beginning of a file says about the whole."""

    delimiter: str
    columns: list[str]  # names in order, made up where the file gives none
    has_header: bool
    sample_rows: list[list[str]]
    mapping: dict[str, str]  # suggested: attribute -> column


def refuse_binary(head: bytes) -> None:
    """Look at the first bytes. Raises NotCsv for an empty file and for archives and the like, which are not inflated."""
    if not head.strip():
        raise NotCsv("empty_file", "The file is empty. Upload a CSV file with a header line and one row per contact.")
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            raise NotCsv("not_csv", f"This is {name}, not CSV. Save or unpack it as CSV (UTF-8) and upload that.")


def sniff(text: str) -> CsvShape:
    """Read the shape of a file off its beginning (at most 1 MiB, complete lines). Raises NotCsv."""
    delimiter = _find_delimiter(text)
    rows = list(_first_rows(text, delimiter))
    if not rows:
        raise NotCsv(
            "empty_file", "The file has no rows. Upload a CSV file with a header line and one row per contact."
        )
    if len(rows[0]) > COLUMNS_MAX:
        raise NotCsv(
            "too_many_columns",
            f"The file has {len(rows[0])} columns; at most {COLUMNS_MAX} are taken. Remove those you do not need.",
        )
    header = has_header(rows[0])
    columns = name_columns(rows[0], header=header)
    body = rows[1:] if header else rows
    email_column = _find_email_column(columns, body)
    return CsvShape(
        delimiter=delimiter,
        columns=columns,
        has_header=header,
        sample_rows=[_fit(row, len(columns)) for row in body[:SAMPLE_ROWS]],
        mapping=suggest_mapping(columns, email_column),
    )


def has_header(first_row: Sequence[str]) -> bool:
    """A first row that already holds an address is data."""
    return not any(is_address(cell.strip()) for cell in first_row)


def name_columns(first_row: Sequence[str], *, header: bool) -> list[str]:
    """One name for each column, each different: the header's, else 'Column 3'; 'City (2)' for the second City."""
    names: list[str] = []
    taken: set[str] = set()
    for number, cell in enumerate(first_row, start=1):
        wanted = (cell.strip()[:CELL_SHOWN_MAX] if header else "") or f"Column {number}"
        name, again = wanted, 2
        while name in taken:
            name, again = f"{wanted} ({again})", again + 1
        taken.add(name)
        names.append(name)
    return names


def read_records(source: io.RawIOBase, *, encoding: str, delimiter: str) -> Iterator[Record]:
    """Stream the records of a file, header included, without its blank lines. Memory does not grow with the file.

    A record that cannot be read comes with a fault; the reader goes on at the next line.
    """
    buffered = io.BufferedReader(source, 256 * 1024)
    text = io.TextIOWrapper(buffered, encoding=python_encoding(encoding), errors="replace", newline="")
    reader = csv.reader(text, delimiter=delimiter)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fault = f"A quote opened here was not closed within {CELL_SIZE_MAX // 1024} KiB"
            yield line, [], f"{fault} (the rows up to line {reader.line_num} went with it)."
            continue
        if cells:
            yield line, cells, None


def python_encoding(encoding: str) -> str:
    """The codec for a stored file: UTF-16 was turned into UTF-8 when it was stored."""
    return "cp1252" if encoding == "cp1252" else "utf-8-sig"


# --- the suggested mapping


_SYNONYMS: dict[str, tuple[str, ...]] = {
    "first_name": ("first", "firstname", "givenname", "forename", "vorname", "prenom", "nombre", "fname"),
    "last_name": ("last", "lastname", "surname", "familyname", "nachname", "nom", "apellido", "apellidos", "lname"),
    "name": ("name", "fullname", "contactname", "displayname"),
    "company": ("company", "companyname", "organisation", "organization", "firma", "societe", "empresa", "unternehmen"),
    "city": ("city", "town", "stadt", "ort", "ville", "ciudad"),
    "country": ("country", "land", "pays", "pais"),
    "phone": ("phone", "phonenumber", "telephone", "telefon", "mobile", "mobil", "handy", "tel"),
}
_EMAIL_NAMES = (
    "email", "emailaddress", "mail", "mailaddress", "emailadresse", "mailadresse", "adresse", "courriel", "correo",
    "correoelectronico", "address", "contactemail", "useremail", "subscriberemail",
)  # fmt: skip


def suggest_mapping(columns: Sequence[str], email_column: str) -> dict[str, str]:
    """Attribute -> column for every column: known names in several languages, others by their own name."""
    mapping = {"email": email_column}
    for column in columns:
        if column == email_column or len(mapping) > ATTRIBUTES_COUNT_MAX:
            continue
        plain = _plain(column)
        known = next((name for name, words in _SYNONYMS.items() if plain in words), None)
        name = known or _slug(column)
        if is_attribute_name(name) and name not in mapping:
            mapping[name] = column
    return mapping


def _find_email_column(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The column that holds addresses: the one with a fitting name first, else the one with the most. Raises NotCsv."""
    hits = [sum(1 for row in rows if at < len(row) and is_address(row[at].strip())) for at in range(len(columns))]
    if not any(hits):
        raise NotCsv(
            "no_address_column",
            f"No column holds e-mail addresses (columns: {', '.join(columns)[:300]}). "
            "Check that the file is CSV with commas, semicolons, tabs or | and has a column of addresses.",
        )
    named = [at for at, column in enumerate(columns) if hits[at] and _plain(column) in _EMAIL_NAMES]
    best = max(hits)
    for at in named:
        if hits[at] * 2 >= best:
            return columns[at]
    return columns[hits.index(best)]


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _without_accents(column).lower())


def _slug(column: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", _without_accents(column).lower()).strip("_")[:64]
    return f"_{slug}"[:64] if slug[:1].isdigit() else slug


def _without_accents(text: str) -> str:
    text = text.replace("ß", "ss").replace("ø", "o").replace("Ø", "O")
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


# --- the delimiter


def _find_delimiter(text: str) -> str:
    """The delimiter under which the first rows have most columns of one width; a comma when there is only one column."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = [len(row) for row in _first_rows(text, delimiter, limit=50)]
        if not widths or widths[0] < 2:
            continue
        alike = sum(1 for width in widths if width == widths[0]) / len(widths)
        if (alike, widths[0]) > best_score:
            best, best_score = delimiter, (alike, widths[0])
    return best


def _first_rows(text: str, delimiter: str, limit: int = _ROWS_LOOKED_AT) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found = 0
    while found < limit:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue
        if row:
            found += 1
            yield row


def _fit(row: Sequence[str], width: int) -> list[str]:
    return [cell[:CELL_SHOWN_MAX] for cell in [*row[:width], *[""] * (width - len(row))]]


# --- CSV out

#: OWASP ASVS 5.0 § 1.2.10: a spreadsheet runs a cell that begins with one of these.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


def safe_cell(value: object) -> str:
    """Text for a cell; a leading ' keeps a spreadsheet from taking it for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def csv_line(cells: Iterable[object]) -> str:
    """One line of CSV (RFC 4180, CRLF at its end), each cell safe."""
    output = io.StringIO()
    csv.writer(output, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return output.getvalue()
