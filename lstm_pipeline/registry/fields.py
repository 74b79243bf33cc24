"""What all records are made of: their base and the types of their fields."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, NaiveDatetime

from lstm_pipeline.registry.sharing import shared

Metrics = dict[str, float | None]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Step = Annotated[NaiveDatetime, BeforeValidator(lambda value: _parsed(value))]
"""A time on the step clock, which has no time zone; text in JSON."""
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Names = Annotated[list[str], AfterValidator(shared)]
Count = Annotated[int, Field(ge=1, le=10**9)]


def instant(text: str) -> dt.datetime:
    """A recorded time; in UTC if it names no time zone.

    Raises:
        ValueError: it is not one.
    """
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected a time such as 2026-01-31T12:00:00+00:00, found '{text}'") from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _parsed(value: Any) -> Any:
    """Text as a time: strict validation, which records are read with, takes none for one."""
    return dt.datetime.fromisoformat(value) if isinstance(value, str) else value


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    def to_json(self) -> dict[str, Any]:
        """As values that JSON can represent."""
        return self.model_dump(mode="json")


class FileDigest(Record):
    """A stored file's expected size and checksum."""

    path: str
    size: int = Field(ge=0)
    sha256: Sha256


class PackedFile(FileDigest):
    """A compressed file.

    Attributes:
        unpacked: the size of its content; None in versions of earlier releases.
    """

    unpacked: int | None = Field(default=None, ge=0)
