"""Values of `automation` that would have no effect: whoever wrote them expects one."""

from __future__ import annotations

from collections.abc import Iterator

from lstm_pipeline.spec.automation import Alerts, Automation, Promote, Retrain
from lstm_pipeline.spec.documents import Loc

Finding = tuple[Loc, str]

_REASONS = ("new_data", "changed_options", "accuracy", "drift", "max_age")


def check_effects(automation: Automation) -> Iterator[Finding]:
    """Yields every value that would have no effect because of another one, with its place."""
    for key in ("train", "predict"):
        crons = getattr(automation, key)
        for index, cron in enumerate(crons):
            if cron in crons[:index]:
                yield ("automation", key, index), f"'{cron}' is listed twice; list it once"
    yield from _of_promotion(automation.promote)
    if automation.retrain is not None:
        yield from _of_retraining(automation.retrain)
    if automation.alerts is not None:
        yield from _of_alerts(automation.alerts, automation)


def _of_promotion(promote: Promote) -> Iterator[Finding]:
    place = ("automation", "promote")
    if "tolerance" in promote.model_fields_set and promote.rule != "if_not_worse_than":
        yield (
            (*place, "tolerance"),
            f"has no effect with the rule {promote.rule}, found {promote.tolerance:g}; remove it, or use the rule "
            "if_not_worse_than",
        )
    if "when_unknown" in promote.model_fields_set and promote.rule == "always":
        yield (
            (*place, "when_unknown"),
            f"has no effect with the rule always, which compares nothing, found '{promote.when_unknown}'; remove it, "
            "or use the rule if_better or if_not_worse_than",
        )


def _of_retraining(retrain: Retrain) -> Iterator[Finding]:
    place = ("automation", "retrain")
    asked = [key for key in _REASONS if getattr(retrain, key)]
    if not asked:
        reasons = ", ".join(_REASONS)
        yield place, f"expected at least one reason to retrain ({reasons}), found none; add one, or remove the key"
    elif asked == ["drift"] and retrain.drift and not retrain.drift.retrain and "cooldown" in retrain.model_fields_set:
        yield (
            (*place, "cooldown"),
            "has no effect, as drift only warns and no other reason is given; remove it, add another reason, or set "
            "drift.retrain: true",
        )


def _of_alerts(alerts: Alerts, automation: Automation) -> Iterator[Finding]:
    """What would never be told. Only what is written is judged: by default everything is an alert that can be one."""
    if "on" not in alerts.model_fields_set:
        return
    never = {
        "accuracy": not (automation.retrain and automation.retrain.accuracy) and "without automation.retrain.accuracy",
        "missed_forecast": not automation.predict and "without automation.predict",
        "refused_candidate": automation.promote.rule == "always" and "with the promotion rule always",
    }
    for index, kind in enumerate(alerts.on):
        place = ("automation", "alerts", "on", index)
        if kind in alerts.on[:index]:
            yield place, f"'{kind}' is listed twice; list it once"
        elif why := never.get(kind):
            yield place, f"'{kind}' would never be told {why}; add that, or remove the word"
