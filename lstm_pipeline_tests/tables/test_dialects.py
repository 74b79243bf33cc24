"""CSV and Parquet as tools write them: what is read, what a reading option changes, and what is refused in words."""

from __future__ import annotations

import datetime as dt
import gzip
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec.reading import ReadingOptions
from lstm_pipeline.tables.reading import Reading, Source, open_source, read_table
from lstm_pipeline_tests.tables.files import write


def source(
    folder: Path, text: str | bytes, name: str = "data.csv", stamps: str | None = None, **options: Any
) -> Source:
    uri = write(folder, name, text)
    return open_source(uri, reading=Reading(ReadingOptions.model_validate(options), stamps))


def values(folder: Path, text: str | bytes, **options: Any) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = source(folder, text, **options).read().to_pydict()
    assert source(folder, text, name="data.csv.gz", **options).read().to_pydict() == table
    return table


# --- files as tools write them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a , b\n1,2\n", {"a": [1], "b": [2]}),
        ('"a", "b c"\n1, "2.5"\n3, "4.5"\n', {"a": [1, 3], "b c": [2.5, 4.5]}),
        ("\ta;b \n1;2\n", {"a": [1], "b": [2]}),
        ("sep=;\na;b\n1;2\n", {"a": [1], "b": [2]}),
        ('"sep=|"\na|b\n1|2\n', {"a": [1], "b": [2]}),
        ("\ufeffsep=\t\na\tb\n1\t2\n", {"a": [1], "b": [2]}),
        ("SEP=,\r\na,b\r\n1,2\r\n", {"a": [1], "b": [2]}),
        ("a;b;;\n1;2;;\n3;4;;\n", {"a": [1, 3], "b": [2, 4]}),
        ("a,b,\n1,2\n3,4\n", None),
        ("a\tb\t\n1\t2\t\n", {"a": [1], "b": [2]}),
        ("a,b\r\n1,2\n3,4\r\n", {"a": [1, 3], "b": [2, 4]}),
        ("a,b\n1,2\r3,4\n", {"a": [1, 3], "b": [2, 4]}),
        ('a,b\r\n1,"x\ny"\r\n', {"a": [1], "b": ["x\ny"]}),
        ("\n\na,b\n1,2\n", {"a": [1], "b": [2]}),
        (",a\n0,5\n1,6\n2,7\n", {"a": [5, 6, 7]}),
        ("Unnamed: 0,a\n3,5\n4,6\n", {"a": [5, 6]}),
        ("Unnamed: 0,Unnamed: 0.1,a\n0,0,5\n1,1,6\n", {"a": [5, 6]}),
        ("Unnamed: 0,a\n3,5\n7,6\n", {"Unnamed: 0": [3, 7], "a": [5, 6]}),
        ("a,b\n+1,+2.5\n-3,+.5\n", {"a": [1, -3], "b": [2.5, 0.5]}),
        ("a,b\n NA,1\n2, \n", {"a": [None, 2], "b": [1, None]}),
        ("a,b\n+007,1\n+008,2\n", {"a": ["+007", "+008"], "b": [1, 2]}),
        ("a,b\n1,2\n".encode("utf-16"), {"a": [1], "b": [2]}),
        ("ä\tb\r\n1\t2\r\n".encode("utf-16"), {"ä": [1], "b": [2]}),
    ],
)  # fmt: skip
def test_files_as_tools_write_them(tmp_path: Path, text: str | bytes, expected: dict[str, list[Any]] | None) -> None:
    if expected is None:
        with pytest.raises(DataError, match=r"line 2 has 2 values, but the first line names 3 columns"):
            values(tmp_path, text)
    else:
        assert values(tmp_path, text) == expected


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    assert source(tmp_path, ",a\n0,5\n1,6\n").notes == (
        f"{tmp_path}/data.csv: column 1 counts the rows, as a pandas index does; it is left out",
    )
    assert source(tmp_path, "t;a;\n2024-01-01;1;\n;;\n;;\n", stamps="t").notes == (
        f"{tmp_path}/data.csv: 2 rows without any value left out",
    )


