"""The part of its input that a chain of steps needs: the rest is not read, and leaving it out changes nothing."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec.steps import FilterStep, SelectStep, SqlStep
from lstm_pipeline.sql import pushdown
from lstm_pipeline.sql import running as sql
from lstm_pipeline.sql.pushdown import Needed, needed
from lstm_pipeline.sql.spark_expressions import parse
from lstm_pipeline.tables.reading import open_source, read_table

AS_OF = dt.date(2024, 3, 10)
ZONE = "Europe/Berlin"  # skips an hour on the last Sunday of March and repeats one in October


def filtered(condition: str) -> FilterStep:
    return FilterStep(transform="filter_with_condition", input="a", output="b", condition=condition)


def selected(*expressions: str) -> SelectStep:
    return SelectStep(transform="select_expression", input="a", output="b", expressions=[*expressions])


def run(table: pa.Table, steps: Sequence[SqlStep], timezone: str = ZONE) -> pa.Table:
    for step in steps:
        if isinstance(step, FilterStep):
            table = sql.filter_rows(table, step.condition, as_of=AS_OF, timezone=timezone)
        else:
            table = sql.select(table, step.expressions, as_of=AS_OF, timezone=timezone)
    return table


def outcome(table: pa.Table, steps: Sequence[SqlStep]) -> str:
    """Rows, types and order as text, so that NaN equals NaN; or "refused", as it is chance which value fails first."""
    try:
        found = run(table, steps)
    except DataError:
        return "refused"
    return f"{found.schema} {found.to_pydict()}"


def write(folder: Path, table: pa.Table, rows: int = 3) -> str:
    """Two files of small row groups, so that there is something to skip."""
    folder.mkdir(exist_ok=True)
    half = table.num_rows // 2
    for number, part in enumerate((table.slice(0, half), table.slice(half))):
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=rows)
    return str(folder)


def pushed_rows(uri: str, *steps: SqlStep) -> int | None:
    """The number of rows that are read; None if there is no filter."""
    source = open_source(uri)
    need = needed(source.schema, steps, as_of=AS_OF, timezone=ZONE)
    return None if need.where is None else source.read(columns=need.columns, where=need.where).num_rows


# --- nothing changes -------------------------------------------------------------------------------------------------

DAYS = [dt.date(2024, 3, 10), dt.date(2024, 3, 9), dt.date(1969, 12, 31), dt.date(2024, 3, 31)]
TIMES = [
    *(dt.datetime.combine(day, dt.time()) for day in DAYS), dt.datetime(2024, 3, 9, 23), dt.datetime(2024, 3, 31, 1),
    dt.datetime(2024, 3, 31, 2, 30), dt.datetime(2024, 3, 31, 3, 30),
    dt.datetime(2024, 10, 27, 0, 30), dt.datetime(2024, 10, 27, 2, 30), dt.datetime(1969, 12, 31, 23, 59, 59, 999_000),
]  # fmt: skip
WORDS = ["north", "it's", "", "Süd", "a", "5", "zz"]
FLOATS = [0.0, -0.0, 0.1, 2.5, -7.0, math.nan, math.inf, -math.inf, 1e300, 16777217.0]
INTEGERS = [0, 1, -1, 5, 127, -128]
COLUMNS: dict[str, tuple[pa.DataType, Sequence[Any]]] = {
    "tiny": (pa.int8(), INTEGERS),
    "whole": (pa.int64(), [*INTEGERS, 2**53 + 1, 2**63 - 1, -(2**63)]),
    "unsigned": (pa.uint64(), [0, 1, 5, 2**64 - 1]),
    "single": (pa.float32(), FLOATS),
    "number": (pa.float64(), FLOATS),
    "amount": (pa.decimal128(10, 2), [Decimal("0.10"), Decimal("2.50"), Decimal(-7), Decimal("99999999.99")]),
    "huge": (pa.decimal128(38, 2), [Decimal("0.10"), Decimal("9" * 36 + ".99"), Decimal(5)]),
    "name": (pa.string(), WORDS),
    "long name": (pa.large_string(), WORDS),
    "pm2.5": (pa.int32(), INTEGERS),
    "flag": (pa.bool_(), [True, False]),
    "day": (pa.date32(), DAYS),
    "day64": (pa.date64(), DAYS),
    **{f"at_{unit}": (pa.timestamp(unit), TIMES) for unit in ("ms", "us", "ns")},
    **{f"instant_{unit}": (pa.timestamp(unit, "UTC"), TIMES) for unit in ("ms", "us", "ns")},
    "here": (pa.timestamp("us", "America/New_York"), TIMES),
}
CONSTANTS = [
    "0", "5", "-1", "300", "2.5", "0.1", "0.10", "-7.0", "1e0", "9007199254740993", "18446744073709551615", "16777217",
    "99999999.995", "cast(0.1 as float)", "cast('NaN' as double)", "cast(5 as bigint)", "cast(2.5 as decimal(38, 30))",
    "null", "true", "'north'", "'it\\'s'", "''", "'5'", "upper('sÜd')", "concat('a', '')",
    "current_date()", "current_date() - interval '1' day", "current_date() - interval '6' hour", "date '2024-03-31'",
    "'2024-03-10'", "'2024-03-31 03:30:00'", "'2024-10-27T00:30:00Z'", "'1969-12-31 23:59:59.9995'",
    "timestamp '2024-03-31 02:30:00'", "timestamp '1969-12-31 23:59:59.999'", "to_timestamp('2024-10-27 02:30:00')",
    "timestamp_seconds(1729989000)", "timestamp_seconds(1711848600)", "add_months(current_date(), -1)",
]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 14))
    columns = {
        name: pa.array([draw(st.sampled_from([None, *values])) for _ in range(rows)], kind)
        for name, (kind, values) in COLUMNS.items()
    }
    return pa.table({"row": list(range(rows)), **columns})


column = st.sampled_from([f"`{name}`" for name in COLUMNS])
constant = st.sampled_from(CONSTANTS)
comparison = st.sampled_from(["=", "<", "<=", ">", ">=", "<>", "<=>"])
tests = st.one_of(
    st.builds("{} {} {}".format, column, comparison, constant),
    st.builds("{} {} {}".format, column, comparison, constant),
    st.builds("{} {} {}".format, constant, comparison, column),
    st.builds("{} between {} and {}".format, column, constant, constant),
    st.builds("{} in ({}, {})".format, column, constant, constant),
    st.builds("{} in ({})".format, column, constant),
    st.builds("{} is {}null".format, column, st.sampled_from(["", "not "])),
    st.sampled_from(
        [
            "flag", "cast(name as int) > 1", "name like 'n%'", "weekday(day) < 5", "hour(at_us) = 23", "true",
            "tiny + 100 > 0", "amount * amount > 1", "whole = unsigned", "at_ms <= at_ms", "name = `long name`",
        ]
    ),
)  # fmt: skip
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("{} and {}".format, tests, tests),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=4,
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.lists(conditions, min_size=1, max_size=2), st.booleans())
def test_the_rows_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, texts: list[str], narrowed: bool
) -> None:
    uri = write(tmp_path_factory.mktemp("same"), table)
    steps: list[SqlStep] = [filtered(text) for text in texts]
    if narrowed:
        steps.append(selected("row", "number * 2 as double", "day"))
    source = open_source(uri)
    need = needed(source.schema, steps, as_of=AS_OF, timezone=ZONE)
    assert outcome(source.read(columns=need.columns, where=need.where), steps) == outcome(read_table(uri), steps)


SHAPES = ("{0} = {1}", "{0} < {1}", "{1} >= {0}", "{0} > {1}", "{1} < {0}", "{0} between {1} and {1}", "{0} in ({1})")


@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_against_every_constant(tmp_path: Path, name: str) -> None:
    """Every pair on its own, over all values, sorted so that row groups are skipped; no row is lost."""
    kind, values = COLUMNS[name]
    column = pa.array([None, *values], kind)
    column = column.take(pc.sort_indices(column))
    uri = write(tmp_path, pa.table({name: column, "row": list(range(len(column)))}), rows=1)
    table, source = read_table(uri), open_source(uri)
    found: dict[str, list[pc.Expression]] = {}
    with sql.open_session(sql.null_row(table.schema), ZONE, AS_OF) as session:
        conditions = pushdown._Conditions(session, table.schema)
        for text in (shape.format(f"`{name}`", constant) for constant in CONSTANTS for shape in SHAPES):
            try:
                sql.check_condition(session, text)
            except DataError:
                continue
            if conditions.harmless(parse(text)):
                found[text] = conditions.pushed(parse(text))
    masks = sql.select(table, [f"{text} as c{n}" for n, text in enumerate(found)], as_of=AS_OF, timezone=ZONE)
    for mask, (text, expressions) in zip(masks.columns, found.items(), strict=True):
        true = set(table.filter(mask).column("row").to_pylist())
        for where in expressions:
            assert true <= set(source.read(where=where).column("row").to_pylist()), f"{text}: {where}"
    assert sum(bool(expressions) for expressions in found.values()) >= (4 if name == "flag" else 8)


# --- what is not read ------------------------------------------------------------------------------------------------

ROWS = 40
PLANT = pa.table(
    {
        "day": pa.array([dt.date(2024, 1, 1) + dt.timedelta(row * 2) for row in range(ROWS)]),
        "at": pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(row * 2) for row in range(ROWS)], pa.timestamp("ns")),
        "load": pa.array([float(row) for row in range(ROWS)]),
        "code": pa.array([str(row) if row else "junk" for row in range(ROWS)]),
        "machine": pa.array(["a", "b"] * (ROWS // 2)),
        "pm2.5": pa.array([None if row % 4 else row for row in range(ROWS)]),
    }
)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("day >= current_date() - interval '10' day", 10),
        ("current_date() - interval '10' day <= day", 10),
        ("day <= current_date()", 35),
        ("day between '2024-01-01' and '2024-01-31'", 16),
        ("at >= current_date() and at < '2024-03-15'", 2),
        ("at >= timestamp '2024-03-10 00:00:00'", 5),
        ("day in ('2024-01-01', '2024-01-03') and load < 1", 1),
        ("machine = 'a'", 20),
        ("`pm2.5` is not null", 10),
        ("`pm2.5` is null and ((machine = 'b'))", 20),
        ("`pm2.5` >= 20 and (load <= 28 or machine = 'b')", 5),
        ("load > 5", None),  # NaN is greater than 5 as well
        ("load between 5 and 8", 4),
        ("machine <> 'a'", None),
        ("machine = 'a' or load < 3", None),
        ("not (load < 3)", None),
        ("load = 2 + 1", 1),
        ("day >= current_date() and weekday(day) < 5 and machine like '%a%'", 5),
        ("day >= current_date() and year(at) = 2024", None),  # parts of nanosecond times are not pushed down
        ("day >= current_date() and hour(day) = 0", None),
        ("day >= current_date() and load * 2 > 10", None),
        ("day >= current_date() and cast(code as int) > 10", None),
        ("`pm2.5` >= 1e1", None),
        (r"day >= current_date() and machine like 'c\\'", None),  # a pattern that ends in its escape character
        ("day in ('2024-01-01', date '2024-01-03')", None),  # DuckDB casts one of them to the type of the other
        ("day >= timestamp '2024-03-10 00:00:00'", None),
        ("true", None),
    ],
)
def test_rows_that_a_condition_excludes_are_not_read(tmp_path: Path, condition: str, rows: int | None) -> None:
    uri = write(tmp_path, PLANT)
    assert pushed_rows(uri, filtered(condition)) == rows


def test_filters_are_pushed_down_up_to_the_first_that_may_fail_and_to_the_first_select(tmp_path: Path) -> None:
    uri = write(tmp_path, PLANT)
    risky = filtered("cast(code as int) > 3")
    assert pushed_rows(uri, filtered("load < 9"), filtered("machine = 'a'")) == 5
    assert pushed_rows(uri, filtered("load < 9"), risky, filtered("machine = 'a'")) == 9
    assert pushed_rows(uri, risky, filtered("load < 9")) is None
    assert pushed_rows(uri, selected("load"), filtered("load < 9")) is None


def test_a_bad_value_is_found_even_if_another_condition_excludes_its_row(tmp_path: Path) -> None:
    uri = write(tmp_path, PLANT)
    for steps in ([filtered("load > 3 and cast(code as int) > 3")], [filtered("cast(code as int) > 3 and load = 5")]):
        source = open_source(uri)
        need = needed(source.schema, steps, as_of=AS_OF)
        assert outcome(source.read(columns=need.columns, where=need.where), steps) == "refused"
    steps = [
        filtered("load = 5"),
        filtered("cast(code as int) > 3"),
    ]  # the second step sees only one row
    assert "'load': [5.0]" in outcome(read_table(uri), steps)


@pytest.mark.parametrize(
    ("steps", "columns"),
    [
        ([], None),
        ([filtered("load > 3")], None),
        ([selected("*")], None),
        ([selected("Day", "LOAD * 2 as twice")], {"day", "load"}),
        ([filtered("`PM2.5` > 3"), filtered("machine = 'a'"), selected("day")], {"day", "pm2.5", "machine"}),
        ([selected("day", "load"), selected("*")], {"day", "load"}),
        ([selected("current_date() as today")], None),
        ([selected("case when machine = 'a' then load else `pm2.5` end as x")], {"machine", "load", "pm2.5"}),
        ([selected("coalesce(load, extract(year from day)) as x")], {"load", "day"}),
    ],
)
def test_columns(steps: list[SqlStep], columns: set[str] | None) -> None:
    assert needed(PLANT.schema, steps, as_of=AS_OF).columns == columns


@pytest.mark.parametrize(
    "steps",
    [
        [filtered("lod > 3"), selected("day")],
        [filtered("load > 3"), selected("dey")],
        [filtered("load +"), selected("day")],
        [filtered("load"), selected("day")],
        [filtered("day >= date 'soon'")],
        [filtered("load > 3 and at < date '2999-01-01'")],  # later than a nanosecond timestamp can be
        [filtered("(" * 3000 + "true" + ")" * 3000)],
    ],
)
def test_everything_is_read_for_a_wrong_chain_so_that_the_step_reports_the_mistake(steps: list[SqlStep]) -> None:
    assert needed(PLANT.schema, steps, as_of=AS_OF) == Needed()
    with pytest.raises(DataError):
        run(PLANT, steps)


def test_unknown_zone_and_odd_columns() -> None:
    assert needed(PLANT.schema, [filtered("load < 3")], as_of=AS_OF, timezone="Mars/Olympus") == Needed()
    assert needed(pa.schema([]), [filtered("true")], as_of=AS_OF) == Needed()
    words = pa.schema([("w", pa.dictionary(pa.int32(), pa.string())), ("n", pa.int64())])
    need = needed(words, [filtered("w = 'x' and n = 3")], as_of=AS_OF)
    assert str(need.where) == "(n == 3)"


def test_many_constants(tmp_path: Path) -> None:
    uri = write(tmp_path, PLANT)
    many = ", ".join(str(number * 7) for number in range(1500))
    assert pushed_rows(uri, filtered(f"`pm2.5` in ({many})")) == 10  # only the range is pushed down
    assert pushed_rows(uri, filtered(f"`pm2.5` in ({many[:60]})")) == 2
