from __future__ import annotations

import numpy as np
import pytest

from preflight.telemetry.saved_number import saved_number, told


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5), ("nan", np.inf), ("NaN", np.inf), ("tensor(nan)", np.inf), ("-inf", -np.inf), ("", np.nan),
        ("None", np.nan), ("'null'", np.nan), ("oops", None),
    ],
)  # fmt: skip
def test_what_is_not_finite_is_infinity_and_what_is_absent_nan(text: str, value: float | None) -> None:
    np.testing.assert_equal(saved_number(text), value)


def test_a_number_stays_what_it_is() -> None:
    assert [told(value) for value in (0.5, np.nan, -np.inf)] == [0.5, np.inf, -np.inf]