def test_the_line_of_a_row(tmp_path: Path) -> None:
    text = 'sep=,\n"a\nb",c\n1,2\n\n"x\ny",3\n,\n4,5\n'
    found = source(tmp_path, text, stamps="c")
    assert found.read().num_rows == 3
    assert [found.line(row) for row in range(3)] == ["line 4 of data.csv", "line 7 of data.csv", "line 9 of data.csv"]


def test_the_line_of_a_row_of_several_files(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "a\n1\n2\n")
    write(tmp_path, "2.csv", "a\n3\n4\n")
    found = open_source(str(tmp_path))
    assert [found.line(row) for row in range(4)] == [
        "line 2 of 1.csv", "line 3 of 1.csv", "line 2 of 2.csv", "line 3 of 2.csv",
    ]  # fmt: skip


# --- reading options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("a;b\n1,5;2\n-,5;3\n", {"decimal": ","}, {"a": [1.5, -0.5], "b": [2, 3]}),
        ("a;b\n1.234,5;2\n-1;3.000\n", {"decimal": ",", "thousands": "."}, {"a": [1234.5, -1.0], "b": [2, 3000]}),
        ('a;b\n"1,234,567.5";x\n12;y\n', {"thousands": ","}, {"a": [1234567.5, 12.0], "b": ["x", "y"]}),
        ("a;b\n1 234;1\u00a0234,5\n1\u202f234;2\n", {"decimal": ",", "thousands": " "},
         {"a": [1234, 1234], "b": [1234.5, 2.0]}),
        ("a\n1'234.5\n1’000\n", {"thousands": "'"}, {"a": [1234.5, 1000.0]}),
        ("a;b\n1.5;2\n", {"decimal": ","}, {"a": ["1.5"], "b": [2]}),
        ("a;b\n12,34;2\n", {"thousands": "'"}, None),
        ('a\n"12,34,567"\n', {"thousands": ","}, {"a": [1234567]}),
        ("a\n1e3\n2,5E-1\n", {"decimal": ","}, {"a": [1000.0, 0.25]}),
        ("a;b\nTrue;1,5\nfalse;2\n", {"decimal": ","}, {"a": [True, False], "b": [1.5, 2.0]}),
        ("a,b\n?,1\n2,-200\n", {"missing_values": ["?", -200]}, {"a": [None, 2], "b": [1, None]}),
        ("a,b\n ? ,1.5\n2,-200.0\n", {"missing_values": ["?", -200]}, {"a": [None, 2], "b": [1.5, None]}),
        ("a,b\nM,1\n-,x\n", {"missing_values": ["M", "-"]}, {"a": [None, None], "b": ["1", "x"]}),
        ("a,b\n-9999,-9999.9\n1,2\n", {"missing_values": [-9999, -9999.9]}, {"a": [None, 1], "b": [None, 2.0]}),
        ("a:b\n1:2\n", {"delimiter": ":"}, {"a": [1], "b": [2]}),
        ("a,b;c\n1;2\n", {"delimiter": ";"}, {"a,b": [1], "c": [2]}),
        ("a\\b\n1\\2\n", {"delimiter": "\\"}, {"a": [1], "b": [2]}),
        ("a\tb,c\n1\t2\n", {"delimiter": "\\t"}, {"a": [1], "b,c": [2]}),
        ("ä,b\nö,1\n".encode("latin-1"), {"encoding": "latin-1"}, {"ä": ["ö"], "b": [1]}),
        ("€,b\n“x”,1\n".encode("cp1252"), {"encoding": "cp1252"}, {"€": ["“x”"], "b": [1]}),
        ("値,b\n名,1\n".encode("shift_jis"), {"encoding": "shift_jis"}, {"値": ["名"], "b": [1]}),
        ("a,b\n1,2\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, {"a": [1], "b": [2]}),
    ],
)  # fmt: skip
def test_reading_options(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], expected: dict[str, list[Any]] | None
) -> None:
    if expected is None:
        expected = {"a": ["12,34"], "b": [2]}  # a comma that nobody has explained
    assert values(tmp_path, text, **options) == expected


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("ä,b\nö,1\n".encode("latin-1"), {"encoding": "utf-16"}, "the text is not UTF-16"),
        ("ä,b\nö,1\n".encode("latin-1"), {}, "set the input's encoding, e.g. latin-1 or cp1252"),
        ("ä,b\n1,1\n".encode("utf-16"), {"encoding": "ascii"}, "line 1: the text is not ASCII"),
        ("a,b\r\n1,1\nö,1\n".encode("latin-1"), {}, "line 3: the text is not UTF-8"),  # mixed line ends
        ("a;b\n1;2;3\n", {"decimal": ","}, "line 2 has 3 values, but the first line names 2 columns"),
        ("sep=;\na;b\n1;2\n3\n", {}, "line 4 has 1 value, but the first line names 2 columns"),
        (",b\nx,2\ny,3\n", {}, "column 1 has no name; if it is a pandas index, write the file with index=False"),
        ("a , a\n1,2\n", {}, "column name 'a' appears twice (first as 'a'; case is ignored); rename one"),
        (",\n1,2\n", {}, "expected a first line with the column names, found one without any name"),
        ("Plant 3\n\na,b\n1,2\n", {}, "the first line names 1 column; remove lines above the one with"),
        ("a,b\n1,2\n# end\n", {}, "the first line names 2 columns; correct this line or remove it"),
    ],
)  # fmt: skip
def test_refused_in_words(tmp_path: Path, text: str | bytes, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        source(tmp_path, text, **options)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("texts", "pattern", "expected"),
    [
        (["02/01/2024", "03/01/2024"], "dd/MM/yyyy", [dt.date(2024, 1, 2), dt.date(2024, 1, 3)]),
        (["2/1/24 3:04 PM"], "M/d/yy h:mm a", [dt.datetime(2024, 2, 1, 15, 4)]),
        (["2024-01", "2024-02"], "yyyy-MM", [dt.date(2024, 1, 1), dt.date(2024, 2, 1)]),
        (["01-Jan-70", "02-Jan-68"], "dd-MMM-yy", [dt.date(1970, 1, 1), dt.date(2068, 1, 2)]),
        (["20240131T0530"], "yyyyMMdd'T'HHmm", [dt.datetime(2024, 1, 31, 5, 30)]),
    ],
)
def test_timestamp_format(tmp_path: Path, texts: list[str], pattern: str, expected: list[Any]) -> None:
    found = source(tmp_path, "t,v\n" + "".join(f"{text},1\n" for text in texts), stamps="t", timestamp_format=pattern)
    assert found.read().column("t").to_pylist() == expected
    pq.write_table(pa.table({"t": texts}), tmp_path / "t.parquet")
    reading = Reading(ReadingOptions(timestamp_format=pattern), "t")
    assert open_source(str(tmp_path / "t.parquet"), reading=reading).read().column("t").to_pylist() == expected


