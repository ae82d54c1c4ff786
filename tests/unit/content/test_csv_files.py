"""Shapes of CSV files and the suggested mapping; cells that a spreadsheet cannot run; the file on its way in."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.content.csv_files import NotCsv, csv_line, name_columns, read_records, safe_cell, sniff, suggest_mapping
from app.content.csv_intake import CHUNK_SIZE, Intake


@pytest.mark.parametrize("header", ["E-Mail", "email address", "Adresse", "Mail", "EMAIL", "E_mail", "Adresse e-mail"])
def test_a_column_of_addresses_is_found_under_its_usual_names(header: str) -> None:
    shape = sniff(f"Name,{header}\nAda,ada@x.test\n")
    assert shape.mapping["email"] == header


def test_the_column_with_addresses_wins_over_one_that_is_only_called_so() -> None:
    shape = sniff("E-Mail,Kontakt\n,ada@x.test\n,ben@x.test\n")
    assert shape.mapping["email"] == "Kontakt"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_though_others_occur_in_cells(delimiter: str) -> None:
    rows = [["email", "name", "note"], ["a@x.test", "Lee, Ann", "x;y"], ["b@x.test", "Bo", "1|2"]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    assert sniff(text).delimiter == delimiter


def test_a_file_of_one_column_is_csv_too() -> None:
    shape = sniff("email\na@x.test\nb@x.test\n")
    assert (shape.columns, shape.sample_rows) == (["email"], [["a@x.test"], ["b@x.test"]])


def test_names_in_several_languages_are_mapped_and_others_keep_their_own() -> None:
    columns = ["Mail", "Vorname", "Nachname", "Straße", "Postal Code", "2nd phone", "Prénom"]
    assert suggest_mapping(columns, "Mail") == {
        "email": "Mail",
        "first_name": "Vorname",
        "last_name": "Nachname",
        "strasse": "Straße",
        "postal_code": "Postal Code",
        "_2nd_phone": "2nd phone",
    }


def test_columns_without_a_name_or_with_the_same_get_their_own() -> None:
    assert name_columns(["City", "", "City", " "], header=True) == ["City", "Column 2", "City (2)", "Column 4"]


def test_records_carry_the_line_they_begin_on() -> None:
    data = b'email,note\r\na@x.test,"one\ntwo\nthree"\r\n\r\nb@x.test,x\r\n'
    records = list(read_records(io.BytesIO(data), encoding="utf-8", delimiter=","))  # type: ignore[arg-type]
    assert [(line, cells[0]) for line, cells, _ in records] == [(1, "email"), (2, "a@x.test"), (6, "b@x.test")]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_row_35_a_cell_that_a_spreadsheet_would_run_is_quoted(start: str) -> None:
    assert safe_cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


def test_other_cells_stay_as_they_are() -> None:
    assert csv_line(["a", None, 7, "x,y", 'say "hi"']) == 'a,,7,"x,y","say ""hi"""\r\n'


@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)), max_size=20
    ),
    size=st.integers(1, 50),
)
def test_however_a_file_is_cut_into_pieces_the_same_bytes_are_stored(rows: list[tuple[str]], size: int) -> None:
    data = ("email,note\r\na@x.test,x\r\n" + "".join(csv_line(["b@x.test", *row]) for row in rows)).encode()
    intake, stored = Intake(), b""
    for at in range(0, len(data), size):
        stored += b"".join(intake.feed(data[at : at + size]))
    last, facts = intake.finish()
    assert stored + b"".join(last) == data
    assert (facts.encoding, facts.size_bytes) == ("utf-8", len(data))
    records = list(read_records(io.BytesIO(data), encoding="utf-8", delimiter=","))  # type: ignore[arg-type]
    assert len(records) == len(rows) + 2


def test_a_large_file_comes_in_chunks_and_its_rows_are_counted() -> None:
    line = b"person@x.test,Name\n"
    intake, chunks = Intake(), []
    for piece in [b"email,name\n", *[line * 5000] * 60]:
        chunks += intake.feed(piece)
    last, facts = intake.finish()
    assert all(len(chunk) == CHUNK_SIZE for chunk in [*chunks, *last][:-1])
    assert facts.rows_total == 300_000


def test_a_piece_that_ends_inside_a_character_is_still_utf8() -> None:
    intake = Intake()
    for byte in "email,name\na@x.test,日本\n".encode():
        assert list(intake.feed(bytes([byte]))) == []
    assert intake.finish()[1].encoding == "utf-8"


def test_utf16_that_breaks_off_is_refused() -> None:
    intake = Intake()
    list(intake.feed("email\na@x.test\n".encode("utf-16")[:-1]))
    with pytest.raises(NotCsv) as refusal:
        intake.finish()
    assert refusal.value.code == "bad_encoding"
