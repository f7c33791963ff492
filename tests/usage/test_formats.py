"""How numbers, money and dates read."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage import formats

PLAIN = st.decimals(-(10**15), 10**15, allow_nan=False, places=6)


@given(PLAIN)
def test_a_number_is_shown_exactly(value: Decimal) -> None:
    shown = formats.number(value)
    assert Decimal(shown.replace(",", "").replace(formats.MINUS, "-")) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("443.750000", "443.75"),
        ("1E+3", "1,000"),
        ("-2", "−2"),
        ("1e-6", "0.000001"),
    ],
)
def test_a_number_has_no_needless_zeros(value: str, shown: str) -> None:
    assert formats.number(Decimal(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(9_999, "9,999"), (10_000, "10k"), (12_345, "12.3k"), (999_999, "1M"), (3_400_000, "3.4M"), (48_211_900, "48.2M")],
)
def test_an_axis_shortens_from_ten_thousand_on(value: int, shown: str) -> None:
    assert formats.short_number(value) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("1342.63", "USD", "$1,342.63"),
        ("-1.98", "USD", "−$1.98"),
        ("0.005", "USD", "$0.01"),
        ("12345.5", "JPY", "¥12,346"),
        ("1.2345", "KWD", "KWD\u00a01.235"),
        ("5", "EUR", "€5.00"),
    ],
)
def test_money_has_the_decimals_of_its_currency(amount: str, currency: str, shown: str) -> None:
    assert formats.money(Decimal(amount), currency) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("49", "$49.00"), ("0.45", "$0.45"), ("0.012500", "$0.0125"), ("0.0000000001", "$0.0000000001")],
)
def test_a_price_of_one_unit_is_never_rounded(amount: str, shown: str) -> None:
    assert formats.unit_price(Decimal(amount), "USD") == shown


def test_a_period_is_named_by_its_days_in_the_accounts_zone() -> None:
    starts, ends = datetime(2026, 11, 7, 23, tzinfo=UTC), datetime(2026, 12, 7, 23, tzinfo=UTC)
    assert formats.period_span(starts, ends, "Europe/Berlin") == "8 Nov – 7 Dec 2026"
    assert formats.period_span(starts, ends, "UTC") == "7 Nov – 7 Dec 2026"


def test_the_year_is_said_twice_when_it_changes() -> None:
    assert formats.date_span(date(2026, 12, 8), date(2027, 1, 7)) == "8 Dec 2026 – 7 Jan 2027"
    assert formats.date_span(date(2026, 12, 8), date(2026, 12, 8)) == "8 Dec 2026"


def test_an_instant_is_read_in_its_zone() -> None:
    at = datetime(2026, 11, 21, 13, 30, 4, tzinfo=UTC)
    assert formats.local_minute(at, "Europe/Berlin") == "21 Nov 2026, 14:30"
    assert formats.local_second(at, "Asia/Kolkata") == "21 Nov 2026, 19:00:04"


def test_percent_is_rounded_half_up() -> None:
    assert formats.percent(Decimal("64.25"), digits=1) == "64.3%"
    assert formats.percent(Decimal("58.5")) == "59%"