@pytest.mark.parametrize(
    ("texts", "pattern", "said"),
    [
        (
            ["02/01/24"],
            "dd/MM/yyyy",
            "1 of 1 value is not a timestamp (row 1: '02/01/24'); expected values like dd/MM/yyyy",
        ),
        (["2024-01-31", "soon"], "yyyy-MM-dd", "1 of 2 values is not a timestamp (row 2: 'soon')"),
        (["Jan 2024", "Feb 2024"], None, "set the input's timestamp_format: MMM yyyy"),
        (["12/31/2013 12:00:00 AM"], None, "set the input's timestamp_format: MM/dd/yyyy hh:mm:ss a"),
        (["31-Dec-13"], None, "set the input's timestamp_format: dd-MMM-yy"),
        (["01/02/2024", "03/04/2024"], None, "or set the input's timestamp_format, e.g. dd/MM/yyyy"),
    ],
)
def test_a_timestamp_that_is_written_otherwise(
    tmp_path: Path, texts: list[str], pattern: str | None, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        source(tmp_path, "t,v\n" + "".join(f'"{text}",1\n' for text in texts), stamps="t", timestamp_format=pattern)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["31/12/68", "01/01/69"], [dt.date(2068, 12, 31), dt.date(1969, 1, 1)]),
        (["1.2.99 5:30", "2.2.99 5:30", "13.2.99 5:30"], dt.datetime(1999, 2, 1, 5, 30)),
        (["12/30/23", "12/31/23", "01/01/24"], dt.date(2023, 12, 30)),
        (["23-01-05", "23-01-06", "23-02-01"], dt.date(2023, 1, 5)),
        (["99/12/31"], dt.date(1999, 12, 31)),
    ],
)
def test_two_digit_years(tmp_path: Path, texts: list[str], expected: Any) -> None:
    table = source(tmp_path, "t,v\n" + "".join(f"{text},1\n" for text in texts), stamps="t").read()
    found = table.column("t").to_pylist()
    assert found == expected if isinstance(expected, list) else found[0] == expected


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_told(tmp_path: Path, order: str) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes("a,b\n1,2\n".encode(order))
    with pytest.raises(DataError, match=rf"first line contains zero bytes, .* set the input's encoding, e.g. {order}$"):
        open_source(str(path))
    reading = Reading(ReadingOptions(encoding=order))
    assert open_source(str(path), reading=reading).read().to_pydict() == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1\x00\x00", "found a Parquet file; name it .parquet"),
        (b"PK\x03\x04\x00", "found a zip archive or an Excel workbook; unpack it, or save the sheet as CSV"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "found a file compressed with gzip; name it .csv.gz"),
        (b"<!DOCTYPE html>\n<html>", "found a web page, perhaps one that asks for a login"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 1\n", "found a pointer of Git LFS; fetch the file itself"),
    ],
)
def test_files_of_other_kinds_are_told(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "d.csv").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"d.csv: expected the text of a CSV file, {said}")):
        open_source(str(tmp_path / "d.csv"))


