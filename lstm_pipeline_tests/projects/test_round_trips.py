"""Random frames, written as tools write them and read back: the same values, or a message with a column or a line.

Never a traceback, and never a silent loss: a column of numbers is a column of the same numbers afterwards.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.dataset import build_dataset
from lstm_pipeline.projects.inputs import training_input
from lstm_pipeline_tests.mill import mill_step
from lstm_pipeline_tests.projects.real_files import AS_OF, small_project

Columns = dict[str, list[Any]]

NAMES = ("load", "T out", "CO(GT)", "π", "ünits", "2", "a.b", "x-y", "UPPER")
INTEGERS = st.integers(-(10**15), 10**15)
FLOATS = st.floats(-1e12, 1e12, allow_nan=False).map(lambda value: round(value, 6))
WORDS = st.sampled_from(["ok", "high", "a, b", "x;y", 'say "hi"', "tab\there", "über", "no. 7", " spaced"])


@st.composite
def frames(draw: st.DrawFn) -> Columns:
    """A date and up to five columns; numbers and words may be missing."""
    count = draw(st.integers(2, 12))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    columns: Columns = {"date": [dt.date(2024, 1, 1) + dt.timedelta(days=day) for day in range(count)]}
    for name in names:
        kind = draw(st.sampled_from([INTEGERS, FLOATS, FLOATS, WORDS, st.booleans()]))
        cells = st.one_of(st.none(), kind) if draw(st.booleans()) else kind
        columns[name] = draw(st.lists(cells, min_size=count, max_size=count))
    return columns


DIALECTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([",", ";", "\t", "|", ":"]),
        "decimal": st.sampled_from([".", ".", ","]),
        "thousands": st.sampled_from(["", "", ",", ".", " ", "'"]),
        "missing": st.sampled_from(["", "", "NA", "?", "-", "-999"]),
        "line_end": st.sampled_from(["\n", "\r\n", "\r", "mixed"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "header": st.sampled_from(["", " ", "\t"]),
        "sep_line": st.booleans(),
        "trailing": st.integers(0, 2),
        "index": st.booleans(),
        "blank": st.booleans(),
        "plus": st.booleans(),
    }
)


def written_number(value: int | float, dialect: dict[str, Any]) -> str:
    mark, group = dialect["decimal"], dialect["thousands"]
    text = f"{value:,}" if group and abs(value) >= 1000 else repr(value)
    text = text.translate({ord(","): group or None, ord("."): mark})
    return "+" + text if dialect["plus"] and value > 0 else text


def written(columns: Columns, dialect: dict[str, Any]) -> bytes:
    """The bytes of a CSV file."""

    def cell(value: Any) -> str:
        if value is None:
            return str(dialect["missing"])
        if isinstance(value, bool):
            return str(value)
        return written_number(value, dialect) if isinstance(value, int | float) else str(value)

    out = io.StringIO()
    if dialect["sep_line"]:
        out.write(f"sep={dialect['delimiter']}\n")
    writer = csv.writer(out, delimiter=dialect["delimiter"], quoting=dialect["quoting"], lineterminator="\n")
    tail, space = [""] * dialect["trailing"], dialect["header"] if dialect["header"] != dialect["delimiter"] else ""
    names = [f"{space}{name}{space}" for name in columns]
    writer.writerow([""] * dialect["index"] + names + tail)
    for number, row in enumerate(zip(*columns.values(), strict=True)):
        writer.writerow([str(number)] * dialect["index"] + [cell(value) for value in row] + tail)
    if dialect["blank"]:
        out.write(dialect["delimiter"] * (len(columns) + dialect["index"] + dialect["trailing"] - 1) + "\n")
    text = out.getvalue()
    if dialect["line_end"] == "mixed":
        lines = text.split("\n")
        text = "\r\n".join(lines[:2]) + "\r\n" + "\n".join(lines[2:])
    else:
        text = text.replace("\n", dialect["line_end"])
    return text.encode(dialect["encoding"], "replace")


def options_of(dialect: dict[str, Any]) -> dict[str, Any]:
    """The reading options by which a file of this dialect says what it means."""
    options: dict[str, Any] = {"delimiter": dialect["delimiter"]}
    if dialect["decimal"] != ".":
        options["decimal"] = dialect["decimal"]
    if dialect["thousands"]:
        options["thousands"] = dialect["thousands"]
    if dialect["missing"] not in ("", "NA"):
        options["missing_values"] = [int(dialect["missing"]) if dialect["missing"] == "-999" else dialect["missing"]]
    if dialect["encoding"] == "latin-1":
        options["encoding"] = "latin-1"
    return options


def numbers(columns: Columns) -> dict[str, list[float | None]]:
    """The columns with at least one number."""
    return {
        name: [None if value is None else float(value) for value in values]
        for name, values in columns.items()
        if any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    }


def is_lost(columns: Columns, table: pa.Table) -> str:
    """What a table lacks of the columns; empty if nothing."""
    if table.num_rows != len(columns["date"]):
        return f"{table.num_rows} rows instead of {len(columns['date'])}"
    if table["date"].cast(pa.date32()).to_pylist() != columns["date"]:
        return "other dates"
    for name, values in numbers(columns).items():
        if name not in table.column_names:
            return f"no column {name!r}"
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            return f"{name!r} is {kind}"
        found = [None if value is None else float(value) for value in table[name].to_pylist()]
        if found != values:
            return f"{name!r} is {found} instead of {values}"
    return ""


def check(folder: Path, columns: Columns, read: Callable[[], pa.Table], what: object, *, told: bool) -> None:
    try:
        table = read()
    except DataError as error:
        text = str(error)
        named = any(name in text for name in columns) or re.search(
            r"\b(line|row|column) \d|column name|is not UTF-16", text
        )
        assert named, f"{text}\n{what}"
        assert not told, f"{text}\n{what}"
        assert "Traceback" not in text
        return
    if "date" not in table.column_names:  # the fields of a line were taken for one: the next step says so
        assert not told, what
        with pytest.raises(DataError, match="date"):
            build_dataset(table, mill_step(drop_cols=[], features_to_predict=None, feature_groups=None), "UTC")
        return
    lost = is_lost(columns, table)
    assert not lost, f"{lost}\n{what}"


def round_trip_csv(folder: Path, columns: Columns, dialect: dict[str, Any], forgotten: set[str]) -> None:
    if dialect["thousands"] == dialect["decimal"]:
        dialect = {**dialect, "thousands": ""}
    if dialect["missing"] == "-999":  # nobody can know that this number means nothing
        forgotten = forgotten - {"missing_values"}
    if dialect["thousands"] == "." and "decimal" in forgotten:  # refused when the spec is read
        forgotten = {*forgotten, "thousands"}
    if dialect["encoding"] == "latin-1":  # π cannot be written
        columns = {name: values for name, values in columns.items() if name != "π"}
    options = {key: value for key, value in options_of(dialect).items() if key not in forgotten}
    data = written(columns, dialect)
    told = not forgotten & options_of(dialect).keys()
    check(
        folder,
        columns,
        lambda: training_input(small_project(folder, data, **options), AS_OF),
        (data, options, dialect),
        told=told,
    )


FORGOTTEN = st.sets(st.sampled_from(["delimiter", "decimal", "thousands", "missing_values", "encoding"]), max_size=2)
QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
LONG = settings(QUICK, max_examples=4_000)


@QUICK
@given(frames(), DIALECTS, st.one_of(st.just(set()), FORGOTTEN))
@pytest.mark.slow
def test_csv(tmp_path: Path, columns: Columns, dialect: dict[str, Any], forgotten: set[str]) -> None:
    round_trip_csv(tmp_path, columns, dialect, forgotten)


@pytest.mark.slow
@LONG
@given(frames(), DIALECTS, st.one_of(st.just(set()), FORGOTTEN))
def test_csv_at_length(tmp_path: Path, columns: Columns, dialect: dict[str, Any], forgotten: set[str]) -> None:
    round_trip_csv(tmp_path, columns, dialect, forgotten)


# --- Parquet ----------------------------------------------------------------------------------------------------------

_NUMERIC = st.sampled_from(
    [
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64(), pa.decimal128(9, 3), pa.decimal256(50, 3)),
        *(pa.dictionary(pa.int32(), pa.float64()), pa.dictionary(pa.int8(), pa.int64()), pa.null(), pa.string()),
    ]
)
_STAMPS = st.sampled_from(
    [pa.date32(), pa.date64(), pa.string(), *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))]
)


def arrow(values: list[int | None], kind: pa.DataType) -> pa.Array:
    """Small whole numbers as an Arrow type."""
    if pa.types.is_null(kind):
        return pa.nulls(len(values))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    if pa.types.is_float16(kind):
        return pa.array([None if value is None else np.float16(value) for value in values], kind)
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else Decimal(value) for value in values], kind)
    if pa.types.is_string(kind):
        return pa.array([None if value is None else str(value) for value in values], kind)
    return pa.array(values, kind)


def stamps(days: list[dt.date], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([day.isoformat() for day in days])
    column = pa.array(days, pa.date32())
    return column.cast(pa.timestamp("s")).cast(kind) if pa.types.is_timestamp(kind) else column.cast(kind)


@st.composite
def parquet_files(draw: st.DrawFn) -> tuple[Columns, list[pa.Table]]:
    """One to three files with the same columns, each in types of its own."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    columns: Columns = {name: [] for name in ("date", *names)}
    tables, day = [], dt.date(2024, 1, 1)
    for _ in range(draw(st.integers(1, 3))):
        count = draw(st.integers(2, 5))
        days = [day + dt.timedelta(days=number) for number in range(count)]
        day = days[-1] + dt.timedelta(days=1)
        arrays = {"date": stamps(days, draw(_STAMPS))}
        columns["date"] += days
        for name in names:
            kind = draw(_NUMERIC)
            cells = st.one_of(st.none(), st.integers(0, 100))
            values = draw(st.lists(cells, min_size=count, max_size=count))
            arrays[name] = arrow(values, kind)
            columns[name] += [None] * count if pa.types.is_null(kind) else values
        tables.append(pa.table(arrays))
    return columns, tables


def round_trip_parquet(folder: Path, columns: Columns, tables: list[pa.Table]) -> None:
    project = small_project(folder, tables[0])
    for old in folder.glob("*.parquet"):
        old.unlink()
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")
    path = folder / "small.yaml"
    path.write_text(path.read_text().replace("data.parquet", "'*.parquet'"))
    from lstm_pipeline.projects.project import load_project

    project = load_project(path, str(folder / "storage"))
    shown = [table.schema.to_string() for table in tables]
    check(folder, columns, lambda: training_input(project, AS_OF), (columns, shown), told=False)


@settings(QUICK, max_examples=30)
@given(parquet_files())
def test_parquet(tmp_path: Path, files: tuple[Columns, list[pa.Table]]) -> None:
    round_trip_parquet(tmp_path, *files)


@pytest.mark.slow
@LONG
@given(parquet_files())
def test_parquet_at_length(tmp_path: Path, files: tuple[Columns, list[pa.Table]]) -> None:
    round_trip_parquet(tmp_path, *files)
