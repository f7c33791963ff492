"""The levels of an alert."""

from decimal import Decimal

import pytest

from alerts.levels import levels_of


def test_levels_of_an_alert_are_exact_also_between_whole_units() -> None:
    assert levels_of(Decimal(5), True) == [(50, Decimal("2.5")), (80, Decimal(4)), (100, Decimal(5))]
    assert levels_of(Decimal(1), True) == [(50, Decimal("0.5")), (80, Decimal("0.8")), (100, Decimal(1))]
    assert levels_of(Decimal(700), False) == [(100, Decimal(700))]


@pytest.mark.parametrize("threshold", [Decimal(0), Decimal(-1), Decimal("NaN")])
def test_a_threshold_is_positive(threshold: Decimal) -> None:
    with pytest.raises(ValueError, match="must be"):
        levels_of(threshold, True)