@pytest.mark.parametrize(
    ("line", "values"),
    [("2024-01-01,0.5", True), ("01.02.2024 13:00,1,2", True), ("1,2.5,", True), ("date,0.5", False),
     ("2019,2020", False), ("2024-01-01,a", False)],
)  # fmt: skip
def test_a_first_line_of_values_is_no_header(tmp_path: Path, line: str, values: bool) -> None:
    """Its row would be lost in silence."""
    (tmp_path / "d.csv").write_text(f"{line}\n{','.join('7' * (line.count(',') + 1))}\n")
    if values:
        with pytest.raises(DataError, match=r"column names, found values \(.*\); add such a line"):
            open_source(str(tmp_path / "d.csv"))
    else:
        assert open_source(str(tmp_path / "d.csv")).schema.names == line.split(",")


def test_an_open_quote_is_told_where_it_begins(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('a,b\n1,"x\ny"\n2,"z\n3,w\n4,v\n')
    with pytest.raises(DataError, match=r"line 4 cannot be read: unexpected end of data"):
        open_source(str(tmp_path / "d.csv"))


def test_a_word_in_one_of_several_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n2\n")
    (tmp_path / "2.csv").write_text("a\n1\n?\n3\n")
    said = "int64 in 1.csv, string in 2.csv; in 2.csv, 1 of 3 values is not a number (first: '?'): write missing_values"
    with pytest.raises(DataError, match=re.escape(said)):
        open_source(str(tmp_path))
    found = open_source(str(tmp_path), reading=Reading(ReadingOptions(missing_values=["?"])))
    assert found.read().to_pydict() == {"a": [1, 2, 1, None, 3]}


# --- Parquet ----------------------------------------------------------------------------------------------------------


def pair(folder: Path, one: pa.Array, other: pa.Array) -> pa.ChunkedArray:
    pq.write_table(pa.table({"x": one}), folder / "1.parquet")
    pq.write_table(pa.table({"x": other}), folder / "2.parquet")
    return read_table(str(folder)).column("x")


HALF = np.array([1.5, 2.0], np.float16)


@pytest.mark.parametrize(
    ("one", "other", "kind", "expected"),
    [
        (pa.array([1], pa.int32()), pa.array([2**40]), pa.int64(), [1, 2**40]),
        (pa.array([1], pa.uint8()), pa.array([0.5], pa.float32()), pa.float64(), [1.0, 0.5]),
        (pa.array(HALF), pa.array(HALF), pa.float32(), [1.5, 2.0, 1.5, 2.0]),
        (pa.array(HALF), pa.array([1]), pa.float64(), [1.5, 2.0, 1.0]),
        (pa.array([1.5, 1.5]).dictionary_encode(), pa.array([2.5]), pa.float64(), [1.5, 1.5, 2.5]),
        (pa.array([7, 7]).dictionary_encode(), pa.array([7]).dictionary_encode(), pa.int64(), [7, 7, 7]),
        (pa.array([Decimal("1.50")]), pa.array([Decimal("22.125")]), pa.decimal128(5, 3),
         [Decimal("1.500"), Decimal("22.125")]),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 2)), pa.nulls(1), pa.decimal128(38, 2), [Decimal("1.50"), None]),
        (pa.array([dt.date(2024, 1, 1)]), pa.array([dt.datetime(2024, 1, 1, 5)]), pa.timestamp("us"),
         [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, 5)]),
        (pa.array([1], pa.timestamp("ms", "UTC")), pa.array([1], pa.timestamp("us", "Europe/Berlin")),
         pa.timestamp("us", "UTC"), [dt.datetime(1970, 1, 1, 0, 0, 0, 1000, dt.UTC),
                                     dt.datetime(1970, 1, 1, 0, 0, 0, 1, dt.UTC)]),
        (pa.array(["a"]), pa.array(["b"]).dictionary_encode(), pa.large_string(), ["a", "b"]),
        (pa.array([dt.date(2024, 1, 1)], pa.date64()), pa.array([dt.date(2024, 1, 2)]), pa.date32(),
         [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]),
    ],
)  # fmt: skip
def test_types_that_differ_without_loss(
    tmp_path: Path, one: pa.Array, other: pa.Array, kind: pa.DataType, expected: list[Any]
) -> None:
    column = pair(tmp_path, one, other)
    assert (column.type, column.to_pylist()) == (kind, expected)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (pa.array([2**53 + 1]), pa.array([0.5]), "9007199254740993"),
        (pa.array([1], pa.timestamp("ms")), pa.array([1], pa.timestamp("ns")), "lose data"),
        (pa.array(["1"]), pa.array([1]), "column 'x' is string in 1.parquet but int64 in 2.parquet"),
        (pa.array([1], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "UTC")), "write it with the same type"),
    ],
)
def test_types_that_differ_with_loss(tmp_path: Path, one: pa.Array, other: pa.Array, said: str) -> None:
    with pytest.raises(DataError) as caught:
        pair(tmp_path, one, other)
    assert said in str(caught.value)


