"""Rules about column names, which are the same for CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_pipeline.errors import DataError
from lstm_pipeline.tables.files import base
from lstm_pipeline.wording import listed


def check_names(names: Sequence[str], path: str) -> None:
    """Every column has a name, and no two differ only in case: to Spark and DuckDB `Date` and `date` are the same.

    Raises:
        DataError: a name is empty or appears twice.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise DataError(
                f"{path}: column {len(seen) + 1} has no name; if it is a pandas index, write the file with index=False"
            )
        if name.lower() in seen:
            first = seen[name.lower()]
            raise DataError(
                f"{path}: column name {name!r} appears twice (first as {first!r}; case is ignored); rename one"
            )
        seen[name.lower()] = name


def check_same_columns(first: Sequence[str], names: Sequence[str], first_path: str, path: str) -> None:
    """All files of a set have the same columns, in any order.

    Raises:
        DataError: a column is missing or unexpected.
    """
    missing, extra = sorted(set(first) - set(names)), sorted(set(names) - set(first))
    if missing or extra:
        parts = [f"missing: {listed(missing)}"] * bool(missing) + [f"unexpected: {listed(extra)}"] * bool(extra)
        raise DataError(f"{path}: expected the same columns as in {base(first_path)}; {'; '.join(parts)}")
