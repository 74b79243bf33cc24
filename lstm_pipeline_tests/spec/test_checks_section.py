"""The section `checks`: its defaults, its short form, and what is told about mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_pipeline.errors import SpecError
from lstm_pipeline.spec.checks_section import Checks, CoverageRule, GapsRule
from lstm_pipeline.spec.documents import Document
from lstm_pipeline.spec.loading import check_document, load_spec
from lstm_pipeline.spec.project import ProjectSpec
from lstm_pipeline_tests.spec.example import spec_data

NAMES = [
    "schema", "freshness", "gaps", "constant_columns", "forecast_finite", "forecast_within_history", "skill",
    "coverage", "expected_origin",
]  # fmt: skip


def checks_of(section: Any) -> Checks:
    return check_document(Document("plant.yaml", {**spec_data(), "checks": section}), Path.cwd()).spec.checks


def test_all_checks_are_made_and_only_two_failures_are_errors() -> None:
    rules = check_document(Document("plant.yaml", spec_data()), Path.cwd()).spec.checks.rules
    assert list(rules) == NAMES
    assert {name for name, rule in rules.items() if rule.severity == "error"} == {"schema", "forecast_finite"}
    assert {rule.severity for rule in rules.values()} == {"warn", "error"}


def test_a_severity_alone_keeps_the_default_threshold_and_a_threshold_alone_the_severity() -> None:
    checks = checks_of({"gaps": "error", "coverage": {"tolerance": 0.2}, "skill": False, "schema": {}})
    assert checks.gaps == GapsRule(severity="error", share=0.1)
    assert checks.coverage == CoverageRule(severity="warn", tolerance=0.2)
    assert checks.skill.severity == "off"  # YAML 1.1 reads off as false
    assert checks.rules["schema"].severity == "error"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"gap": "warn"}, "checks.gap: unknown key. Did you mean 'gaps'?"),
        ({"schem": "warn"}, "checks.schem: unknown key. Did you mean 'schema'?"),
        ({"gaps": "wran"}, "checks.gaps: expected 'off', 'warn' or 'error', found 'wran'. Did you mean 'warn'?"),
        ({"gaps": True}, "checks.gaps: expected 'off', 'warn' or 'error', found true"),
        ({"gaps": 0.1}, "checks.gaps: expected 'off', 'warn' or 'error', found 0.1"),
        ({"gaps": {"shares": 0.2}}, "checks.gaps.shares: unknown key. Did you mean 'share'?"),
        ({"schema": {"severty": "warn"}}, "checks.schema.severty: unknown key. Did you mean 'severity'?"),
        ({"gaps": {"share": 1.0}}, "checks.gaps.share: expected less than 1, found 1.0"),
        ({"freshness": {"steps": -1}}, "checks.freshness.steps: expected at least 0, found -1"),
        ({"freshness": {"steps": 1.5}}, "checks.freshness.steps: expected a whole number"),
        ({"skill": {"above": 1}}, "checks.skill.above: expected less than 1, found 1"),
        ({"coverage": {"tolerance": 2}}, "checks.coverage.tolerance: expected at most 1, found 2"),
        (["gaps"], "checks: expected a mapping of keys to values, found a list of 1 item"),
    ],
)
def test_each_mistake_is_told_at_its_place(section: Any, message: str) -> None:
    with pytest.raises(SpecError) as error:
        checks_of(section)
    (problem,) = error.value.problems
    assert str(problem).startswith(message)


def test_a_file_says_off_without_quotes_and_mistakes_have_their_line(tmp_path: Path) -> None:
    path, text = tmp_path / "plant.yaml", yaml.safe_dump(spec_data(), sort_keys=False)
    path.write_text(text + "checks:\n  gaps: off\n  skill: {severity: error, above: 0.1}\n")
    checks = load_spec(path).spec.checks
    assert (checks.gaps.severity, checks.skill.severity, checks.skill.above) == ("off", "error", 0.1)
    path.write_text(text + "checks:\n  gaps: off\n  skil: warn\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(SpecError, match=rf"line {line}.*Did you mean 'skill'"):
        load_spec(path)


def test_the_schema_for_editors_knows_both_forms() -> None:
    schema = ProjectSpec.model_json_schema()
    properties = schema["$defs"]["Checks"]["properties"]
    assert list(properties) == NAMES
    for name in NAMES:
        kinds = properties[name]["anyOf"]
        assert kinds[1] == {"type": "string", "enum": ["off", "warn", "error"]}
        assert "severity" in schema["$defs"][kinds[0]["$ref"].rsplit("/", 1)[1]]["properties"]
