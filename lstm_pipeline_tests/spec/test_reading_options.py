"""The reading options of an input: what they accept, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.spec.documents import Document
from lstm_pipeline.spec.loading import check_document
from lstm_pipeline.spec.project import ProjectSpec
from lstm_pipeline.spec.reading import ReadingOptions
from lstm_pipeline_tests.spec.example import complaints, spec_data

INPUT = "model_metadata.inputs.input_features"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("missing_values", ["?", ".", -200, 1.5]), ("decimal", ","), ("thousands", " "), ("delimiter", ";"),
        ("delimiter", "\t"), ("encoding", "latin-1"), ("encoding", "UTF-16"), ("timestamp_format", "dd/MM/yy HH:mm"),
        ("pivot", {"entity": "well", "values": ["oil", "gas"]}),
        ("timestamps", {"start": "2017-01-01", "frequency": "10min"}),
        ("timestamps", {"start": "2017-01-01 06:30:00", "frequency": "h"}),
    ],
)  # fmt: skip
def test_a_reading_option(key: str, value: Any) -> None:
    spec = check_document(Document("spec.yaml", spec_data((f"{INPUT}.{key}", value))), Path("/specs")).spec
    assert getattr(spec.model_metadata.inputs["input_features"], key) is not None


def test_a_tab_may_be_written_as_two_characters() -> None:
    assert ReadingOptions(delimiter="\\t").delimiter == ReadingOptions(delimiter="tab").delimiter == "\t"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("missing_values", "?", "expected a list, found '?'"),
        ("missing_values", [True], "expected text (put it in quotes), a whole number or a number, found true"),
        ("missing_values", [float("nan")], "finite number"),
        ("decimal", ",,", "expected one character that is neither a letter, a digit, a sign nor a quote, found ',,'"),
        ("decimal", "5", "expected one character"),
        ("thousands", "-", "expected one character"),
        ("thousands", ".", "expected decimal and thousands to be different marks, both are '.'"),
        ("delimiter", "", "expected one character that is neither a letter, a digit, a quote nor a line end, found ''"),
        ("delimiter", '"', "expected one character"),
        ("encoding", "klingon", "expected a text encoding that Python knows, e.g. utf-8, utf-16, latin-1 or cp1252"),
        ("encoding", "base64", "expected a text encoding"),
        ("timestamp_format", "%d/%m/%Y", "expected a date format with a year, e.g. dd/MM/yyyy HH:mm"),
        ("timestamp_format", "dd/MM/YYYY", "unknown pattern 'YYYY'; known patterns: yyyy, yy, MM"),
        ("timestamp_format", "HH:mm", "expected a date format with a year"),
        ("pivot", {"entity": "well"}, "values: required, but missing"),
        ("pivot", {"entity": "well", "values": []}, "expected at least one entry"),
        ("pivot", {"entity": "well", "values": ["Well"]}, "expected entity and values to name different columns"),
        ("timestamps", {"start": "1.1.2017", "frequency": "D"}, "expected a date or a time such as 2017-01-01"),
        ("timestamps", {"start": "2017-01-01"}, "frequency: required, but missing"),
        ("decimals", ",", "unknown key. Did you mean 'decimal'?"),
    ],
)  # fmt: skip
def test_a_wrong_reading_option(key: str, value: Any, said: str) -> None:
    found = complaints(spec_data((f"{INPUT}.{key}", value)))
    assert len(found) == 1
    assert said in found[0]


def test_pivot_and_timestamps_exclude_each_other() -> None:
    both = spec_data(
        (f"{INPUT}.pivot", {"entity": "a", "values": ["b"]}),
        (f"{INPUT}.timestamps", {"start": "2017-01-01", "frequency": "D"}),
    )
    assert "expected pivot or timestamps, not both" in complaints(both)[0]


def test_the_options_are_in_the_schema() -> None:
    definitions = ProjectSpec.model_json_schema()["$defs"]
    for name in ("FileInput", "DataProductInput"):
        properties = definitions[name]["properties"]
        assert set(ReadingOptions.model_fields) < set(properties)
        assert all(len(properties[key]["description"]) > 20 for key in ReadingOptions.model_fields)
