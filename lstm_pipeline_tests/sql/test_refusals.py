"""What is no harmless expression is refused with the offending part, and attacks fail."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.sql.running import SqlError, filter_rows, filter_schema, select, select_schema
from lstm_pipeline_tests.sql.test_sql import AS_OF, TABLE, complaint


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("(select 1)", "(SELECT 1): sub-queries and other tables are not allowed"),
        ("exists(select 1)", "EXISTS(SELECT 1): sub-queries and other tables are not allowed"),
        ("n in (select n from t)", "(SELECT n FROM t): sub-queries and other tables are not allowed"),
        ("n = any(select 1)", "sub-queries and other tables are not allowed"),
        ("case when exists(select 1) then 1 end", "EXISTS(SELECT 1): sub-queries"),
        ("other.n > 1", "other.n: a column name takes no table name. Columns: x, n, big"),
        ("pm2.5 > 1", "pm2.5: a column name that contains a dot needs backquotes; write `pm2.5`"),
        ("sum(n) > 1", "SUM(n): aggregate functions are not allowed; every row is computed on its own"),
        ("count(*)", "COUNT(*): aggregate functions are not allowed"),
        ("max(n) over ()", "aggregate and window functions are not allowed"),
        ("row_number() over (order by n)", "aggregate and window functions are not allowed"),
        ("explode(name)", "EXPLODE(name): table functions are not allowed; every row must stay one row"),
        ("rand() > 0.5", "RAND(): functions with different results in every run are not allowed"),
        ("uuid()", "UUID(): functions with different results in every run are not allowed"),
        ("now()", "NOW(): the current time is not available; use current_date(), the as-of date of the run"),
        ("current_timestamp() > at", "the current time is not available; use current_date()"),
        ("current_timestamp", "the function is not available"),
        ("concatt(name, name)", "unknown function 'concatt'. Did you mean 'concat'?"),
        ("hour()", "HOUR(): hour takes 1 argument, got 0"),
        ("make_date(2024, 1)", "make_date takes 3 arguments, got 2"),
        ("concat_ws('a')", "concat_ws takes at least 2 arguments, got 1"),
        ("mixd > 1", "unknown column 'mixd'. Did you mean 'Mixed'? Columns: x, n, big, name"),
        ("n > 1;\nn < 3", "expected one expression, got 2 separated by ';'"),
        ("n >", "is not one scalar Spark SQL expression"),
        ("n > 1, n < 3", "is not one scalar Spark SQL expression: unexpected text at ','"),
        ("name = 'open", "cannot be parsed as SQL; check for a quote or a comment that is not closed"),
        ("", "expected an expression, got an empty text"),
        ("   ", "expected an expression, got an empty text"),
        ("-- nothing", "expected an expression, got an empty text"),
        ("n > :limit", "parameters and templates like {{ }} are not supported"),
        ("n > ?", "parameters and templates"),
        ("n > @limit", "parameters and templates"),
        ("day >= '{{ ds }}'", "invalid date field format"),
        ("{{ ds }}", "parameters and templates like {{ }} are not supported"),
        ("day >= '2024-13-01'", "2024-13-01"),
        ("day >= 'yesterday'", "yesterday"),
        ("cast('abc' as int) > 1", "cast('abc' as int) > 1: Could not convert string \"abc\" to DECIMAL"),
        ("cast(n as struct<a: int>)", "cannot cast to STRUCT<a: INT>; expected one of BOOLEAN"),
        ("day - interval '1 day 2 hours'", "expected a whole number and one unit, e.g. interval '180' day"),
        ("day - interval '1' fortnight", "expected a whole number and one unit"),
        ("day - interval n day", "expected a whole number and one unit"),
        ("at - interval '1.5' hour", "expected a whole number and one unit"),
        ("current_date() - day > 1", "dates cannot be subtracted; use datediff(later, earlier)"),
        ("date_trunc('fortnight', at)", "'fortnight': expected one of yyyy, yy"),
        ("to_date(name, 'QQQ')", "date format 'QQQ': unknown pattern 'QQQ'; known patterns: yyyy"),
        ("to_date(name, name)", "expected a date format in quotes"),
        ("name > 5", "Cannot compare values of type VARCHAR and type INTEGER_LITERAL"),
        ("n[0]", "n[0]: this form is not supported"),
        ("(n, x)", "(n, x): this form is not supported"),
        ("n -> 1", "the function is not available"),
        ("name collate nocase", "name COLLATE nocase: the function is not available"),
        ("at at time zone 'UTC'", "this form is not supported"),
        ("n in ()", "IN (...) needs at least one value"),
        ("n between symmetric 3 and 1", "this form is not supported"),
        ("x'41'", "this form is not supported"),
        ("round(x, n)", "n: expected a whole number from 0 to 99"),
        ("name rlike '('", "missing )"),
        ("n + name", "+(BIGINT, VARCHAR)"),
        ("(n) > 1 order by n", "is not one scalar Spark SQL expression"),
        ("n\x00 > 1", "without NUL"),
    ],
)
def test_refused_with_the_offending_part(expression: str, message: str) -> None:
    assert message in complaint(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "(select content from read_text('/etc/passwd'))",
        "n in (select 1 from read_csv_auto('/etc/passwd'))",
        "read_parquet('s3://bucket/key')",
        "glob('/*')",
        "getenv('HOME')",
        "getvariable('x')",
        "current_setting('memory_limit')",
        "current_user()",
        "session_user",
        "current_database()",
        "current_schema()",
        "version()",
        "pg_read_file('/etc/passwd')",
        "duckdb_settings()",
        "exists(select 1 from duckdb_secrets())",
        "(select count(*) from information_schema.tables)",
        "information_schema.tables",
        "sqlite_master.name",
        "input.n",
        "main.input.n",
        "query('select 1')",
        "query_table('input')",
        "nextval('s')",
        "write_log('x')",
        "sleep_ms(1000)",
        "columns('.*')",
        "COLUMNS(*)",
        "unnest([1, 2])",
        "json_serialize_sql('select 1')",
        "json_execute_serialized_sql('x')",
        "copy input to '/tmp/stolen.csv'",
        "attach '/tmp/x.db'",
        "install httpfs",
        "load httpfs",
        "pragma database_list",
        "set memory_limit = '1GB'",
        "export database '/tmp/x'",
        "create table t as select 1",
        "drop table input",
        "call pragma_version()",
        "select * from '/etc/passwd'",
        "from '/etc/passwd'",
        "with t as (select 1) select 1",
        "values (1)",
        "1 = 1 union select 1",
        "n > 1) union all (select 1",
        "n > 1; copy input to '/tmp/stolen.csv'",
        "n > 1 /* */; drop table input",
        "lateral view explode(name)",
        "n > (select max(n) from input)",
        "case when n in (select 1) then 1 end",
        "coalesce((select 1), 2)",
        "name = '\\' or read_text(\\'/etc/passwd\\') --",
        "name = 'a' 'b'",
        "`read_text`('/etc/passwd')",
        "`n\" from read_text('/etc/passwd') --`",
        "main.read_text('/etc/passwd')",
        "ｒead_text('/etc/passwd')",
        "$$text$$",
        "$1",
        "{{ n }}",
        "{{ '{{' }}",
        "{% raw %}",
        "name = E'\\x27'",
        "try(read_text('x'))",
        "array_agg(n)",
        "transform(name, x -> read_text(x))",
        "interval (select 1) day",
        "extract((select 1) from at)",
        "cast((select 1) as int)",
        "cast(n as `x; drop table input`)",
        "a:b",
        "name::regclass",
        "if",
        "parse_json(name):a",
    ],
)
def test_attack_is_refused(expression: str, tmp_path: Path) -> None:
    for run in (
        lambda: filter_rows(TABLE, expression, as_of=AS_OF),
        lambda: select_schema(TABLE.schema, [f"{expression} AS r"], as_of=AS_OF),
    ):
        with pytest.raises(SqlError):
            run()
    assert not Path("/tmp/stolen.csv").exists()


def test_quoted_text_stays_text() -> None:
    hostile = "'; copy input to '/tmp/x'; -- \\' \" ` {{ }} \u202e\U0001f980"
    table = pa.table({hostile: pa.array([1]), "text": pa.array([hostile])})
    quoted = hostile.replace("\\", "\\\\").replace("'", "\\'")
    assert select(table, [f"text = '{quoted}' as same"], as_of=AS_OF).column("same").to_pylist() == [True]
    name = hostile.replace("`", "``")
    assert select(table, [f"`{name}` + 1 as r"], as_of=AS_OF).column("r").to_pylist() == [2]


def test_the_connection_itself_is_locked(tmp_path: Path) -> None:
    """The second line of defence: DuckDB refuses whatever the translation might let through."""
    import duckdb

    from lstm_pipeline.sql import running as sql

    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    local_frame = pa.table({"a": [1]})  # noqa: F841  a variable DuckDB could pick up by its name
    with sql.open_session(TABLE, "UTC", AS_OF) as session:
        for statement in (
            f"SELECT * FROM read_csv('{secret}')",
            f"SELECT * FROM '{secret}'",
            "SELECT * FROM local_frame",
            f"COPY input TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'x.db'}'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET threads = 1",
            "SELECT getenv('HOME')",
        ):
            with pytest.raises(duckdb.Error):
                session.connection.execute(statement).fetchall()


def test_all_mistakes_of_a_select_are_reported_at_once_with_their_places() -> None:
    expressions = ["n", "nn + 1 as a", "n + 1", "x as N", "sum(x) as s", "cast(x as int) as ok"]
    with pytest.raises(SqlError) as caught:
        select_schema(TABLE.schema, expressions, as_of=AS_OF)
    found = [(problem.place, problem.message) for problem in caught.value.problems]
    assert [place for place, _ in found] == ["expressions[1]", "expressions[2]", "expressions[4]", "expressions[3]"]
    assert found[1][1] == "a computed column needs a name; write n + 1 AS some_name"
    assert found[3][1] == "column 'N' is already defined by expressions[0]"
    assert str(caught.value).startswith("expressions[1]: unknown column 'nn'. Did you mean 'n'? Columns: ")


def test_values_that_do_not_fit_name_the_expression() -> None:
    with pytest.raises(SqlError) as caught:
        select(TABLE, ["n", "cast(name as int) as a", "cast(big as int) as b", "cast(x as int) as c"], as_of=AS_OF)
    assert [problem.place for problem in caught.value.problems] == [f"expressions[{index}]" for index in (1, 2, 3)]
    assert 'Could not convert string "north" to DECIMAL' in str(caught.value)
    assert "9007199254740993 can't be cast" in str(caught.value)
    assert "nan can't be cast" in str(caught.value)
    with pytest.raises(SqlError, match=r"^condition: cast\(name as int\) > 1: Could not convert string"):
        filter_rows(TABLE, "cast(name as int) > 1", as_of=AS_OF)


def test_condition_must_be_boolean() -> None:
    with pytest.raises(SqlError, match=r"^condition: n \+ 1 must be true or false \(BOOLEAN\), got BIGINT$"):
        filter_schema(TABLE.schema, "n + 1", as_of=AS_OF)
    with pytest.raises(SqlError, match="this form is not supported"):
        filter_schema(TABLE.schema, "n > 1 as r", as_of=AS_OF)
    with pytest.raises(SqlError, match="is only allowed on its own in a select"):
        filter_schema(TABLE.schema, "*", as_of=AS_OF)


@pytest.mark.parametrize(
    "expression", ["* except (absent)", "* rename (n as m)", "input.*", "* as r", "n as r.s", "n as (a, b)"]
)
def test_odd_star_or_alias(expression: str) -> None:
    with pytest.raises(SqlError):
        select_schema(TABLE.schema, [expression], as_of=AS_OF)


def test_no_expression_no_columns_bad_zone() -> None:
    with pytest.raises(SqlError, match="expected at least one expression"):
        select(TABLE, [], as_of=AS_OF)
    with pytest.raises(DataError, match="expected columns whose names differ in more than case, got"):
        filter_rows(pa.table({}), "1 = 1", as_of=AS_OF)
    with pytest.raises(DataError, match="expected columns whose names differ in more than case, got"):
        filter_rows(pa.table({"a": [1], "A": [1]}), "a = 1", as_of=AS_OF)
    for zone in ("Mars/Olympus", "UTC'; DROP TABLE input; --", "", "../../etc/passwd"):
        with pytest.raises(DataError, match="unknown time zone"):
            filter_rows(TABLE, "n > 1", as_of=AS_OF, timezone=zone)


@pytest.mark.parametrize(
    "expression",
    ["(" * 3000 + "n" + ")" * 3000, " or ".join(["n = 1"] * 3000), "ln(" * 20 + "x" + ")" * 20 + " > 1", "n" * 30_000],
)
def test_huge_expressions_are_refused(expression: str) -> None:
    with pytest.raises(SqlError, match=r"too deeply|at most 20,000"):
        filter_schema(TABLE.schema, expression, as_of=AS_OF)
