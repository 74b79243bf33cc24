"""What the terminal shows of hundreds of groups and features: the worst of them, and how many there are."""

from __future__ import annotations

import datetime as dt
import io

from rich.console import Console
from rich.table import Table

from lstm_pipeline.backtesting import VersionScore
from lstm_pipeline.monitoring import Status
from lstm_pipeline.network.training import EpochReport
from lstm_pipeline.registry import Decision
from lstm_pipeline.reporting import versions
from lstm_pipeline.reporting.status import status_views
from lstm_pipeline.reporting.terminal import SHOWN_BARS, SHOWN_ROWS, TrainingBars, _worst, decisions_table


def test_features_with_the_lowest_skill_are_shown() -> None:
    features = {f"f{number}": {"skill": -float(number)} for number in range(100)} | {"unknown": {"skill": None}}
    shown, more = _worst(features)
    assert shown == [f"f{number}" for number in range(99, 99 - SHOWN_ROWS, -1)]
    assert more == ": the 40 with the lowest skill of 101 features"
    few = {name: features[name] for name in ("f1", "unknown", "f2")}
    assert _worst(few) == (["f1", "unknown", "f2"], "")


def test_of_many_groups_those_that_train_now_have_bars() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    groups = [f"g{number}" for number in range(SHOWN_ROWS + 1)]
    bars = TrainingBars(console, groups, epochs=3)
    report = EpochReport(epoch=1, epochs=3, loss=1.0, val_loss=1.0, learning_rate=0.1, seconds=0.1, improved=True)
    for group in groups[: SHOWN_BARS + 2]:
        bars.on_epoch(None, group, report)
    bars.on_epoch(None, groups[2], report)
    visible = [task.description for task in bars._progress.tasks if task.visible]
    assert visible == ["groups begun", *groups[2 : SHOWN_BARS + 2]]
    assert bars._progress.tasks[0].completed == SHOWN_BARS + 2
    few = TrainingBars(console, groups[:3], epochs=3)
    assert [task.description for task in few._progress.tasks if task.visible] == groups[:3]


def test_of_many_decisions_the_first_are_shown_and_the_others_counted() -> None:
    made = [
        Decision(group=f"g{n}", run_id="r", promoted=False, rule="always", reason="none") for n in range(SHOWN_ROWS + 5)
    ]
    view = decisions_table(made)
    assert view.row_count == SHOWN_ROWS + 1
    assert [*view.columns[0].cells][-1] == "… 5 more"


def test_of_many_scores_those_that_differ_most_are_shown_with_their_groups() -> None:
    def score(group: str | None, feature: str | None, relative: float | None) -> VersionScore:
        return VersionScore(group, feature, 9, {}, {}, relative, (), None, None, None, same=False)

    scores = [score(None, None, 1.0)]
    for number in range(60):
        relative = 1.0 + (number - 30) / 100  # 0.70 to 1.29: the ends differ most
        scores += [score(f"g{number}", None, 9.0), score(f"g{number}", f"f{number}", relative)]
    scores[2] = score("g0", "f0", None)
    shown = versions._shown(scores)
    assert (shown[0].group, shown[0].feature) == (None, None)
    features = [each.feature for each in shown if each.feature]
    assert features == [f"f{number}" for number in (*range(1, 21), *range(40, 60))]
    assert [each.group for each in shown if not each.feature] == [None, *(f"g{name[1:]}" for name in features if name)]
    assert versions._shown(scores[:100]) == scores[:100]
    table = Table("a", "b")
    versions._add_rest(table, len(scores) - len(shown))
    assert [*table.columns[0].cells] == ["… 40 more"]
    versions._add_rest(table, 0)
    assert table.row_count == 1


def test_a_status_of_a_thousand_groups_fits_on_a_screen_and_hides_nothing_else() -> None:
    groups = [f"unit_{number:04}" for number in range(1000)]
    sentences = tuple(f"the new model of {group} was refused: it is worse" for group in groups)
    late = "the forecast due at 2024-05-10 06:15 (UTC) has not been made"
    status = Status(
        "plant",
        dt.datetime(2024, 5, 10, tzinfo=dt.UTC),
        "UTC",
        attention=(*sentences, late),
        groups=dict.fromkeys(groups, ("a",)),
    )
    console = Console(file=io.StringIO(), width=100)
    for view in status_views(status):
        console.print(view)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1,000, 1,000 without a reason to retrain" in text
    assert "unit_0000 was refused" in text
    assert "… 995 more like these" in text
    assert "has not been made" in text
    assert len(text.splitlines()) < 40
    assert len(status.to_json()["attention"]) == 1001
