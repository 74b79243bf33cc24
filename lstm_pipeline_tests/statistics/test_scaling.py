"""Scaling: exact centres and scales, constant columns, names, and invalid files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.statistics.scaling import KINDS, Scaler, fit_scaler

NAN = float("nan")


def fit(kind: str, *columns: list[float]) -> Scaler:
    return fit_scaler(np.array(columns, np.float64).T, tuple("abcdefgh"[: len(columns)]), kind)


@pytest.mark.parametrize(
    ("kind", "centre", "scale"),
    [
        ("standard", 4.0, 5**0.5),  # 1, 3, 5, 7: the population's standard deviation, not the sample's
        ("minmax", 1.0, 6.0),
        ("robust", 4.0, 3.0),  # quartiles 2.5 and 5.5
        ("none", 0.0, 1.0),
    ],
)
def test_centre_and_scale(kind: str, centre: float, scale: float) -> None:
    for column in ([1.0, 3.0, 5.0, 7.0], [7.0, NAN, 1.0, 5.0, NAN, 3.0]):  # missing values are ignored
        found = fit(kind, column)
        np.testing.assert_allclose([found.centre[0], found.scale[0]], [centre, scale], rtol=1e-15)
        assert (found.kind, found.names, found.constant) == (kind, ("a",), ())
        assert found.centre.dtype == found.scale.dtype == np.float64
        np.testing.assert_allclose(found.transform(np.array([[centre + scale]])), [[1.0]], rtol=1e-15)


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, -1e12, 1e-300, 123456789.123])
def test_a_constant_column_scales_by_one_and_is_flagged(kind: str, value: float) -> None:
    found = fit(kind, [1.0, 2.0, 3.0, 4.0] * 25, [value] * 100, [value, NAN] * 50)
    assert found.constant == ("b", "c")
    assert found.scale[1:].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(found.transform(np.array([[2.0, value, value]]))[0, 1:], 0, atol=abs(value) * 1e-12)


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
def test_rounding_errors_are_no_spread(kind: str) -> None:
    found = fit(kind, [1e6, np.nextafter(1e6, 2e6), 1e6])
    assert (found.scale.tolist(), found.constant) == ([1.0], ("a",))


def test_a_column_that_hardly_varies_is_not_constant() -> None:
    found = fit("standard", [1e6, 1e6 + 1e-3, 1e6, 1e6 + 1e-3])
    assert found.constant == ()
    np.testing.assert_allclose(found.scale, [5e-4], rtol=1e-6)


@pytest.mark.parametrize("noise", [0.0, 1e-13])
def test_a_column_whose_middle_half_is_constant_is_constant_under_the_robust_scaler_alone(noise: float) -> None:
    column = [1.0, 1.0 + noise, 1.0] * 9 + [100.0]
    found = fit("robust", column)
    assert (found.centre[0], found.scale[0], found.constant) == (1.0, 1.0, ("a",))
    for kind in ("standard", "minmax"):
        assert fit(kind, column).constant == ()


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("exponent", [-190, -160, -100, -20, 20, 100, 149])
def test_scales_of_any_usable_size_are_fitted(kind: str, exponent: int) -> None:
    column = np.array([1.0, 3.0, 5.0, 7.0])
    found, usual = fit(kind, list(column * 10.0**exponent)), fit(kind, list(column))
    np.testing.assert_allclose(found.scale, usual.scale * 10.0**exponent, rtol=1e-12)
    np.testing.assert_allclose(found.centre, usual.centre * 10.0**exponent, rtol=1e-12)
    assert found.constant == ()


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("exponent", [-320, -308, -250, -201, 151, 160, 200, 300, 307])
def test_scales_of_an_unusable_size_are_refused_by_name(kind: str, exponent: int) -> None:
    tiny = list(np.array([1.0, 3.0, 5.0, 7.0]) * float(f"1e{exponent}"))
    with pytest.raises(DataError, match=rf"scales must be from 1e-200 to 1e\+150, .*rows: b \({kind} scale"):
        fit(kind, [1.0, 2.0, 3.0, 4.0], tiny)
    column = {"centre": 0.0, "scale": float(f"1e{exponent}"), "constant": False}
    with pytest.raises(DataError, match=r"^invalid scaler: .* for b$"):
        Scaler.from_dict({"kind": kind, "columns": {"a": GOOD, "b": column}})


@pytest.mark.parametrize("kind", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("hopeless", [[NAN, NAN], [NAN, float("inf")]])
def test_columns_that_cannot_be_fitted_are_named(kind: str, hopeless: list[float]) -> None:
    if np.isinf(hopeless).any():
        hopeless = [-1e308, 1e308]
    message = r"^columns without values in the training rows, or with values too large to scale: b, d$"
    with pytest.raises(DataError, match=message):
        fit(kind, [1.0, 2.0], hopeless, [3.0, 4.0], hopeless)


FINITE = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(FINITE, min_size=4, max_size=4), min_size=1, max_size=4), st.sampled_from(KINDS))
def test_inverse_undoes_transform(columns: list[list[float]], kind: str) -> None:
    values = np.array(columns).T
    scaler = fit_scaler(values, tuple("abcd"[: len(columns)]), kind)
    assert (scaler.scale > 0).all()
    size = np.abs(values).max() + 1
    np.testing.assert_allclose(scaler.inverse(scaler.transform(values)), values, atol=1e-9 * size)
    windows = np.stack([values, values])  # (2, N, F)
    np.testing.assert_array_equal(scaler.transform(windows)[1], scaler.transform(values))
    again = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    assert again.centre.tobytes() == scaler.centre.tobytes()
    assert again.scale.tobytes() == scaler.scale.tobytes()
    assert (again.kind, again.names, again.constant) == (scaler.kind, scaler.names, scaler.constant)


def test_a_column_is_fitted_by_itself() -> None:
    both = fit("standard", [1.0, 2.0, 3.0], [10.0, NAN, 90.0])
    alone = fit("standard", [10.0, NAN, 90.0])
    assert both.centre[1] == alone.centre[0]
    assert both.scale[1] == alone.scale[0]


def test_columns_are_found_by_name() -> None:
    scaler = fit("minmax", [0.0, 1.0], [10.0, 30.0], [7.0, 7.0])
    part = scaler.subset(["c", "a", "b"])
    assert (part.names, part.constant) == (("c", "a", "b"), ("c",))
    assert (part.centre.tolist(), part.scale.tolist()) == ([7, 0, 10], [1, 1, 20])
    assert part.inverse(np.array([[0.5, 0.5, 0.5]])).tolist() == [[7.5, 0.5, 20.0]]
    assert scaler.subset([]).names == ()
    with pytest.raises(ValueError, match="expected features of this scaler, found others: d"):
        scaler.subset(["d"])


def test_the_file_names_each_column() -> None:
    assert fit("minmax", [0.0, 2.0], [7.0, 7.0]).to_dict() == {
        "kind": "minmax",
        "columns": {
            "a": {"centre": 0.0, "scale": 2.0, "constant": False},
            "b": {"centre": 7.0, "scale": 1.0, "constant": True},
        },
    }


GOOD = {"centre": 1.0, "scale": 2.0, "constant": False}


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, "x", 5, {"kind": "standard"}, {"columns": {}}, {"kind": "standard", "columns": []},
        {"kind": "standard", "columns": None}, {"kind": "standard", "columns": {"a": None}},
        {"kind": "standard", "columns": {"a": {"centre": 1.0, "scale": 2.0}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "centre": None}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "centre": "x"}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "centre": 10**400}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "centre": [1.0]}}},
        {"kind": "standard", "columns": {"a": GOOD, "b": {**GOOD, "scale": 0.0}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "scale": True}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "centre": "1.0"}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "constant": "no"}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "scale": -1.0}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "scale": NAN}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "scale": float("inf")}}},
        {"kind": "standard", "columns": {"a": {**GOOD, "centre": NAN}}},
        {"kind": "sqrt", "columns": {"a": GOOD}}, {"kind": None, "columns": {"a": GOOD}},
        {"kind": ["standard"], "columns": {"a": GOOD}},
    ],
)  # fmt: skip
def test_invalid_scaler_files_are_refused(data: Any) -> None:
    with pytest.raises(DataError, match=r"^invalid scaler: "):
        Scaler.from_dict(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(KINDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "columns", "centre", "scale", "constant", "a"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_scaler_or_a_data_error(data: Any) -> None:
    try:
        scaler = Scaler.from_dict(data)
    except DataError:
        return
    assert np.isfinite(scaler.centre).all()
    assert (scaler.scale > 0).all()
