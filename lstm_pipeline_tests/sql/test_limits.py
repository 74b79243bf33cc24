"""The time and the memory that a step's SQL may take."""

from __future__ import annotations

import datetime as dt
import time

import duckdb
import pyarrow as pa
import pytest

from lstm_pipeline.sql import running
from lstm_pipeline.sql.running import SqlError, select

AS_OF = dt.date(2024, 3, 10)


@pytest.fixture(name="table")
def many() -> pa.Table:
    return pa.table({"n": list(range(200_000)), "chr": ["x"] * 200_000})


def longer(text: str, times: int) -> str:
    """An expression whose text is 30 times as long for each of the times."""
    for _ in range(times):
        text = f"replace({text}, 'x', '{'x' * 30}')"
    return text


@pytest.mark.parametrize("count", [1, 2])
def test_a_query_that_takes_too_long_is_stopped(table: pa.Table, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(SqlError) as caught:
        select(table, [f"length({longer('chr', 3)}) AS a{index}" for index in range(count)], as_of=AS_OF)
    assert time.monotonic() - began < 30
    (problem,) = caught.value.problems
    assert problem.place == ("expressions[0]" if count == 1 else "expressions")
    assert "the query was stopped because it took longer than 0.2 seconds; use simpler expr" in problem.message


def test_a_query_in_time_is_not_interrupted_later(table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SECONDS", 2.0)
    for _ in range(3):
        assert select(table, ["n + 1 AS m"], as_of=AS_OF).num_rows == 200_000


def test_a_query_that_needs_too_much_memory_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"text": ["x" * 1_000_000] * 64})
    monkeypatch.setattr(running, "MEMORY", "100MB")
    with pytest.raises(SqlError) as caught:
        select(table, [f"concat({', '.join(['text'] * 8)}) AS a"], as_of=AS_OF)
    (problem,) = caught.value.problems
    assert problem.place == "expressions[0]"
    assert "the query was stopped because it needed more memory than DuckDB may use (100MB of" in problem.message


def test_half_of_the_memory_may_be_used(table: pa.Table) -> None:
    with running.open_session(table, "UTC", AS_OF) as session:
        limit, locked = session.connection.sql(
            "SELECT current_setting('memory_limit'), current_setting('lock_configuration')"
        ).fetchall()[0]
    assert (limit[-2:], locked) == ("iB", True)
    default = duckdb.connect(":memory:").sql("SELECT current_setting('memory_limit')").fetchall()[0][0]
    assert limit != default  # 80%
