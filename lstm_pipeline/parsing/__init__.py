"""Parsing: what text and numbers in files mean, and what a person writes where they do not tell.

Here live recognising timestamps in text and in numbers, numbers in other notations, words that stand for missing
values, and the line of a spec that mends a column. Finding and reading files is the subject of `tables`. DuckDB has a
home here, for its parser of dates.
"""

from lstm_pipeline.parsing.numbers import NULLS, text_numbers, typed, without_missing
from lstm_pipeline.parsing.remedies import remedy
from lstm_pipeline.parsing.stamps import (
    are_midnights,
    converted_wrongly,
    counted_in_words,
    in_time_order,
    own_zone,
    repeats,
    stamp_problem,
    time_order,
)
from lstm_pipeline.parsing.timestamps import is_text, plain_type, with_dates, with_timestamps

__all__ = [
    "NULLS",
    "are_midnights",
    "converted_wrongly",
    "counted_in_words",
    "in_time_order",
    "is_text",
    "own_zone",
    "plain_type",
    "remedy",
    "repeats",
    "stamp_problem",
    "text_numbers",
    "time_order",
    "typed",
    "with_dates",
    "with_timestamps",
    "without_missing",
]
