"""How an input is read: what its text means, and the shape that its rows have."""

from __future__ import annotations

import codecs
import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from lstm_pipeline.spec.date_formats import strptime_format
from lstm_pipeline.spec.model_options import SpecModel

MAX_ENTITY_COLUMNS = 2_000
"""More columns than this are never made from a long table: an identifier of rows was taken for an entity."""

_WRITTEN = {r"\t": "\t", "tab": "\t"}


def _one_character(text: str) -> str:
    character = _WRITTEN.get(text, text)
    if len(character) != 1 or character in '\r\n"' or character.isalnum():
        raise ValueError("expected one character that is neither a letter, a digit, a quote nor a line end")
    return character


def _mark(text: str) -> str:
    if len(text) != 1 or text.isalnum() or text in '+-\r\n\t"':
        raise ValueError("expected one character that is neither a letter, a digit, a sign nor a quote")
    return text


def _encoding(name: str) -> str:
    try:
        info = codecs.lookup(name)
        "date".encode(name)
    except (LookupError, UnicodeError, ValueError, TypeError):
        raise ValueError("expected a text encoding that Python knows, e.g. utf-8, utf-16, latin-1 or cp1252") from None
    return info.name


def _date_format(pattern: str) -> str:
    if "%" in pattern:
        raise ValueError("expected a date format with a year, e.g. dd/MM/yyyy HH:mm, in Spark's letters")
    strptime_format(pattern)
    if not re.search("y", re.sub("'[^']*'", "", pattern)):
        raise ValueError("expected a date format with a year, e.g. dd/MM/yyyy HH:mm")
    return pattern


def _start(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?", text):
        raise ValueError("expected a date or a time such as 2017-01-01 or 2017-01-01 06:30")
    return text


class Pivot(SpecModel):
    """A long table, one row per timestamp and entity, becomes one row per timestamp."""

    entity: str = Field(min_length=1, description="column that says which entity a row belongs to, e.g. well")
    values: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1,
        description="columns with the entities' values; each becomes one column per entity, <value>_<entity>",
    )

    @model_validator(mode="after")
    def _different(self) -> Pivot:
        names = [name.lower() for name in (self.entity, *self.values)]
        if len(set(names)) < len(names):
            raise ValueError("expected entity and values to name different columns, each once")
        return self


class GivenTimestamps(SpecModel):
    """Timestamps for a file that has none: its rows follow each other in equal steps."""

    start: Annotated[str, AfterValidator(_start)] = Field(
        description="timestamp of the first row on the wall clock of the spec's timezone, e.g. 2017-01-01 or "
        "2017-01-01 06:30"
    )
    frequency: str = Field(min_length=1, description="time between rows as a pandas offset, e.g. 10min, h, D or MS")


class ReadingOptions(SpecModel):
    """How an input is read. Everything that is left out is found in the file."""

    missing_values: list[str | int | Annotated[float, Field(allow_inf_nan=False)]] = Field(
        [], description="words and numbers that mean a missing value, e.g. ['?', '.', -200]; for CSV and Parquet"
    )
    decimal: Annotated[str, AfterValidator(_mark)] | None = Field(
        None, description="the decimal mark of numbers in CSV, one character, e.g. ','; null: a point"
    )
    thousands: Annotated[str, AfterValidator(_mark)] | None = Field(
        None, description="the mark between groups of three digits in CSV, one character, e.g. ','; null: none"
    )
    delimiter: Annotated[str, AfterValidator(_one_character)] | None = Field(
        None, description="the character between the values of a CSV file; null: one of , ; tab | as in the first line"
    )
    encoding: Annotated[str, AfterValidator(_encoding)] | None = Field(
        None, description="encoding of a CSV file's text, e.g. latin-1, cp1252 or utf-16; null: UTF-8, or its byte mark"
    )
    timestamp_format: Annotated[str, AfterValidator(_date_format)] | None = Field(
        None,
        description="how the timestamp column is written if it is text, in Spark's patterns, e.g. dd/MM/yyyy HH:mm; "
        "null: found in the values",
    )
    pivot: Pivot | None = Field(
        None, description="how a long table becomes one column per value and entity; null: the table stays as it is"
    )
    timestamps: GivenTimestamps | None = Field(
        None, description="timestamps of a file without a date: start and frequency; null: the file has them"
    )

    @property
    def text_only(self) -> tuple[str, ...]:
        """The options that are set and mean something only for CSV."""
        return tuple(name for name in ("decimal", "thousands", "delimiter", "encoding") if getattr(self, name))

    @model_validator(mode="after")
    def _marks_differ(self) -> ReadingOptions:
        marks = {"decimal": self.decimal or ".", "thousands": self.thousands}
        if marks["decimal"] == marks["thousands"]:
            raise ValueError(f"expected decimal and thousands to be different marks, both are {self.thousands!r}")
        if self.pivot and self.timestamps:
            raise ValueError("expected pivot or timestamps, not both: a long table repeats its timestamps")
        return self


DEFAULT_READING = ReadingOptions()