def test_missing_values_of_parquet(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1, -200, 3]),
        "f": [-200.0, 2.5, -200.5],
        "t": ["?", "x", " ? "],
        "b": [True, False, None],
    }
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    found = open_source(str(tmp_path / "p.parquet"), reading=Reading(ReadingOptions(missing_values=["?", -200])))
    import pyarrow.compute as pc

    assert found.read(where=pc.field("n") == -200).to_pydict() == {  # the filter is left to the step that has it
        "n": [1, None, 3], "f": [None, 2.5, -200.5], "t": [None, "x", None], "b": [True, False, None],
    }  # fmt: skip


@pytest.mark.parametrize("options", [{"decimal": ","}, {"delimiter": ";"}, {"encoding": "latin-1"}, {"thousands": ","}])
def test_options_of_csv_mean_nothing_for_parquet(tmp_path: Path, options: dict[str, str]) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=rf"p\.parquet: {next(iter(options))} means nothing for Parquet"):
        open_source(str(tmp_path / "p.parquet"), reading=Reading(ReadingOptions.model_validate(options)))


def test_the_index_of_a_pandas_frame_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "__index_level_0__": [5, 9]}), tmp_path / "p.parquet")
    found = open_source(str(tmp_path / "p.parquet"))
    assert found.read().to_pydict() == {"a": [1, 2]}
    assert found.notes == (
        f"{tmp_path}/p.parquet: column '__index_level_0__' is the index of a pandas frame; it is left out",
    )
    kept = open_source(str(tmp_path / "p.parquet"), timestamp_col="__index_level_0__")
    assert kept.read().column_names == ["a", "__index_level_0__"]
