"""What becomes of a search: the errors before and after on both held-out parts, and options ready to paste."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lstm_pipeline.forecasting import Dataset
from lstm_pipeline.spec import SHARED_OPTIONS, block_lines
from lstm_pipeline.tuning.scoring import Case, Listeners, mean_error, rolled_errors, trained
from lstm_pipeline.tuning.searching import Outcome
from lstm_pipeline.tuning.space import Value
from lstm_pipeline.wording import counted, number


@dataclass(frozen=True)
class Errors:
    """Scaled rmse by feature in the two held-out parts."""

    validation: Mapping[str, float]
    test: Mapping[str, float]


@dataclass(frozen=True)
class Compared:
    """The spec's own options beside the best ones, each trained once more.

    Attributes:
        before: of the spec's own options.
        after: of the best ones; the same if these are the spec's.
    """

    before: Errors
    after: Errors

    @property
    def change(self) -> tuple[float, float]:
        """By how much the mean error is larger afterwards, as a share, in the validation and in the test part."""
        pairs = ((self.before.validation, self.after.validation), (self.before.test, self.after.test))
        validation, test = (mean_error(after) / mean_error(before) - 1 for before, after in pairs)
        return validation, test

    def verdict(self) -> str:
        """What the test part says about the best options, in a sentence."""
        if self.before == self.after:
            return "The spec's own options were the best: there is nothing to change."
        _, test = self.change
        size = f"{abs(test):.1%}"
        if test < 0:
            return f"On the test part, which no trial has seen, the best options are better by {size}."
        return (
            f"On the test part, which no trial has seen, the best options are NOT better (error {size} larger): keep "
            "the spec's own, or search with more trials or more validation rows."
        )


@dataclass(frozen=True)
class Finding:
    """The outcome of one group's search.

    Attributes:
        group: the group.
        outcome: the trials.
        compared: errors before and after; None if the search was interrupted.
    """

    group: str
    outcome: Outcome
    compared: Compared | None

    @property
    def changes(self) -> Mapping[str, Value]:
        """The options of the best trial that differ from the spec's."""
        return self.outcome.best.changes if self.outcome.best else {}


def compare_on_test(
    case: Case, dataset: Dataset, outcome: Outcome, on_pause: Callable[[], None] | None = None
) -> Compared:
    """Trains the spec's own options and the best ones once more, and scores both on the validation and the test part.

    Args:
        dataset: the data with its test part.
        on_pause: called about once a second; an exception that it raises ends the training.

    Raises:
        DataError: no forecast fits into the test part.
        TrainingError: a loss is not finite.
    """
    whole = replace(case, dataset=dataset)

    def errors(changes: Mapping[str, Value]) -> Errors:
        with tempfile.TemporaryDirectory(prefix="lstm-pipeline-") as folder:
            model = trained(whole, changes, Path(folder), Listeners(on_pause=on_pause))
        return Errors(rolled_errors(whole, model, "validation"), rolled_errors(whole, model, "test"))

    before = errors({})
    changes = outcome.best.changes if outcome.best else {}
    return Compared(before, errors(changes) if changes else before)


def best_yaml(findings: Sequence[Finding]) -> str:
    """The best options of each group as YAML, to be put into the training step."""
    lines = ["# Found by lstm-pipeline tune; put it into the training step."]
    shared: dict[str, Value] = {}
    groups: dict[str, dict[str, Value]] = {}
    for finding in findings:
        lines += [f"# group {finding.group}: {line}" for line in _told(finding)]
        shared |= {name: value for name, value in finding.changes.items() if name in SHARED_OPTIONS}
        own = {name: value for name, value in finding.changes.items() if name not in SHARED_OPTIONS}
        if own:
            groups[finding.group] = own
    for name, value in {**shared, **({"models_config": groups} if groups else {})}.items():
        lines += block_lines(name, value)
    return "\n".join(lines) + "\n"


def _told(finding: Finding) -> list[str]:
    count = counted(len(finding.outcome.tried), "trial")
    if finding.outcome.best is None:
        return [f"nothing was found in {count}"]
    if not finding.changes:
        return [f"the spec's own options are the best of {count}"]
    if finding.compared is None:
        return [f"the best of {count}; its error on the test part was not measured"]
    before, after = finding.compared.before, finding.compared.after
    return [
        f"the best of {count}; scaled rmse from {number(mean_error(before.validation))} to "
        f"{number(mean_error(after.validation))} on the validation part, from {number(mean_error(before.test))} to "
        f"{number(mean_error(after.test))} on the test part"
    ]
