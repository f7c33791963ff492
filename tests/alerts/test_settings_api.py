"""Alerts, limits and notifications over HTTP (spec 10.5)."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from alerts.models import Notification, UsageAlert
from tests.alerts.timeline import Story
from tests.factories import BY, bearer, make_account, make_key
from usage.models import AuditEntry, UsageLimit
from usage.services.accounts import end_account

pytestmark = pytest.mark.django_db
JUNE, JULY = "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"


@pytest.fixture
def story(db: None) -> Story:
    """A sandbox account, so that the API's clock stands in June 2026 as the story's does."""
    return Story(metric_key="ai_resolutions", is_sandbox=True)


@pytest.fixture
def key(story: Story) -> str:
    return make_key(story.account, now=story.now)


def send(client: Client, method: str, path: str, key: str, body: Any = None) -> Any:
    return client.generic(
        method,
        f"/api/v1/workspaces/atlas/{path}",
        data=body if isinstance(body, str) else json.dumps(body),
        content_type="application/json",
        headers=bearer(key),
    )


def test_an_alert_is_set_and_read_back(client: Client, story: Story, key: str) -> None:
    answer = send(client, "PUT", "alerts/whatsapp", key, {"enabled": True, "threshold": 500, "also_50_80": True})
    expected = {
        "in_force": {"enabled": True, "threshold": "500", "also_50_80": True, "from": JUNE},
        "scheduled": None,
    }
    assert (answer.status_code, answer.json()) == (200, expected)
    assert send(client, "GET", "alerts/whatsapp", key).json() == expected


def test_of_an_ended_account_settings_can_be_read_but_not_changed(client: Client, story: Story, key: str) -> None:
    for kind, number in (("alerts", "threshold"), ("limits", "limit")):
        set_ = send(client, "PUT", f"{kind}/ai_resolutions", key, {"enabled": True, number: 7})
        assert set_.status_code == 200
    read = [send(client, "GET", f"{kind}/ai_resolutions", key).json() for kind in ("alerts", "limits")]
    end_account(account=story.account, at=story.now, by=BY)
    assert [send(client, "GET", f"{kind}/ai_resolutions", key).json() for kind in ("alerts", "limits")] == read
    refused = send(client, "PUT", "limits/ai_resolutions", key, {"enabled": True, "limit": 9})
    assert (refused.status_code, refused.json()["code"]) == (422, "account_ended")


def test_an_alert_below_usage_is_answered_as_scheduled(client: Client, story: Story, key: str) -> None:
    story.about("whatsapp").uses(40)
    answer = send(client, "PUT", "alerts/whatsapp", key, {"enabled": True, "threshold": "30"})
    assert answer.json() == {
        "in_force": None,
        "scheduled": {"enabled": True, "threshold": "30", "also_50_80": False, "from": JULY},
    }


def test_an_alert_is_switched_off(client: Client, story: Story, key: str) -> None:
    send(client, "PUT", "alerts/whatsapp", key, {"enabled": True, "threshold": 500})
    answer = send(client, "PUT", "alerts/whatsapp", key, {"enabled": False})
    assert answer.json() == {"in_force": None, "scheduled": None}


def test_a_limit_is_scheduled_by_default_and_set_at_once_on_demand(client: Client, story: Story, key: str) -> None:
    row = {"enabled": True, "limit": "50", "from": JULY}
    answer = send(client, "PUT", "limits/ai_resolutions", key, {"enabled": True, "limit": 50})
    assert answer.json() == {"in_force": None, "scheduled": row}
    answer = send(client, "PUT", "limits/ai_resolutions", key, {"enabled": True, "limit": 50, "effective": "now"})
    assert answer.json() == {"in_force": row | {"from": JUNE}, "scheduled": None}
    assert send(client, "GET", "limits/ai_resolutions", key).json() == answer.json()


def test_switching_a_limit_off_for_the_next_period_is_scheduled(client: Client, story: Story, key: str) -> None:
    send(client, "PUT", "limits/ai_resolutions", key, {"enabled": True, "limit": 50, "effective": "now"})
    answer = send(client, "PUT", "limits/ai_resolutions", key, {"enabled": False, "effective": "next_period"})
    assert answer.json() == {
        "in_force": {"enabled": True, "limit": "50", "from": JUNE},
        "scheduled": {"enabled": False, "limit": None, "from": JULY},
    }


def test_a_limit_below_the_included_amount_is_refused_with_the_lowest(client: Client, story: Story, key: str) -> None:
    story.subscribes("starter").contracts(50)
    answer = send(client, "PUT", "limits/ai_resolutions", key, {"enabled": True, "limit": 30, "effective": "now"})
    body = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert (body["code"], body["lowest_allowed"], body["field"]) == ("limit_below_included", "50", "limit")
    assert body["detail"] == (
        "can't be lower than 50 in Atlas: 50 are included in your subscription; you would still be charged for 50"
    )
    assert not UsageLimit.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("alerts/whatsapp", {"enabled": True}, "threshold"),
        ("alerts/whatsapp", {"enabled": True, "threshold": 0}, "threshold"),
        ("alerts/whatsapp", {"enabled": True, "threshold": -1}, "threshold"),
        ("alerts/whatsapp", {"enabled": True, "threshold": "1.5"}, "threshold"),
        ("alerts/whatsapp", {"enabled": True, "threshold": "1e400"}, "threshold"),
        ("alerts/whatsapp", {"enabled": True, "threshold": "NaN"}, "threshold"),
        ("alerts/whatsapp", {"enabled": True, "threshold": 10**13}, "threshold"),
        ("alerts/whatsapp", {"enabled": True, "threshold": True}, "threshold"),
        ("alerts/whatsapp", {"enabled": "yes", "threshold": 5}, "enabled"),
        ("alerts/whatsapp", {"threshold": 5}, "enabled"),
        ("alerts/whatsapp", {"enabled": True, "threshold": 5, "more": 1}, "more"),
        ("alerts/seats", {"enabled": True, "threshold": 5}, "metric"),
        ("limits/ai_resolutions", {"enabled": True}, "limit"),
        ("limits/ai_resolutions", {"enabled": True, "limit": -1}, "limit"),
        ("limits/ai_resolutions", {"enabled": True, "limit": 1.5}, "limit"),
        ("limits/ai_resolutions", {"enabled": True, "limit": 5, "effective": "soon"}, "effective"),
        ("limits/whatsapp", {"enabled": True, "limit": 5}, "metric"),
    ],
)
def test_impossible_values_are_refused_by_name(
    client: Client, story: Story, key: str, path: str, body: Any, field: str
) -> None:
    answer = send(client, "PUT", path, key, body)
    assert answer.status_code == 422, answer.content
    assert answer.json()["field"] == field
    assert not UsageAlert.objects.exists()
    assert not UsageLimit.objects.exists()


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"enabled": true, "enabled": false}', '"\ud800"', "{}"])
def test_unreadable_bodies_get_a_clear_answer(client: Client, story: Story, key: str, body: str) -> None:
    data = body.encode("utf-8", "surrogatepass")
    answer = client.generic(
        "PUT", "/api/v1/workspaces/atlas/alerts/whatsapp", data, content_type="application/json", headers=bearer(key)
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_unknown_metrics_and_foreign_workspaces_are_missing(client: Client, story: Story, key: str) -> None:
    other = make_key(make_account("cobalt", workspaces=("cobalt",)), now=story.now)
    for method, body in (("GET", None), ("PUT", {"enabled": False})):
        assert send(client, method, "alerts/nothing", key, body).status_code == 404
        assert send(client, method, "limits/nothing", key, body).status_code == 404
        assert send(client, method, "limits/ai_resolutions", other, body).status_code == 404
    assert send(client, "GET", "notifications", other).status_code == 404


def test_changing_needs_manage_and_reading_read(client: Client, story: Story) -> None:
    reader, manager, decider = (make_key(story.account, scope, now=story.now) for scope in ("read", "manage", "decide"))
    change = {"enabled": True, "threshold": 5}
    assert send(client, "PUT", "alerts/whatsapp", reader, change).status_code == 403
    assert send(client, "PUT", "alerts/whatsapp", manager, change).status_code == 200
    assert send(client, "GET", "alerts/whatsapp", manager).status_code == 200
    assert send(client, "GET", "alerts/whatsapp", reader).status_code == 200
    assert send(client, "GET", "alerts/whatsapp", decider).status_code == 403
    assert send(client, "GET", "notifications", manager).status_code == 403


def test_a_change_by_key_is_in_the_audit_trail(client: Client, story: Story, key: str) -> None:
    send(client, "PUT", "limits/ai_resolutions", key, {"enabled": True, "limit": 5, "effective": "now"})
    entry = AuditEntry.objects.get(action="limit.changed")
    assert (entry.subject, entry.how, entry.actor_name.partition(" ")[0]) == ("ai_resolutions", "api", "tests")
    assert entry.before == {"in_force": None, "scheduled": None}
    assert entry.after["in_force"]["limit"] == "5"


def test_notifications_are_listed_oldest_first_in_pages(client: Client, story: Story, key: str) -> None:
    story.alert(4, halves=True)
    story.uses(2).evaluates().uses(2).evaluates()
    story.about("phone").alert(1).uses(1).evaluates()
    first = send(client, "GET", "notifications?limit=2", key).json()
    assert [(item["kind"], item["level"], item["quantity"]) for item in first["items"]] == [
        ("usage_alert", 50, "2"),
        ("usage_alert", 100, "4"),
    ]
    second = send(client, "GET", f"notifications?limit=2&after={first['next']}", key).json()
    assert second == {
        "items": [
            {
                "kind": "usage_alert",
                "metric": "phone",
                "level": 100,
                "threshold": "1",
                "quantity": "1",
                "period": JUNE,
                "at": "2026-06-02T12:00:00Z",
            }
        ],
        "next": None,
    }


def test_what_is_told_late_stands_at_the_moment_it_tells_of(client: Client, story: Story, key: str) -> None:
    story.about("phone").alert(1).uses(1).evaluates()
    told = Notification.objects.get()
    earlier = told.at - timedelta(hours=1)
    kind = Notification.Kind.INVOICE_ISSUED
    Notification.objects.create(kind=kind, account=story.account, at=earlier, title="Invoice", dedupe="invoice")
    first = send(client, "GET", "notifications?limit=1", key).json()
    second = send(client, "GET", f"notifications?limit=1&after={first['next']}", key).json()
    assert [row["kind"] for row in first["items"] + second["items"]] == ["invoice_issued", "usage_alert"]
    assert second["next"] is None


def test_a_page_begins_only_after_a_message_of_this_workspace(client: Client, story: Story, key: str) -> None:
    story.about("phone").alert(1).uses(1).evaluates()
    missing = Notification.objects.get().pk + 1
    assert send(client, "GET", f"notifications?after={missing}", key).json()["field"] == "after"


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "after=%00", "limit=0", "limit=x", "limit=1001", "after=" + "9" * 40]
)
def test_impossible_pages_are_refused(client: Client, story: Story, key: str, query: str) -> None:
    assert send(client, "GET", f"notifications?{query}", key).status_code in (400, 422)


def test_limits_may_be_zero(client: Client, story: Story, key: str) -> None:
    answer = send(client, "PUT", "limits/ai_resolutions", key, {"enabled": True, "limit": 0, "effective": "now"})
    assert answer.json()["in_force"]["limit"] == "0"
    assert UsageLimit.objects.get().quantity == Decimal(0)
