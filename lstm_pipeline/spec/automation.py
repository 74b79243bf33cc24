"""What runs by itself: schedules, reasons to retrain, the rule of promotion, and alerts (`automation`)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from lstm_pipeline.spec.durations import Duration
from lstm_pipeline.spec.messages import SECRET
from lstm_pipeline.spec.model_options import Count, SpecModel
from lstm_pipeline.spec.settings import expand
from lstm_pipeline.wording import listed

Alert = Literal["failed_run", "refused_candidate", "missed_forecast", "accuracy", "failed_check"]

_SHORTEST_CHECK = timedelta(seconds=30)
"""Dagster's daemon looks at sensors every 30 seconds."""


_NAMES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
"""Schedules that have a name."""


def timezone_name(name: str) -> str:
    """Checks that a time zone exists.

    Raises:
        ValueError: it does not.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("expected an IANA time zone such as 'UTC' or 'Europe/Berlin'") from None
    return name


def _cron(text: str) -> str:
    """Checks a schedule by the rules of Dagster: five fields, or a name such as @daily, and it must come to pass."""
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]

    fields = text.split()
    if text.startswith("@") and text.lower() not in _NAMES:
        raise ValueError(f"expected a cron schedule, e.g. '0 3 * * 0', or one of {listed(_NAMES, 10)}")
    if len(fields) != 5 and not text.startswith("@"):
        raise ValueError("expected a cron schedule of five fields (minute hour day month weekday), e.g. '0 3 * * 0'")
    if len(fields) == 5 and any(re.match(r"[RH]\b", field, re.IGNORECASE) for field in fields):
        raise ValueError("expected a cron schedule whose times are fixed, without H and R")
    try:
        croniter(text).get_next()
    except CroniterError as error:
        raise ValueError(f"expected a cron schedule, e.g. '0 3 * * 0' ({_reason(error, text)})") from None
    return text


def _reason(error: Exception, text: str) -> str:
    """Why croniter does not take a schedule, without the schedule itself, which the message names anyway."""
    reason = str(error).replace(f"[{text}]", "it").strip()
    if "failed to find" in reason:
        return "this never happens"
    return "a field is out of range" if "out of range" in reason else reason


def _as_list(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise ValueError("expected a cron schedule in quotes, e.g. '0 3 * * 0', or a list of them")
    if value == []:
        raise ValueError("expected at least one cron schedule (remove the key to run nothing by the clock)")
    return [value] if isinstance(value, str) else value


def _share(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError("expected a share above 0 and at most 1 (0.05 is 5 %; rows takes a number of rows)")
    return value


def _often(every: timedelta) -> timedelta:
    if every < _SHORTEST_CHECK:
        raise ValueError("expected at least 30s: Dagster evaluates sensors no more often")
    return every


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # its port is no number, or its address is no IPv6 address
        return False


def _webhook(text: str) -> str:
    try:
        url = expand(text)
    except KeyError as error:
        name = error.args[0]
        raise ValueError(
            f"the environment variable {name} is not set; set it, or write ${{{name}:-}} for no alerts without it"
        ) from None
    if url and not _is_web_address(url):
        raise PydanticCustomError(SECRET, "expected a URL that begins with https:// or http:// (it is not shown here)")
    return text


Schedule = Annotated[str, AfterValidator(_cron)]
Schedules = Annotated[list[Schedule], BeforeValidator(_as_list)]
Above1 = Annotated[float, Field(gt=1, allow_inf_nan=False)]


class NewData(SpecModel):
    """How much the input has to grow since the model in use was trained: exactly one of the three."""

    rows: Count | None = Field(None, description="number of new rows; at least 1")
    steps: Count | None = Field(None, description="time steps from the newest row then to the newest now; at least 1")
    share: Annotated[float, AfterValidator(_share)] | None = Field(
        None, description="new rows as a share of the rows then, e.g. 0.05 for 5 %; above 0 and at most 1"
    )

    @model_validator(mode="after")
    def _check_one(self) -> NewData:
        given = [name for name in ("rows", "steps", "share") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("expected exactly one of rows, steps and share")
        return self


class AccuracyRule(SpecModel):
    """When forecasts that have come true are too bad."""

    factor: Above1 = Field(
        1.5, description="live error of a feature divided by its error on the test part that is too much; above 1"
    )
    forecasts: Count = Field(20, description="how many of the latest forecasts count; at least 1")


class DriftRule(SpecModel):
    """When the recent input has moved away from the training rows."""

    score: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        0.3, description="drift score of a feature that is too much; above 0"
    )
    rows: Annotated[int, Field(ge=10)] = Field(
        200, description="how many of the newest rows are looked at; at least 10"
    )
    retrain: bool = Field(False, description="whether drift is a reason to retrain; false: it is only a warning")


class Retrain(SpecModel):
    """Reasons to retrain a group. One that is left out is not looked at."""

    check_every: Annotated[
        Duration, AfterValidator(_often), Field(description="how often the reasons are looked at; at least 30s")
    ] = timedelta(minutes=5)
    new_data: NewData | None = Field(None, description="enough new data")
    changed_options: bool = Field(
        False, description="whether a group whose options or features were changed in the spec is retrained"
    )
    accuracy: AccuracyRule | None = Field(None, description="forecasts that came true were worse than on the test part")
    drift: DriftRule | None = Field(None, description="the input has moved away from the training rows")
    max_age: Duration | None = Field(None, description="age of a model at which it is retrained, e.g. 90d")
    cooldown: Annotated[
        Duration, Field(description="time in which a group is retrained automatically at most once")
    ] = timedelta(days=1)


class Promote(SpecModel):
    """Which freshly trained models replace the ones in use."""

    rule: Literal["always", "if_better", "if_not_worse_than"] = Field(
        "if_not_worse_than", description="how the new model must compare with the one in use on rows neither has seen"
    )
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.02, description="for if_not_worse_than: share by which the new error may be larger; at least 0"
    )
    when_unknown: Literal["promote", "refuse"] = Field(
        "promote", description="what happens where too few rows are left to compare on"
    )


class Alerts(SpecModel):
    """Who is told, and of what."""

    webhook: Annotated[str, AfterValidator(_webhook)] = Field(
        description="URL that alerts are posted to as JSON; ${NAME} and ${NAME:-default} are environment variables; "
        "empty: no alerts"
    )
    on: list[Alert] = Field([*get_args(Alert)], min_length=1, description="what is an alert")

    @model_validator(mode="before")
    @classmethod
    def _read_on(cls, data: Any) -> Any:
        """In YAML 1.1, which Dagster reads `defs.yaml` with, the key `on` means true."""
        return {"on" if key is True else key: value for key, value in data.items()} if isinstance(data, dict) else data

    def url(self) -> str | None:
        """The webhook's URL, which is a secret; None if it is empty.

        Raises:
            KeyError: a variable without a default is no longer set.
        """
        return expand(self.webhook) or None


class Automation(SpecModel):
    """What runs by itself. Whatever is left out does not run."""

    timezone: Annotated[str, AfterValidator(timezone_name)] | None = Field(
        None, description="IANA time zone of the schedules; null: the project's"
    )
    train: Schedules = Field([], description="when to train, publish and forecast: a cron schedule, or a list of them")
    predict: Schedules = Field([], description="when to forecast: a cron schedule, or a list of them")
    retrain: Retrain | None = Field(None, description="reasons to retrain between the schedules")
    promote: Promote = Field(Promote(), description="which freshly trained models replace the ones in use")
    alerts: Alerts | None = Field(None, description="where to post what needs attention")


_TAG_KEY = r"([A-Za-z0-9_.\-]{1,63}/)?[A-Za-z0-9_.\-]{1,63}"
_TAG_VALUE = r"[A-Za-z0-9_.\-]{0,63}"


def _owner(text: str) -> str:
    if not re.fullmatch(r"team:[A-Za-z0-9_]+|[^@\s]+@[^@\s]+\.[^@\s.]+", text):
        raise ValueError("expected an e-mail address, or a team written as team:name (letters, digits and '_')")
    return text


def _tag_key(text: str) -> str:
    if not re.fullmatch(_TAG_KEY, text) or text.startswith(("dagster/", "lstm_pipeline/")):
        raise ValueError(
            "expected up to 63 letters, digits, '_', '-' and '.', perhaps after a prefix with '/' other than dagster/ "
            "and lstm_pipeline/"
        )
    return text


def _tag_value(text: str) -> str:
    if not re.fullmatch(_TAG_VALUE, text):
        raise ValueError("expected at most 63 letters, digits, '_', '-' and '.'")
    return text


Owner = Annotated[str, AfterValidator(_owner)]
TagKey = Annotated[str, AfterValidator(_tag_key)]
TagValue = Annotated[str, AfterValidator(_tag_value)]
