"""What admins change: permissions, keys, metrics, plans, accounts, contacts; each through its service, each audited."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from billing.models import AddOn, BillingContact, Contract, Invoice, Plan, Rate, Subscription
from tests.admin.doing import address, said
from tests.factories import make_account, make_user, metric, workspace
from usage.models import Account, ApiKey, AuditEntry, Heartbeat, Metric, Teammate, User, Workspace
from usage.permissions import has_flag


def errors(answer: Any) -> str:
    return str(answer.context_data["errors"])


def last_entry() -> AuditEntry:
    entry = AuditEntry.objects.latest("at", "id")
    assert entry.how == AuditEntry.How.ADMIN
    return entry


def test_permissions_are_ticked_in_the_list_and_work_from_the_next_request_on(
    account: Account, admin_client: Client
) -> None:
    teammate = Teammate.objects.get()
    form = {
        "form-TOTAL_FORMS": "1",
        "form-INITIAL_FORMS": "1",
        "form-0-id": teammate.pk,
        "form-0-can_manage_alerts": "on",
        "_save": "Save",
    }
    assert has_flag(user=teammate.user, workspace=workspace(), flag="can_manage_limits")
    assert admin_client.post(address(Teammate, "changelist"), form).status_code == 302
    assert not has_flag(user=teammate.user, workspace=workspace(), flag="can_manage_limits")
    entry = last_entry()
    assert entry.action == "teammate.permissions_changed"
    assert entry.before == {"can_manage_alerts": True, "can_manage_limits": True, "can_manage_billing": True}
    assert entry.after == {"can_manage_alerts": True, "can_manage_limits": False, "can_manage_billing": False}


def test_a_teammate_is_added_and_removed(account: Account, admin_client: Client) -> None:
    ben = make_user("ben@example.com")
    form = {"workspace": workspace("birch").pk, "user": ben.pk, "can_manage_billing": "on"}
    assert admin_client.post(address(Teammate, "add"), form).status_code == 302
    added = Teammate.objects.get(user=ben)
    assert added.can_manage_billing
    assert last_entry().action == "teammate.added"
    admin_client.post(address(Teammate, "delete", added.pk), {"post": "yes"})
    assert last_entry().action == "teammate.removed"
    assert not Teammate.objects.filter(user=ben).exists()


def test_an_admin_who_may_not_do_everything_cannot_hand_out_more(account: Account) -> None:
    from django.contrib.auth.models import Permission

    clerk = make_user("clerk@example.com", is_staff=True)
    clerk.user_permissions.add(*Permission.objects.filter(codename__in=["change_user", "view_user"]))
    client = Client()
    client.force_login(clerk)
    form = {"email": clerk.email, "name": "Clerk", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    assert client.post(address(User, "change", clerk.pk), form).status_code == 302
    clerk.refresh_from_db()
    assert clerk.name == "Clerk"
    assert not clerk.is_superuser


def test_a_key_is_shown_once(account: Account, admin_client: Client) -> None:
    form = {"account": account.pk, "name": "product", "scopes": ["ingest"], "expires_at_0": "", "expires_at_1": ""}
    answer = admin_client.post(address(ApiKey, "add"), form)
    key = ApiKey.objects.get(name="product")
    assert re.search(rf"hr_{key.prefix}_[A-Za-z0-9_-]{{43}}", answer.content.decode())
    assert "no-store" in answer.headers["Cache-Control"]
    assert "hr_" not in admin_client.get(address(ApiKey, "change", key.pk)).content.decode()


def test_an_account_is_created_with_its_workspaces(account: Account, admin_client: Client) -> None:
    form = {
        "key": "cobalt",
        "name": "Cobalt",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "started_on": "2026-06-09",
        "interval": "month",
        "workspace_lines": "north = North\nsouth",
    }
    assert admin_client.post(address(Account, "add"), form).status_code == 302
    created = Account.objects.get(key="cobalt")
    assert [str(row) for row in created.workspaces.order_by("key")] == ["North", "south"]
    assert created.clocks.get().zone == "Europe/Berlin"
    again = admin_client.post(address(Account, "add"), form | {"workspace_lines": "other"})
    assert "There is an account" in errors(again) or "already exists" in errors(again)
    broken = admin_client.post(address(Account, "add"), form | {"key": "x", "workspace_lines": "Not a key"})
    assert "Not a key" in errors(broken)
    assert not Account.objects.filter(key="x").exists()


def test_names_change_and_keys_never(account: Account, admin_client: Client) -> None:
    inlines = {f"{prefix}-{name}_FORMS": "0" for prefix in ("workspaces", "clocks") for name in ("TOTAL", "INITIAL")}
    form = {"name": "Acme Group", "key": "other", "currency": "EUR"} | inlines
    assert admin_client.post(address(Account, "change", account.pk), form).status_code == 302
    account.refresh_from_db()
    assert (account.name, account.key, account.currency) == ("Acme Group", "acme", "USD")
    assert last_entry().after == {"name": "Acme Group"}


def metric_form(**changes: Any) -> dict[str, Any]:
    form = {
        "key": "inbound", "name": "Inbound", "group": "Channels", "position": 5, "is_active": "on",
        "event_type": "sms.message", "filters": "{}", "kind": "sum", "unit": "messages", "unit_singular": "message",
        "unit_size": 1, "increment_first": 0, "increment_next": 0, "minimum_seconds": 0,
    }  # fmt: skip
    return form | changes


def test_a_metric_that_would_share_events_with_another_is_refused(account: Account, admin_client: Client) -> None:
    same = admin_client.post(address(Metric, "add"), metric_form())
    assert "already exists" in errors(same)
    Metric.objects.filter(key="sms").update(filters={"direction": "sent"})
    overlapping = admin_client.post(address(Metric, "add"), metric_form(filters='{"country": "IE"}'))
    assert "SMS" in errors(overlapping)
    assert not Metric.objects.filter(key="inbound").exists()
    apart = admin_client.post(address(Metric, "add"), metric_form(filters='{"direction": "received"}'))
    assert apart.status_code == 302
    assert last_entry().action == "metric.created"


def test_the_meaning_of_stored_usage_does_not_change(account: Account, admin_client: Client) -> None:
    used = metric("phone")
    form = metric_form(key="phone", name="Voice", event_type="call.ended", kind="count", unit_size=1)
    assert admin_client.post(address(Metric, "change", used.pk), form).status_code == 302
    used.refresh_from_db()
    assert (used.name, used.kind, used.unit_size) == ("Voice", "duration", 60)


def plan_form(plan: Plan, **changes: Any) -> dict[str, Any]:
    form: dict[str, Any] = {
        "name": plan.name, "key": plan.key, "currency": plan.currency, "interval": plan.interval, "price": "49",
        "includes_workflows": "on" if plan.includes_workflows else "", "is_offered": "on", "position": plan.position,
    }  # fmt: skip
    return form | rates_form(plan) | changes


def add_on_form(add_on: AddOn) -> dict[str, Any]:
    form = {"name": add_on.name, "currency": add_on.currency, "price": "10", "is_offered": "on"}
    return form | rates_form(add_on)


def rates_form(holder: Plan | AddOn) -> dict[str, Any]:
    rates = list(holder.rates.all())
    form: dict[str, Any] = {"rates-TOTAL_FORMS": len(rates), "rates-INITIAL_FORMS": len(rates)}
    for number, rate in enumerate(rates):
        values = {"id": rate.pk, "metric": rate.metric_id, "model": rate.model, "tiers": "[]"}
        values |= {"plan": holder.pk} if isinstance(holder, Plan) else {"add_on": holder.pk}
        values["included"] = "" if rate.included is None else f"{rate.included:f}"
        values["unit_price"] = "" if rate.unit_price is None else f"{rate.unit_price:f}"
        values |= {"is_unlimited": "on"} if rate.is_unlimited else {}
        form |= {f"rates-{number}-{name}": value for name, value in values.items()}
    return form


def test_a_plan_that_accounts_hold_gets_a_new_version(account: Account, admin_client: Client) -> None:
    held = Plan.objects.get(key="starter")
    rates = held.rates.count()
    answer = admin_client.post(address(Plan, "change", held.pk), plan_form(held, price="59"))
    assert answer.status_code == 302, errors(answer)
    new = Plan.objects.get(key="starter", version=2)
    held.refresh_from_db()
    assert (new.price, held.price) == (59, 49)
    assert (new.is_offered, held.is_offered) == (True, False)
    assert (new.rates.count(), held.rates.count()) == (rates, rates)
    assert Subscription.objects.get(account=account).plan == held
    assert last_entry().action == "plan.version_created"
    assert any("version 2" in message for message in said(answer))


def test_its_name_changes_in_place_and_a_plan_that_nobody_holds_too(account: Account, admin_client: Client) -> None:
    held = Plan.objects.get(key="starter")
    admin_client.post(address(Plan, "change", held.pk), plan_form(held, name="Small"))
    free = Plan.objects.get(key="business")
    answer = admin_client.post(address(Plan, "change", free.pk), plan_form(free, price="899"))
    assert answer.status_code == 302, errors(answer)
    assert Plan.objects.filter(version__gt=1).count() == 0
    assert Plan.objects.get(key="starter").name == "Small"
    assert Plan.objects.get(key="business").price == 899


def test_two_rates_of_a_plan_may_swap_their_metrics_and_none_may_share_one(
    account: Account, admin_client: Client
) -> None:
    free = Plan.objects.get(key="business")
    first, second = list(free.rates.all())[:2]
    metrics = first.metric_id, second.metric_id
    shared = plan_form(free) | {"rates-1-metric": metrics[0]}
    assert (
        "This metric has a rate above" in admin_client.post(address(Plan, "change", free.pk), shared).content.decode()
    )
    swapped = plan_form(free) | {"rates-0-metric": metrics[1], "rates-1-metric": metrics[0]}
    answer = admin_client.post(address(Plan, "change", free.pk), swapped)
    assert answer.status_code == 302, errors(answer)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (second.metric_id, first.metric_id) == metrics


def test_two_rates_of_an_add_on_that_nobody_holds_may_swap_their_metrics_and_none_may_share_one(
    account: Account, admin_client: Client
) -> None:
    free = AddOn.objects.create(key="extra", name="Extra", currency="USD", price=10)
    metrics = [each.pk for each in Metric.objects.all()[:2]]
    for pk in metrics:
        Rate.objects.create(add_on=free, metric_id=pk, unit_price=1)
    form = add_on_form(free)
    first, second = (Rate.objects.get(pk=form[f"rates-{row}-id"]) for row in (0, 1))
    held = first.metric_id, second.metric_id
    shared = form | {"rates-1-metric": held[0]}
    answer = admin_client.post(address(AddOn, "change", free.pk), shared)
    assert "This metric has a rate above" in answer.content.decode()
    swapped = form | {"rates-0-metric": held[1], "rates-1-metric": held[0], "rates-1-included": "5"}
    answer = admin_client.post(address(AddOn, "change", free.pk), swapped)
    assert answer.status_code == 302, errors(answer)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (second.metric_id, first.metric_id, second.included) == (*held, 5)
    assert last_entry().action == "add_on.changed"
    fewer = form | {"rates-0-metric": held[1], "rates-1-metric": held[0], "rates-1-DELETE": "on"}
    assert admin_client.post(address(AddOn, "change", free.pk), fewer).status_code == 302
    assert list(free.rates.all()) == [first]


def test_an_add_on_that_accounts_hold_keeps_its_price(account: Account, admin_client: Client) -> None:
    held = AddOn.objects.get(key="proactive_support_plus")
    price, rates = held.price, Rate.objects.filter(add_on=held).count()
    form = {"name": "Proactive", "price": "1", "rates-TOTAL_FORMS": "0", "rates-INITIAL_FORMS": "0"}
    assert admin_client.post(address(AddOn, "change", held.pk), form).status_code == 302
    held.refresh_from_db()
    assert (held.name, held.price) == ("Proactive", price)
    assert Rate.objects.filter(add_on=held).count() == rates


def test_a_subscription_is_started_and_a_second_one_refused(account: Account, admin_client: Client) -> None:
    other = make_account("cobalt", workspaces=("cobalt",))
    form = {"account": other.pk, "plan": Plan.objects.get(key="starter").pk, "begins": "first", "add_ons": []}
    assert admin_client.post(address(Subscription, "add"), form).status_code == 302
    refused = admin_client.post(address(Subscription, "add"), form)
    assert "has a subscription already" in errors(refused)
    dear = make_account("yen", workspaces=("yen",), currency="JPY")
    assert admin_client.post(address(Subscription, "add"), form | {"account": dear.pk}).status_code == 200


def test_a_contract_is_set_and_ends_the_one_before(account: Account, admin_client: Client) -> None:
    form = {
        "account": account.pk, "metric": metric("phone").pk, "quantity": "100", "unit_price": "0.2",
        "overage_price": "", "begins": "next", "until_period_0": "", "until_period_1": "",
    }  # fmt: skip
    answer = admin_client.post(address(Contract, "add"), form)
    assert answer.status_code == 302, errors(answer)
    assert Contract.objects.get(metric__key="phone").quantity == Decimal(100)
    answer = admin_client.post(address(Contract, "add"), form | {"quantity": "150"})
    assert answer.status_code == 302, errors(answer)
    assert Contract.objects.get(metric__key="phone", until_period=None).quantity == Decimal(150)


def test_contacts_are_added_changed_and_removed(account: Account, admin_client: Client) -> None:
    form = {"account": account.pk, "email": "ops@acme.example", "name": "Ops", "teammate": ""}
    assert admin_client.post(address(BillingContact, "add"), form).status_code == 302
    contact = BillingContact.objects.get(email="ops@acme.example")
    twice = admin_client.post(address(BillingContact, "add"), form | {"email": "OPS@acme.example"})
    assert twice.status_code == 200
    assert (
        admin_client.post(
            address(BillingContact, "change", contact.pk), {"email": contact.email, "name": "Op"}
        ).status_code
        == 302
    )
    assert last_entry().action == "contact.changed"
    admin_client.post(address(BillingContact, "delete", contact.pk), {"post": "yes"})
    assert last_entry().action == "contact.removed"


def test_nothing_that_the_product_writes_can_be_edited(account: Account, admin_client: Client) -> None:
    for model, change in ((AuditEntry, {"action": "x"}), (Workspace, {"key": "x"})):
        row = model.objects.first()
        assert row is not None
        admin_client.post(address(model, "change", row.pk), change)
        assert model.objects.filter(**change).count() == 0
    entry = AuditEntry.objects.first()
    assert entry is not None
    assert admin_client.post(address(AuditEntry, "change", entry.pk), {"action": "x"}).status_code == 403


def test_a_plan_is_added_with_its_rates(account: Account, admin_client: Client) -> None:
    form = {
        "name": "Team", "key": "team", "currency": "USD", "interval": "month", "price": "99", "is_offered": "on",
        "position": 5, "rates-TOTAL_FORMS": 1, "rates-INITIAL_FORMS": 0, "rates-0-metric": metric("phone").pk,
        "rates-0-included": "300", "rates-0-model": "per_unit", "rates-0-unit_price": "0.25", "rates-0-tiers": "[]",
    }  # fmt: skip
    answer = admin_client.post(address(Plan, "add"), form)
    assert answer.status_code == 302, errors(answer)
    plan = Plan.objects.get(key="team")
    assert plan.rates.get().unit_price == Decimal("0.25")
    assert last_entry().action == "plan.created"
    twice = admin_client.post(address(Plan, "add"), form | {"rates-0-unit_price": "", "key": "other"})
    assert "Enter a price" in errors(twice)
    assert not Plan.objects.filter(key="other").exists()


def test_only_the_newest_version_is_offered(account: Account, admin_client: Client) -> None:
    held = Plan.objects.get(key="starter")
    for price in ("59", "69"):
        admin_client.post(address(Plan, "change", held.pk), plan_form(held, price=price))
    assert list(Plan.objects.filter(key="starter", is_offered=True).values_list("version", flat=True)) == [3]


def test_what_is_granted_to_people_and_groups_is_audited(admin_client: Client, account: Account) -> None:
    may_see = Permission.objects.get(codename="view_account")
    group = {"name": "Support", "permissions": [may_see.pk]}
    assert admin_client.post(address(Group, "add"), group).status_code == 302
    entry = AuditEntry.objects.get(action="group.changed", subject="Support")
    assert entry.after == {"permissions": [str(may_see)]}

    eve = make_user("eve@example.com")
    typed = {"email": eve.email, "name": "Eve", "is_active": "on", "user_permissions": [may_see.pk]}
    inline = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    assert admin_client.post(address(User, "change", eve.pk), typed | inline).status_code == 302
    entry = last_entry()
    assert entry.before == {"groups": [], "user_permissions": []}
    assert entry.after == {"groups": [], "user_permissions": [str(may_see)]}


def test_only_permissions_that_open_something_are_offered(admin_client: Client) -> None:
    offered = admin_client.get(address(Group, "add")).content.decode()
    for name in ("Can add rate", "Can change usage event", "Can change invoice", "Can view audit entry"):
        assert name in offered
    for name in ("Can delete invoice", "Can change audit entry", "Can add session", "Can view usage day"):
        assert name not in offered


def test_a_teammates_permissions_change_on_the_page_of_their_workspace_but_not_who_they_are(
    admin_client: Client, account: Account
) -> None:
    ada, eve = Teammate.objects.get(), make_user("eve@example.com")
    typed = {
        "name": "Atlas",
        "teammates-TOTAL_FORMS": "1",
        "teammates-INITIAL_FORMS": "1",
        "teammates-0-id": ada.pk,
        "teammates-0-workspace": ada.workspace_id,
        "teammates-0-user": eve.pk,
        "teammates-0-can_manage_billing": "on",
    }
    page = address(Workspace, "change", ada.workspace_id)
    assert address(User, "change", ada.user_id) in admin_client.get(page).content.decode()
    assert admin_client.post(page, typed).status_code == 302
    left = Teammate.objects.get()
    assert left.user == ada.user
    assert left.can_manage_billing
    assert not left.can_manage_alerts


@pytest.mark.parametrize("typed", ["\x00", "Mars/Olympus", "9" * 5000, "NaN", '{"a": "\\u0000"}'])
def test_whatever_is_typed_into_a_form_comes_back_with_what_is_wrong(
    account: Account, admin_client: Client, typed: str
) -> None:
    for model, fields in (
        (Workspace, ("account", "key", "name")),
        (Contract, ("account", "metric", "quantity", "unit_price", "begins", "until_period_0")),
        (Metric, ("key", "name", "event_type", "filters", "kind", "unit_size")),
    ):
        answer = admin_client.post(address(model, "add"), dict.fromkeys(fields, typed))
        assert answer.status_code == 200, model
        assert "errornote" in answer.content.decode(), model


def test_a_list_forgives_values_and_selections_that_no_row_has(account: Account, admin_client: Client) -> None:
    for model, column in ((Contract, "metric__id__exact"), (Invoice, "currency"), (Heartbeat, "name")):
        page = address(model, "changelist")
        assert admin_client.get(page, {column: "\x00"}).headers["Location"] == page
        assert admin_client.get(page, {"issued_on__year": "9" * 30}).status_code == 302
        for key in ("\x00", "x\x00", "9" * 5000):
            chosen = {"action": "download_csv", "_selected_action": key, "index": "0"}
            answer = admin_client.post(page, chosen)
            assert answer.status_code in (200, 302), (model, key)
            if "\x00" in key:
                assert admin_client.get(address(model, "change", key)).status_code == 302
                assert "One of the selected rows does not exist." in said(answer)
