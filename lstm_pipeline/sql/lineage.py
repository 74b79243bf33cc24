"""Which columns of its input each column of a chain's result is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlglot import exp

from lstm_pipeline.spec import SelectStep, SqlStep
from lstm_pipeline.sql.spark_expressions import MistakeError, parse


def lineage(columns: Iterable[str], steps: Sequence[SqlStep]) -> dict[str, tuple[str, ...]]:
    """The columns of a chain's input that each column of its result is computed from.

    A filter decides which rows there are; the columns in its condition are not counted as sources of the others.

    Args:
        columns: the columns of the result. Those of the input need not be known: `*` stands for whatever it lets
            through, so each column is traced back from the last step to the first.
        steps: a chain that has run without an error, in its order.

    Returns:
        column → columns of the input, in the order in which the expressions name them; none for a constant. Their
        letters' case is that of the expression, unless a column of the result is spelt otherwise.
    """
    names = tuple(columns)
    traced: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    for step in reversed(steps):
        if isinstance(step, SelectStep):
            defined = _defined(step)
            traced = {name: _before(sources, defined) for name, sources in traced.items()}
    spelling = {name.lower(): name for name in names}
    return {name: _unique(spelling.get(one.lower(), one) for one in sources) for name, sources in traced.items()}


def computed(steps: Sequence[SqlStep]) -> frozenset[str]:
    """The columns, in small letters, that a step of a chain computes rather than copies or renames."""
    parts = [part for step in steps if isinstance(step, SelectStep) for part in _parts(step)]
    return frozenset(name.lower() for name, value in parts if not isinstance(value, exp.Column))


def _before(sources: Sequence[str], defined: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The columns before a step that these columns after it are computed from."""
    return _unique(source for name in sources for source in defined.get(name.lower(), (name,)))


def _defined(step: SelectStep) -> dict[str, tuple[str, ...]]:
    """The columns that a step computes, in small letters → the columns they are computed from."""
    return {
        name.lower(): _unique(column.name for column in value.find_all(exp.Column, bfs=False))
        for name, value in _parts(step)
    }


def _parts(step: SelectStep) -> Iterator[tuple[str, exp.Expr]]:
    """(Column, the expression that it is computed by), without the columns that `*` lets through."""
    for text in step.expressions:
        try:
            tree = parse(text)
        except (MistakeError, RecursionError):
            continue  # running the step reports what is wrong
        for part in tree.args.get("replace") or [] if isinstance(tree, exp.Star) else [tree]:
            yield (part.alias, part.this) if isinstance(part, exp.Alias) else (part.name, part)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names without those that differ from an earlier one only in case."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return tuple(found.values())
