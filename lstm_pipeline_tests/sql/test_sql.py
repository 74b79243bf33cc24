"""Spark SQL over a table: the meaning of every function."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lstm_pipeline.sql.running import SqlError, filter_rows, filter_schema, select, select_schema
from lstm_pipeline.tables.reading import read_table

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA = Path(os.environ.get("LSTM_PIPELINE_DATA", SHARED / "data"))
SEED = next(iter(sorted((SHARED / "seeds").glob("000_*.txt"))), None)
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets in {DATA}; set LSTM_PIPELINE_DATA")
AS_OF = dt.date(2024, 3, 10)

TABLE = pa.table(
    {
        "x": pa.array([2.7, -2.7, None, math.nan]),
        "n": pa.array([7, -7, 0, None]),
        "big": pa.array([2**53 + 1, -(2**53) - 1, 2**62 + 1, 0]),
        "name": pa.array(["north", "it's", None, "Süd"]),
        "number": pa.array(["12.7", "-3.9", " 5 ", "9007199254740993"]),
        "day": pa.array([dt.date(2024, 3, 10), dt.date(2024, 2, 29), dt.date(2023, 9, 12), None]),
        "at": pa.array([dt.datetime(2024, 3, 10, 13, 45, 30, 250_000)] * 4, pa.timestamp("us")),
        "instant": pa.array([dt.datetime(2024, 3, 31, 0, 30)] * 4, pa.timestamp("us", "UTC")),
        "pm2.5": pa.array([1, 2, 3, 4]),
        "Mixed": pa.array([1.0, 2.0, 3.0, 4.0]),
        'a"b': pa.array([True, False, None, True]),
    }
)


def values(expression: str, table: pa.Table = TABLE, timezone: str = "UTC") -> list[Any]:
    column: list[Any] = select(table, [f"{expression} AS r"], as_of=AS_OF, timezone=timezone).column("r").to_pylist()
    return column


def first(expression: str, **options: Any) -> Any:
    return values(expression, TABLE.slice(0, 1), **options)[0]


def kept(condition: str, table: pa.Table = TABLE) -> list[int]:
    rows = table.append_column("row", pa.array(range(table.num_rows)))
    found: list[int] = filter_rows(rows, condition, as_of=AS_OF).column("row").to_pylist()
    return found


def complaint(expression: str) -> str:
    """The message for a condition, from the schema alone; a select refuses the expression as well."""
    messages = []
    for run in (
        lambda: filter_schema(TABLE.schema, expression, as_of=AS_OF),
        lambda: select(TABLE, [expression], as_of=AS_OF),
    ):
        with pytest.raises(SqlError) as caught:
            run()
        (problem,) = caught.value.problems
        messages.append(problem.message)
    return messages[0]


# --- Spark's meaning -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cast(x as integer)", 2),  # truncates, where DuckDB rounds
        ("cast(-2.7 as int)", -2),
        ("int(x)", 2),
        ("x::int", 2),
        ("cast(2.5BD as bigint)", 2),
        ("cast(big as bigint)", 2**53 + 1),  # exact, because DOUBLE is not involved
        ("cast(number as int)", 12),
        ("cast('9007199254740993' as bigint)", 2**53 + 1),
        ("cast('-0.99' as int)", 0),
        ("cast(true as int)", 1),
        ("cast(null as int)", None),
        ("try_cast('abc' as int)", None),
        ("try_cast('2.9' as int)", 2),
        ("cast('1.5' as double)", 1.5),
        ("cast(2.345 as decimal(10, 2))", Decimal("2.35")),
        ("cast(n as string)", "7"),
        ("cast('2024-03-10 23:59:59' as date)", dt.date(2024, 3, 10)),
        ("cast(at as bigint)", 1710078330),
        ("cast(-1.5 as timestamp)", dt.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=dt.UTC)),
        ("7 / 2", 3.5),
        ("n / 2", 3.5),
        ("n / 0", None),
        ("n % 0", None),
        ("x % 0", None),
        ("-7 % 3", -1),
        ("mod(-7, 3)", -1),
        ("pmod(-7, 3)", 2),
        ("-7 div 2", -3),
        ("7 div 0", None),
        ("n div 2", 3),
        ("1 + 2 * 3 - 4", 3),
        ("-(n)", -7),
        ("- -n", 7),
        ("round(2.5D)", 3.0),  # half away from zero
        ("round(-2.5D)", -3.0),
        ("round(1.005D, 2)", 1.01),  # rounds the decimal text; in binary, 1.005 is slightly smaller
        ("round(2.675D, 2)", 2.68),
        ("round(1e300D, 2)", 1e300),
        ("round(1250.5D, -2)", 1300.0),
        ("round(2.5)", Decimal("3")),
        ("round(n)", 7),
        ("ceil(2.1)", 3),
        ("floor(-2.1)", -3),
        ("sign(-3)", -1.0),
        ("sqrt(-1)", math.nan),
        ("sqrt(0.25D)", 0.5),
        ("ln(0)", None),
        ("log(2, 8)", 3.0),
        ("log(-1)", None),
        ("greatest(1, null, 3)", 3),  # nulls are skipped
        ("least(n, 5)", 5),
        ("nanvl(double('nan'), 1)", 1.0),
        ("isnan(null)", False),
        ("coalesce(null, null, n)", 7),
        ("nvl(null, 4)", 4),
        ("nvl2(null, 1, 2)", 2),
        ("nullif(7, n)", None),
        ("if(n > 0, 'plus', 'minus')", "plus"),
        ("case when n < 0 then 'minus' when n = 7 then 'seven' else 'other' end", "seven"),
        ("case n when 7 then 'seven' end", "seven"),
        ("case n when 1 then 'one' end", None),
        ("name || '!'", "north!"),
        ("'a' || null", None),
        ("concat('a', null)", None),  # DuckDB's own concat skips nulls
        ("concat('a', 1)", "a1"),
        ("concat_ws('-', 'a', null, 'b')", "a-b"),
        ("substring('abcd', 0, 2)", "ab"),
        ("substring('abcd', -2)", "cd"),
        ("replace('1,5', ',', '.')", "1.5"),
        ("upper(trim('  a '))", "A"),
        ("length('äö')", 2),
        ("'abc' rlike 'b'", True),
        ("'a.c' rlike r'^a\\.c$'", True),
        ("'50%' like '50\\\\%'", True),
        ("'505' like '50\\\\%'", False),
        ("'a_b' like 'a!_b' escape '!'", True),
        ("'axb' not like 'a!_b' escape '!'", True),
        ("'abc' not like 'a%'", False),
        ("'ABC' ilike 'a%'", True),
        ("'ABC' not ilike 'a%'", False),
        ("null <=> null", True),
        ("n is not null", True),
        ("(n > 0) is true", True),
        ("n between 5 and 9", True),
        ("n not in (1, 2)", True),
        ('"north" = name', True),  # double quotes are text in Spark
        ("'it\\'s'", "it's"),
        ("10L + 1", 11),
    ],
)
def test_value(expression: str, expected: Any) -> None:
    found = first(expression)
    assert found == expected or (isinstance(expected, float) and math.isnan(expected) and math.isnan(found))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("current_date()", AS_OF),
        ("current_date", AS_OF),
        ("CURRENT_DATE() - interval '180' day", dt.date(2023, 9, 12)),
        ("current_date() - interval 1 month", dt.date(2024, 2, 10)),
        ("interval '1' day + day", dt.date(2024, 3, 11)),
        ("day - 1", dt.date(2024, 3, 9)),
        ("day + n", dt.date(2024, 3, 17)),
        ("day + interval '6' hour", dt.datetime(2024, 3, 10, 6)),
        ("at - interval '90' minutes", dt.datetime(2024, 3, 10, 12, 15, 30, 250_000)),
        ("'2024-03-10' - interval '1' day", dt.datetime(2024, 3, 9)),
        ("date_add(day, 1)", dt.date(2024, 3, 11)),
        ("date_sub(at, 10)", dt.date(2024, 2, 29)),
        ("add_months(date '2024-01-31', 1)", dt.date(2024, 2, 29)),
        ("datediff(current_date(), date '2024-02-29')", 10),
        ("last_day(date '2024-02-03')", dt.date(2024, 2, 29)),
        ("to_date(at)", dt.date(2024, 3, 10)),
        ("to_date('2024-02-01')", dt.date(2024, 2, 1)),
        ("to_date('1990/1/2', 'yyyy/M/d')", dt.date(1990, 1, 2)),
        ("to_date(day, 'dd.MM.yyyy')", dt.date(2024, 3, 10)),
        ("to_timestamp('31.12.2023 23:05', 'dd.MM.yyyy HH:mm')", dt.datetime(2023, 12, 31, 23, 5)),
        ("to_timestamp('2024-01-01T10:00:00+02:00')", dt.datetime(2024, 1, 1, 8)),
        ("to_timestamp('2024-01-01 10:00:00')", dt.datetime(2024, 1, 1, 10)),
        ("timestamp '2024-01-01 10:00:00'", dt.datetime(2024, 1, 1, 10)),
        ("cast(day as timestamp)", dt.datetime(2024, 3, 10)),
        ("timestamp_seconds(0)", dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
        ("unix_timestamp(timestamp '1970-01-02 00:00:00')", 86400),
        ("date_trunc('hour', at)", dt.datetime(2024, 3, 10, 13)),
        ("date_trunc('MM', day)", dt.datetime(2024, 3, 1)),
        ("trunc(day, 'MM')", dt.date(2024, 3, 1)),
        ("trunc(day, 'week')", dt.date(2024, 3, 4)),
        ("date_format(at, \"dd.MM.yyyy 'at' HH:mm\")", "10.03.2024 at 13:45"),
        ("make_date(2024, 2, 29)", dt.date(2024, 2, 29)),
        ("make_timestamp(2024, 2, 29, 1, 2, 3.5)", dt.datetime(2024, 2, 29, 1, 2, 3, 500_000)),
        ("year(day)", 2024),
        ("quarter(day)", 1),
        ("month('2024-03-10')", 3),
        ("dayofmonth(day)", 10),
        ("dayofyear(day)", 70),
        ("dayofweek(day)", 1),  # 2024-03-10 is a Sunday: Spark counts from Sunday = 1
        ("weekday(day)", 6),  # here Spark counts from Monday = 0
        ("weekofyear(day)", 10),
        ("hour(at)", 13),
        ("minute(at)", 45),
        ("second(at)", 30),
        ("extract(hour from at)", 13),
        ("date_part('dow', day)", 1),
    ],
)
def test_time_value(expression: str, expected: Any) -> None:
    assert first(expression) == expected
    assert type(first(expression)) is type(expected)


def test_instants_have_the_hours_of_the_time_zone_and_come_back_in_utc() -> None:
    assert first("hour(instant)") == 0
    assert first("hour(instant)", timezone="Europe/Berlin") == 1
    assert first("to_date(instant)", timezone="America/New_York") == dt.date(2024, 3, 30)
    moved = select(TABLE, ["instant + interval 1 hour AS r"], as_of=AS_OF, timezone="Europe/Berlin")
    assert moved.schema.field("r").type == pa.timestamp("us", "UTC")
    assert moved.column("r")[0].as_py() == dt.datetime(2024, 3, 31, 1, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("day >= '2024-01-01' AND day <= current_date()", [0, 1]),
        ("day >= current_date() - interval '180' day", [0, 1, 2]),
        ("day between '2023-09-12' and date '2024-02-29'", [1, 2]),
        ("at > '2024-03-10'", [0, 1, 2, 3]),
        ("instant < '2024-03-31'", []),
        ("`pm2.5` in (2, 3)", [1, 2]),
        ("MIXED > 2", [2, 3]),
        ('`a"b`', [0, 3]),
        ("not `a\"b` or name like 'no%'", [0, 1]),
        ("name is null", [2]),
        ("name rlike '^[a-z]+$'", [0]),
        ("x > 0", [0, 3]),  # in Spark, NaN is larger than any number
        ("n > 0 and n / 0 > 1", []),
        ("1 = 1", [0, 1, 2, 3]),
        ("x > 0 -- a comment is dropped\n and n > 0", [0]),
    ],
)
def test_filter(condition: str, expected: list[int]) -> None:
    assert kept(condition) == expected


def test_filter_keeps_types_and_order() -> None:
    table = pa.table(
        {
            "n": pa.array(range(300_000), pa.int32()),
            "t": pa.array([0] * 300_000, pa.timestamp("ns", "Europe/Berlin")),
            "c": pa.array(["a"] * 300_000).dictionary_encode(),
        }
    )
    found = filter_rows(table, "n % 3 = 0", as_of=AS_OF)
    assert found.schema == table.schema
    assert found.column("n").to_pylist() == list(range(0, 300_000, 3))
    assert filter_schema(table.schema, "n % 3 = 0", as_of=AS_OF) == table.schema


def test_select_keeps_order_types_and_spelling() -> None:
    table = pa.table({"Zeit": pa.array(range(300_000), pa.timestamp("ns")), "n": pa.array(range(300_000), pa.int32())})
    found = select(table, ["zeit", "n + 1 AS next", "N as m"], as_of=AS_OF)
    assert found.column_names == ["Zeit", "next", "m"]
    assert found.schema.types == [pa.timestamp("ns"), pa.int32(), pa.int32()]
    assert found.column("next").to_pylist() == list(range(1, 300_001))
    assert select_schema(table.schema, ["zeit", "n + 1 AS next", "N as m"], as_of=AS_OF) == found.schema


def test_select_star_stands_for_all_columns() -> None:
    found = select(TABLE, ["*", "n + 1 as next"], as_of=AS_OF)
    assert found.column_names == [*TABLE.column_names, "next"]
    assert found.select(TABLE.column_names).schema == TABLE.schema
    assert found.drop_columns(["x", "next"]).equals(TABLE.drop_columns(["x"]))  # x has a NaN, which equals nothing


def test_empty_table_and_null_values_pass() -> None:
    empty = TABLE.slice(0, 0)
    assert kept("n > 1", empty) == []
    assert select(empty, ["cast(x as int) as r"], as_of=AS_OF).schema == pa.schema([("r", pa.int32())])


# --- the seed --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(SEED is None, reason=f"no seed documents in {SHARED / 'seeds'}")
def test_every_expression_of_the_seed_runs() -> None:
    assert SEED is not None
    text = SEED.read_text()
    conditions = re.findall(r'"condition": "([^"]+)"', text)
    expressions = json.loads(re.search(r'"expressions": (\[[^]]+\])', text)[1])  # type: ignore[index]
    assert len(conditions) == 2
    assert len(expressions) == 12
    names = [re.search(r"\w+$", expression)[0] for expression in expressions]  # type: ignore[index]
    table = pa.table({name: pa.array([1.9, -1.9]) for name in names if name not in ("date", "_predicted_at")})
    table = table.append_column("date", pa.array([dt.datetime(2024, 3, 10), dt.datetime(2023, 1, 1)]))
    table = table.append_column("_predicted_at", pa.array([dt.datetime(2024, 3, 10)] * 2, pa.timestamp("us", "UTC")))
    assert filter_rows(table, conditions[0], as_of=AS_OF).num_rows == 2
    assert filter_rows(table, conditions[1], as_of=AS_OF).num_rows == 1
    found = select(table, expressions, as_of=AS_OF)
    assert found.column_names == names
    assert found.column("inspection_passes").to_pylist() == [1, -1]
    assert found.column("date").to_pylist() == [dt.date(2024, 3, 10), dt.date(2023, 1, 1)]
    assert found.schema.field("_predicted_at").type == pa.timestamp("us", "UTC")


@needs_data
def test_beijing_timestamp_from_four_columns() -> None:
    table = read_table(str(DATA / "beijing_pm25.csv"))
    found = select(table, ["make_timestamp(year, month, day, hour, 0, 0) as at", "`pm2.5` as pm"], as_of=AS_OF)
    stamps = found.column("at").to_pylist()
    assert stamps == [dt.datetime(2010, 1, 1) + dt.timedelta(hours=hour) for hour in range(43_824)]
    assert found.column("pm").null_count == 2067


@needs_data
def test_exchange_rate_columns_named_by_digits() -> None:
    table = read_table(str(DATA / "exchange_rate.csv"), timestamp_col="date")
    found = select(table, ["date", "`0` / `1` as ratio"], as_of=AS_OF)
    assert found.column("ratio")[0].as_py() == 0.7855 / 1.611
