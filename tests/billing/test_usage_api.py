"""GET /api/v1/workspaces/{key}/usage: what was used and what it costs (spec 10.5, 2.9, 2.11)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.models import AddOn, Plan
from billing.services.purchases import add_add_on, set_contract
from billing.services.subscriptions import start_subscription
from tests.billing.books import contract
from tests.factories import BY, NOON, bearer, make_account, make_key, metric, use, workspace
from usage.models import Account
from usage.services.limits import write_limit

pytestmark = pytest.mark.django_db

JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def sandbox(plan: str = "starter", *, now: datetime = NOON, **options) -> Account:
    """An account whose clock stands at `now`."""
    account = make_account(is_sandbox=True, now=now, **options)
    start_subscription(account=account, plan=Plan.objects.get(key=plan), period=JUNE, by=BY)
    return account


@pytest.fixture
def read(client):
    def ask(account: Account, key: str = "atlas", *, expect: int = 200, scopes: tuple[str, ...] = ("read",), **query):
        answer = client.get(f"/api/v1/workspaces/{key}/usage", query, headers=bearer(make_key(account, *scopes)))
        assert answer.status_code == expect, answer.content
        return answer.json()

    return ask


def line(body: dict, key: str) -> dict:
    return next(each for each in body["metrics"] if each["key"] == key)


def test_starter_with_275_conversations_and_120_minutes_shows_an_overage_of_18_50(read):
    account = sandbox()
    use("conversations", 275)
    use("phone", 120)
    body = read(account)
    assert body["total_overage"] == "18.50"
    assert line(body, "conversations") == {
        "key": "conversations",
        "terms": "included",
        "quantity": "275",
        "pool_quantity": "275",
        "included": "250",
        "overage_quantity": "25",
        "overage_amount": "12.50",
        "projected_quantity": "568.965517",
        "limit": None,
        "limit_reached": False,
        "over_limit_quantity": "0",
    }
    assert line(body, "phone")["overage_amount"] == "6.00"
    assert line(body, "phone")["quantity"] == "120"


def test_it_names_the_period_the_currency_and_when_it_was_read(read):
    body = read(sandbox())
    assert body["period"] == {"starts_at": "2026-06-01T00:00:00Z", "ends_at": "2026-07-01T00:00:00Z"}
    assert body["as_of"] == "2026-06-15T12:00:00Z"
    assert body["checked_at"] is None
    assert body["currency"] == "USD"


def test_the_metrics_stand_in_their_order_and_only_those_with_terms(read):
    keys = [each["key"] for each in read(sandbox())["metrics"]]
    assert keys == [
        "conversations", "phone", "sms", "whatsapp", "chat", "emails", "ai_resolutions", "voice_resolutions", "seats",
    ]  # fmt: skip


def test_quantity_is_the_workspaces_and_the_rest_is_the_accounts(read):
    account = sandbox(workspaces=["atlas", "birch"])
    use("conversations", 200)
    use("conversations", 100, workspace_key="birch")
    body = line(read(account), "conversations")
    assert (body["quantity"], body["pool_quantity"], body["overage_quantity"]) == ("200", "300", "50")
    assert line(read(account, "birch"), "conversations")["quantity"] == "100"


def test_pay_as_you_go_shows_the_whole_pool_and_its_charge(read):
    account = sandbox()
    use("ai_resolutions", 7)
    body = line(read(account), "ai_resolutions")
    assert (body["terms"], body["included"]) == ("pay_as_you_go", None)
    assert (body["overage_quantity"], body["overage_amount"]) == ("7", "6.93")


def test_unlimited_never_costs_anything(read):
    account = sandbox()
    use("emails", 40_000)
    body = line(read(account), "emails")
    assert (body["terms"], body["included"], body["overage_quantity"]) == ("unlimited", None, "0")
    assert read(account)["total_overage"] == "0.00"


def test_a_contracted_amount_is_no_overage_but_a_fixed_charge(read):
    account = sandbox()
    contract(account, 50)
    use("ai_resolutions", 62)
    body = read(account)
    assert line(body, "ai_resolutions")["terms"] == "contracted"
    assert line(body, "ai_resolutions")["included"] == "50"
    assert body["total_overage"] == "11.88"
    # 49 + 44.50 + (62 / 14.5 x 30 - 50) x 0.99
    assert body["projected_total"] == "170.99"


def test_seats_are_counted_by_what_is_held_now_and_are_no_overage(read):
    account = sandbox()
    use("seats", 8, at=NOON - timedelta(days=5))
    use("seats", 9)
    body = read(account)
    seats = line(body, "seats")
    assert (seats["quantity"], seats["overage_amount"], seats["projected_quantity"]) == ("9", "225.00", None)
    assert body["total_overage"] == "0.00"
    assert body["projected_total"] == "274.00"


def test_an_add_on_brings_its_metric_and_its_price(read):
    account = sandbox()
    add_add_on(account=account, add_on=AddOn.objects.get(), clock=lambda: NOON, by=BY)
    body = read(account)
    assert line(body, "messages_sent")["included"] == "500"
    assert body["projected_total"] == "148.00"


def test_before_24_hours_there_is_no_projection(read):
    account = sandbox(now=JUNE + timedelta(hours=23))
    use("conversations", 5, at=JUNE + timedelta(hours=2))
    body = read(account)
    assert body["projected_total"] is None
    assert line(body, "conversations")["projected_quantity"] is None


def test_the_limit_of_the_workspace_and_what_went_beyond_it_are_shown(read):
    account = sandbox(workspaces=["atlas", "birch"])
    write_limit(workspace=workspace(), metric=metric(), from_period=JUNE, quantity=Decimal(10))
    use("ai_resolutions", 12)
    use("ai_resolutions", 3, workspace_key="birch")
    own = line(read(account), "ai_resolutions")
    assert (own["limit"], own["limit_reached"], own["over_limit_quantity"]) == ("10", True, "2")
    other = line(read(account, "birch"), "ai_resolutions")
    assert (other["limit"], other["limit_reached"], other["over_limit_quantity"]) == (None, False, "0")


def test_an_earlier_period_is_read_by_an_instant_in_it(read):
    account = sandbox(now=NOON + timedelta(days=40))
    use("conversations", 260)
    assert line(read(account), "conversations")["quantity"] == "0"
    body = read(account, at="2026-06-30T23:59:59+00:00")
    assert body["period"]["starts_at"] == "2026-06-01T00:00:00Z"
    assert line(body, "conversations")["overage_amount"] == "5.00"
    # The period has ended: what it comes to is what it came to.
    assert line(body, "conversations")["projected_quantity"] == "260"
    assert body["projected_total"] == "54.00"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("yesterday", "invalid_input"),
        ("2026-06-10T00:00:00", "invalid_input"),
        ("2026-06-10", "invalid_input"),
        ("0001-01-01T00:00:00+14:00", "invalid_input"),
        ("2026-05-31T23:59:59Z", "before_first_period"),
        ("2026-06-15T12:00:01Z", "in_future"),
        ("9999-12-31T23:59:59Z", "in_future"),
    ],
)
def test_an_instant_that_is_none_or_has_no_period_is_refused(read, at, code):
    body = read(sandbox(), expect=422, at=at)
    assert (body["code"], body["field"]) == (code, "at")


def test_other_accounts_workspaces_are_missing_and_a_key_needs_the_scope(read):
    account = sandbox()
    make_account("other", workspaces=["other"])
    read(account, "other", expect=404)
    read(account, "nowhere", expect=404)
    read(account, expect=403, scopes=("ingest",))
    assert read(None, "other")["metrics"] == []


def test_an_account_that_has_ended_shows_its_last_period(read):
    account = sandbox(now=NOON + timedelta(days=40))
    use("conversations", 260)
    Account.objects.update(ended_at=datetime(2026, 7, 1, tzinfo=UTC))
    body = read(account)
    assert body["period"]["starts_at"] == "2026-06-01T00:00:00Z"
    assert body["total_overage"] == "5.00"


def test_amounts_have_the_decimals_of_the_currency(read):
    account = make_account(is_sandbox=True, now=NOON, currency="JPY")
    set_contract(
        account=account, metric=metric(), quantity=Decimal(0), unit_price=Decimal(0), overage_price=Decimal("1.5"),
        from_period=JUNE, by=BY,
    )  # fmt: skip
    use("ai_resolutions", 3)
    assert read(account)["total_overage"] == "5"


def test_the_number_of_queries_does_not_grow(client, django_assert_num_queries):
    account = make_account(workspaces=[f"w{number}" for number in range(12)], started_on=datetime.now(UTC).date())
    start = account.periods.get().starts_at
    start_subscription(account=account, plan=Plan.objects.get(key="starter"), period=start, by=BY)
    headers = bearer(make_key(account, "read"))
    client.get("/api/v1/workspaces/w1/usage", headers=headers)
    # Key with workspace, period with account, terms, plan with add-ons, totals, days, levels.
    with django_assert_num_queries(6):
        client.get("/api/v1/workspaces/w1/usage", headers=headers)
