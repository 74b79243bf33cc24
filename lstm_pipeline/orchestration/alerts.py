"""Alerts: what needs attention, posted to the webhook that a spec names. A webhook that does not answer is a warning.

The webhook's address is a secret: nothing in here puts it, or an error message that may quote it, into words.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lstm_pipeline.projects import Project
from lstm_pipeline.wording import sentences

logger = logging.getLogger(__name__)

FAILED_RUN, REFUSED, MISSED, ACCURACY = "failed_run", "refused_candidate", "missed_forecast", "accuracy"
FAILED_CHECK = "failed_check"
"""What is an alert: the words of `automation.alerts.on`."""

TIMEOUT = 5.0
"""Seconds in which a webhook has to answer."""

PAUSES = (0.0, 5.0, 30.0)
"""Seconds before each attempt to post an alert."""

MOST = 20
"""Alerts of one kind that are posted one by one."""


@dataclass(frozen=True)
class Alert:
    """Something that needs attention.

    Attributes:
        kind: which of the five.
        sentence: what happened.
        numbers: the numbers behind it.
        run_id: the run it is about, if it is about one.
    """

    kind: str
    sentence: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None

    def body(self, project: str) -> bytes:
        """What is posted. Chat programs show `text`."""
        data = {
            "project": project,
            "kind": self.kind,
            "sentence": self.sentence,
            "numbers": dict(self.numbers),
            "run_id": self.run_id,
            "text": f"{project}: {self.sentence}",
        }
        return json.dumps(data, default=str).encode()


def tell(project: Project, *alerts: Alert) -> threading.Thread | None:
    """Posts those alerts that the project wants, in a thread of their own: nothing waits for it.

    Returns:
        the thread; None if there is nothing to post, or nowhere to.
    """
    wanted = project.spec.automation.alerts if project.spec.automation else None
    chosen = _bundled([alert for alert in alerts if wanted is not None and alert.kind in wanted.on])
    if wanted is None or not chosen:
        return None
    try:
        url = wanted.url()
    except KeyError as error:
        logger.warning("%s: no alert was posted: the environment variable %s is not set", project.name, error.args[0])
        return None
    if url is None:
        return None
    thread = threading.Thread(
        target=_post_all, args=(project.name, url, chosen), name=f"alerts of {project.name}", daemon=True
    )
    thread.start()
    return thread


def _bundled(alerts: Sequence[Alert]) -> list[Alert]:
    """The alerts; of more than `MOST` of a kind, as of a thousand groups, one that counts them and quotes the first."""
    kinds: dict[str, list[Alert]] = {}
    for alert in alerts:
        kinds.setdefault(alert.kind, []).append(alert)
    made: list[Alert] = []
    for kind, own in kinds.items():
        if len(own) <= MOST:
            made += own
        else:
            numbers = {"alerts": len(own), "first": [dict(alert.numbers) for alert in own[:MOST]]}
            made.append(Alert(kind, sentences([alert.sentence for alert in own]), numbers))
    return made


def _post_all(project: str, url: str, alerts: Sequence[Alert]) -> None:
    for alert in alerts:
        problem: str | None = None
        for pause in PAUSES:
            time.sleep(pause)
            problem = _post(url, alert.body(project))
            if problem is None:
                break
        if problem is not None:
            logger.warning(
                "%s: the alert '%s' was not posted: the webhook (automation.alerts.webhook) %s; it was: %s",
                project,
                alert.kind,
                problem,
                alert.sentence,
            )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: it could lead to another scheme, or send the alert to somebody else."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _post(url: str, body: bytes) -> str | None:
    """Posts one alert. What went wrong, in words without the address; None if the webhook took it."""
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT):
            return None
    except urllib.error.HTTPError as error:
        return f"answered {error.code}"
    except Exception as error:  # its text may quote the address, and a thread's traceback would show it
        return _in_words(error)


def _in_words(error: BaseException) -> str:
    """Why a webhook cannot be reached, in words of our own."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"did not answer within {TIMEOUT:g} s"
    if isinstance(reason, socket.gaierror):
        return "cannot be reached (its name is not known)"
    return f"cannot be reached ({type(reason).__name__})"
