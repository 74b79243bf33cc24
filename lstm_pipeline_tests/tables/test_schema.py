"""The output schema: which values convert, which do not, and the one message that lists every problem."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError, Problem
from lstm_pipeline.tables.schema import ARROW_TYPES, conform, describe, fields_problems


@dataclass(frozen=True)
class Column:
    name: str
    column_type: str
    optional: bool = True
    primary: bool = False


AT = dt.datetime
US, UTC, NS = pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns")


def converted(values: pa.Array, column_type: str, **options: bool) -> list[Any]:
    table = conform(pa.table({"c": values}), [Column("c", column_type, **options)], what="predictions")
    assert table.schema.types == [ARROW_TYPES[column_type]]
    column: list[Any] = table.column("c").to_pylist()
    return column


def complaints(table: pa.Table, *fields: Column) -> list[str]:
    with pytest.raises(DataError) as caught:
        conform(table, fields, what="predictions")
    head, *lines = str(caught.value).split("\n")
    number = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert head == f"predictions: the data does not fit the output schema, {number}"
    return [line.removeprefix("  - ") for line in lines]


@pytest.mark.parametrize(
    ("values", "column_type", "expected"),
    [
        (pa.array(["a", None]), "VARCHAR", ["a", None]),
        (pa.array(["a", "b"], pa.large_string()), "VARCHAR", ["a", "b"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "VARCHAR", ["a", "b", "a"]),
        (pa.array([1, None, 2**53]), "DOUBLE", [1.0, None, 2.0**53]),
        (pa.array([0.5], pa.float32()), "DOUBLE", [0.5]),
        (pa.array([Decimal("1.25")]), "DOUBLE", [1.25]),
        (pa.array([" -1.5e3 ", "+7", None]), "DOUBLE", [-1500.0, 7.0, None]),
        (pa.array([3.0, -3.0, None]), "INTEGER", [3, -3, None]),
        (pa.array([2.0**31 - 1, -(2.0**31)]), "INTEGER", [2**31 - 1, -(2**31)]),
        (pa.array([2**31 - 1, -(2**31)]), "INTEGER", [2**31 - 1, -(2**31)]),
        (pa.array([7, 255], pa.uint8()), "INTEGER", [7, 255]),
        (pa.array([Decimal("5.00")]), "INTEGER", [5]),
        (pa.array([Decimal(3)], pa.decimal128(38, 30)), "BIGINT", [3]),
        (pa.array([Decimal(-3)], pa.decimal128(38, 36)), "INTEGER", [-3]),
        (pa.array([Decimal(3)], pa.decimal256(76, 70)), "BIGINT", [3]),
        (pa.array([Decimal(2**63 - 1), Decimal(-(2**63))], pa.decimal128(38, 0)), "BIGINT", [2**63 - 1, -(2**63)]),
        (pa.array([Decimal(9900)], pa.decimal128(3, -2)), "INTEGER", [9900]),
        (pa.array(["5", " -6.0 "]), "INTEGER", [5, -6]),
        (pa.array(["9223372036854775807"]), "BIGINT", [2**63 - 1]),
        (pa.array([-(2.0**63)]), "BIGINT", [-(2**63)]),
        (pa.array([2**63 - 1], pa.uint64()), "BIGINT", [2**63 - 1]),
        (pa.array([True, None]), "BOOLEAN", [True, None]),
        (pa.array([dt.date(2024, 1, 31)]), "DATE", [dt.date(2024, 1, 31)]),
        (pa.array([AT(2024, 1, 31), None], NS), "DATE", [dt.date(2024, 1, 31), None]),
        (pa.array([AT(1969, 12, 31)], US), "DATE", [dt.date(1969, 12, 31)]),
        (pa.array([dt.date(2024, 1, 31)]), "TIMESTAMP", [AT(2024, 1, 31)]),
        (pa.array([AT(2024, 1, 31, 5)], NS), "TIMESTAMP", [AT(2024, 1, 31, 5)]),
        (pa.array([AT(2024, 1, 31, 5)], pa.timestamp("s")), "TIMESTAMP", [AT(2024, 1, 31, 5)]),
        (pa.array([-1500], pa.timestamp("ms")), "TIMESTAMP", [AT(1969, 12, 31, 23, 59, 58, 500_000)]),
        (pa.array([AT(2024, 1, 31, 5)], UTC), "TIMESTAMP", [AT(2024, 1, 31, 5)]),
        (pa.array([AT(2024, 1, 31, 5)], NS), "TIMESTAMPTZ", [AT(2024, 1, 31, 5, tzinfo=dt.UTC)]),
        (
            pa.array([AT(2024, 1, 31, 5)], pa.timestamp("ms", "Europe/Berlin")),  # Arrow stores UTC in any zone
            "TIMESTAMPTZ",
            [AT(2024, 1, 31, 5, tzinfo=dt.UTC)],
        ),
        (pa.nulls(2), "INTEGER", [None, None]),
        (pa.nulls(2), "TIMESTAMPTZ", [None, None]),
        (pa.nulls(1), "VARCHAR", [None]),
        (pa.array([], pa.string()), "DOUBLE", []),
    ],
)
def test_lossless_conversion(values: pa.Array, column_type: str, expected: list[Any]) -> None:
    assert converted(values, column_type) == expected


def test_not_a_number_stays_in_double() -> None:
    assert math.isnan(converted(pa.array([math.nan]), "DOUBLE")[0])


@pytest.mark.parametrize(
    ("values", "column_type", "message"),
    [
        (
            pa.array([1.0, 2.5, math.nan, math.inf, 2.0**31, None]),
            "INTEGER",
            "column 'c': 4 of 6 values do not fit INTEGER (row 2: 2.5, row 3: nan, row 4: inf, ...); "
            "the data has DOUBLE",
        ),
        (pa.array([2.0**63, 1.0]), "BIGINT", "1 of 2 values does not fit BIGINT (row 1: 9.223372036854776e+18)"),
        (pa.array([2**31]), "INTEGER", "1 of 1 value does not fit INTEGER (row 1: 2147483648); the data has BIGINT"),
        (pa.array([-(2**31) - 1]), "INTEGER", "(row 1: -2147483649)"),
        (pa.array([Decimal(2**63)], pa.decimal128(38, 0)), "BIGINT", "(row 1: 9223372036854775808)"),
        (pa.array([Decimal(-(2**63) - 1)], pa.decimal128(38, 0)), "BIGINT", "(row 1: -9223372036854775809)"),
        (pa.array([2.0**63]), "BIGINT", "(row 1: 9.223372036854776e+18)"),
        (pa.array([2**64 - 1], pa.uint64()), "BIGINT", "(row 1: 18446744073709551615)"),
        (pa.array([2**63], pa.uint64()), "BIGINT", "(row 1: 9223372036854775808)"),
        (pa.array([2**53 + 1, 1]), "DOUBLE", "1 of 2 values does not fit DOUBLE (row 1: 9007199254740993)"),
        (pa.array([Decimal("1.50")]), "INTEGER", "(row 1: 1.50); the data has DECIMAL(3, 2)"),
        (pa.array(["1", "x", "1e999", "nan", ""]), "DOUBLE", "(row 2: 'x', row 3: '1e999', row 4: 'nan', ...)"),
        (pa.array(["1.5", "9223372036854775808"]), "BIGINT", "(row 1: '1.5', row 2: '9223372036854775808')"),
        (pa.array(["1e3"]), "INTEGER", "(row 1: '1e3')"),
        (pa.array([AT(2024, 1, 31), AT(2024, 1, 31, 5)], US), "DATE", "(row 2: 2024-01-31 05:00:00.000000)"),
        (
            pa.array([1001, 1000], NS),
            "TIMESTAMP",
            "1 of 2 values does not fit TIMESTAMP (row 1: 1970-01-01 00:00:00.0000",
        ),
        (pa.array([2**60], pa.timestamp("s")), "TIMESTAMPTZ", "1 of 1 value does not fit TIMESTAMPTZ"),
        (
            pa.array([1]),
            "VARCHAR",
            "column 'c': expected VARCHAR, got BIGINT; convert it in a select_expression, e.g. "
            "cast(`c` as string) AS `c`",
        ),
        (pa.array(["true"]), "BOOLEAN", "expected BOOLEAN, got VARCHAR; convert it in a select_expression"),
        (
            pa.array([True]),
            "INTEGER",
            "expected INTEGER, got BOOLEAN; convert it in a select_expression, e.g. cast(",
        ),
        (
            pa.array(["2024-01-31"]),
            "DATE",
            "expected DATE, got VARCHAR; convert it in a select_expression, e.g. to_d",
        ),
        (pa.array([1]), "TIMESTAMP", "expected TIMESTAMP, got BIGINT"),
        (pa.array([[1]]), "DOUBLE", "expected DOUBLE, got list<"),
    ],
)
def test_what_does_not_fit(values: pa.Array, column_type: str, message: str) -> None:
    (found,) = complaints(pa.table({"c": values}), Column("c", column_type))
    assert found.startswith("column 'c': ")
    assert message in found


def test_exactly_these_columns_in_this_order_with_their_nullability(tmp_path: Path) -> None:
    table = pa.table({"extra": [1], "b": [2], "a": ["x"]}).replace_schema_metadata({"k": "v"})
    found = conform(table, [Column("a", "VARCHAR"), Column("b", "BIGINT", optional=False)], what="w")
    expected = pa.schema([pa.field("a", pa.string()), pa.field("b", pa.int64(), nullable=False)])
    assert found.schema.equals(expected, check_metadata=True)
    pq.write_table(found, tmp_path / "a.parquet")
    assert pq.read_schema(tmp_path / "a.parquet").equals(expected)


def test_nulls_and_keys() -> None:
    table = pa.table({"a": [1, 1, 2, None, None], "b": ["x", "x", "y", "x", "x"], "c": [1.0, None, None, None, None]})
    fields = [Column("a", "BIGINT", primary=True), Column("b", "VARCHAR", primary=True), Column("c", "DOUBLE", False)]
    assert complaints(table, *fields) == [
        "column 'a' is part of the primary key, but 2 of 5 values are null (row 4, 5)",
        "column 'c' is not optional, but 4 of 5 values are null (row 2, 3, 4, ...)",
        "primary key (a, b): 1 row repeats the key of an earlier row (a = 1, b = 'x')",
    ]
    unique = pa.table({"a": [1, 1, 2], "b": ["x", "y", "x"], "c": [0.0, 0.0, 0.0]})
    assert conform(unique, fields, what="w").num_rows == 3


def test_keys_are_compared_as_they_will_be_written() -> None:
    table = pa.table({"day": pa.array([AT(2024, 1, 1)] * 3 + [AT(2024, 1, 2)] * 2, US)})
    assert complaints(table, Column("day", "DATE", primary=True)) == [
        "primary key (day): 3 rows repeat the key of an earlier row (day = 2024-01-01; day = 2024-01-02)"
    ]


def test_every_problem_is_reported_at_once() -> None:
    table = pa.table({"defect_rate": ["x", "1"], "passes": [1.5, None], "day": [1, 2]})
    assert complaints(
        table,
        Column("defect_rates", "DOUBLE"),
        Column("day", "DATE"),
        Column("defect_rate", "DOUBLE"),
        Column("passes", "INTEGER", optional=False),
        Column("Passes", "INTEGER"),
        Column("odd", "FLOAT8"),
    ) == [
        "column 'defect_rates' is missing. Did you mean 'defect_rate'? Columns of the data: defect_rate, passes, day",
        "column 'day': expected DATE, got BIGINT; convert it in a select_expression, e.g. to_date(`day`) AS `day`",
        "column 'Passes' is already named in fields[3]",
        "column 'odd': unknown type 'FLOAT8'; expected one of VARCHAR, DOUBLE, INTEGER, BIGINT, BOOLEAN, DATE, "
        "TIMESTAMP, TIMESTAMPTZ",
        "column 'defect_rate': 1 of 2 values does not fit DOUBLE (row 1: 'x'); the data has VARCHAR",
        "column 'passes': 1 of 2 values does not fit INTEGER (row 1: 1.5); the data has DOUBLE",
        "column 'passes' is not optional, but 1 of 2 values is null (row 2)",
    ]


def test_fields_problems_need_no_data_and_have_places() -> None:
    schema = pa.schema([("day", pa.timestamp("ns")), ("n", pa.int64()), ("s", pa.string())])
    fine = [Column("day", "DATE"), Column("n", "DOUBLE"), Column("s", "INTEGER"), Column("n2", "DOUBLE")]
    assert fields_problems(schema, fine[:3]) == []
    assert fields_problems(schema, fine) == [
        Problem("fields[3]", "column 'n2' is missing. Did you mean 'n'? Columns of the data: day, n, s")
    ]


def test_describe_uses_the_type_names_of_the_spec() -> None:
    schema = pa.schema([(name.lower(), kind) for name, kind in ARROW_TYPES.items()])
    assert describe(schema) == [(name.lower(), name) for name in ARROW_TYPES]
    other = [pa.int8(), pa.uint16(), pa.uint32(), pa.float32(), pa.large_string(), NS, pa.timestamp("s", "Asia/Tokyo")]
    assert [name for _, name in describe(pa.schema([(str(n), kind) for n, kind in enumerate(other)]))] == [
        "INTEGER",
        "INTEGER",
        "BIGINT",
        "DOUBLE",
        "VARCHAR",
        "TIMESTAMP",
        "TIMESTAMPTZ",
    ]
    odd = pa.schema([("d", pa.decimal128(5, 2)), ("l", pa.list_(pa.int8())), ("n", pa.null())])
    assert describe(odd) == [("d", "DECIMAL(5, 2)"), ("l", str(pa.list_(pa.int8()))), ("n", "NULL")]


# --- properties ------------------------------------------------------------------------------------------------------

COLUMNS = st.one_of(
    st.lists(st.one_of(st.none(), st.floats())).map(lambda v: pa.array(v, pa.float64())),
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))).map(lambda v: pa.array(v, pa.int64())),
    st.lists(st.one_of(st.none(), st.integers(0, 2**64 - 1))).map(lambda v: pa.array(v, pa.uint64())),
    st.lists(st.one_of(st.none(), st.text("0123456789.+-eE x", max_size=25))).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1))).map(lambda v: pa.array(v, NS)),
    st.lists(st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1))).map(lambda v: pa.array(v, pa.timestamp("s"))),
    st.lists(st.one_of(st.none(), st.dates())).map(lambda v: pa.array(v, pa.date32())),
    st.lists(st.one_of(st.none(), st.booleans())).map(lambda v: pa.array(v, pa.bool_())),
    st.lists(st.decimals(-(10**20), 10**20, places=4)).map(lambda v: pa.array(v, pa.decimal128(38, 4))),
)


@settings(max_examples=300, deadline=None)
@given(COLUMNS, st.sampled_from(sorted(ARROW_TYPES)), st.booleans(), st.booleans())
def test_any_column_is_converted_or_refused(values: pa.Array, column_type: str, optional: bool, primary: bool) -> None:
    field = Column("c", column_type, optional, primary)
    try:
        table = conform(pa.table({"c": values}), [field], what="w")
    except DataError:
        return
    assert table.schema == pa.schema([pa.field("c", ARROW_TYPES[column_type], nullable=optional)])
    assert table.column("c").is_null().to_pylist() == values.is_null().to_pylist()


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.integers(-(2**64), 2**64).map(float), st.floats(), st.integers(-(2**32), 2**32).map(float)))
def test_a_float_fits_a_whole_type_exactly_when_python_says_so(number: float) -> None:
    for column_type, limit in (("INTEGER", 2**31), ("BIGINT", 2**63)):
        fits = math.isfinite(number) and number == int(number) and -limit <= int(number) < limit
        try:
            assert converted(pa.array([number]), column_type) == [int(number)]
            assert fits
        except DataError:
            assert not fits
