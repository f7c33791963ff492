"""From an empty database to the first metered event and the first alert: a checklist that looks at what is there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from alerts.models import Delivery, UsageAlert
from billing.models import BillingContact, PeriodTerms, Plan, Subscription
from usage import formats
from usage.clocks import system_clock
from usage.models import Account, AccountClock, ApiKey, Metric, Teammate, UsageTotal, User, Workspace
from usage.rounding import shown_quantity
from usage.written import Written

SHOWN: Final = 5
MAILED: Final = (
    "" if settings.EMAIL_URL else f"No mail server is set (EMAIL_URL): e-mails are files in {settings.VAR}/mail."
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `links` are (text, address); with `key` the template shows more below it."""

    name: str
    text: str
    is_done: bool
    links: tuple[tuple[str, str], ...] = ()
    key: str = ""


def first_steps(request: HttpRequest) -> HttpResponse:
    """The page; its list of what has arrived fetches itself again while the page is open."""
    if not request.user.has_perm("usage.change_account") or not isinstance(request.user, User):
        raise PermissionDenied
    newest = _newest_accounts()
    account = _account(request.GET.get("account", ""), newest)
    workspace = next(iter(_first_workspace(account=account.pk)), None) if account else None
    metric = _metric(account)
    arrived = _arrived(account)
    steps = _steps(account, workspace, metric, request.user, has_usage=bool(arrived))
    context = {
        **admin.site.each_context(request),
        "title": "First steps",
        "account": account,
        "others": [each for each in newest if each != account],
        "steps": steps,
        "next_step": next((step for step in steps if not step.is_done), None),
        "done": sum(step.is_done for step in steps),
        "arrived": arrived,
        "command": _command(workspace, metric) if workspace and metric else "",
        "metric": metric,
        "workspace": workspace,
    }
    return TemplateResponse(request, "admin/first_steps.html", context)


def _account(key: str, newest: list[Account]) -> Account | None:
    """The named account, else the newest."""
    chosen = Account.objects.filter(key=key).first() if key and "\x00" not in key else None
    return chosen or next(iter(newest), None)


def _metric(account: Account | None) -> Metric | None:
    """What is counted by the mere arrival of an event, best one that the account has a card for."""
    of_account = _metric_with_a_card(account=account.pk) if account else []
    return next(iter(of_account or _simple_metric()), None)


def _steps(
    account: Account | None, workspace: Workspace | None, metric: Metric | None, user: User, *, has_usage: bool
) -> list[Step]:
    def page(view: str, text: str, **query: Any) -> tuple[str, str]:
        return text, reverse(f"admin:{view}") + (f"?{urlencode(query)}" if query else "")

    at = {"account": account.pk, "first_steps": account.key} if account else {}
    place = {"workspace": workspace.pk, "user": user.pk, "first_steps": account.key} if workspace and account else {}
    contacts = _first_contacts(account=account.pk) if account else []
    recipients = ", ".join(contact.email for contact in contacts)
    has = _what_exists(account, workspace, user)
    usage_page = reverse("usage", args=[workspace.key]) + f"#{metric.key}" if workspace and metric else ""
    return [
        Step(
            "A metric",
            "What is counted. Those of a support product are here already; their names are free to change.",
            has["metric"],
            (page("usage_metric_changelist", "Metrics"), page("usage_metric_add", "Add a metric", first_steps="")),
        ),
        Step(
            "A plan",
            "What it costs, what it includes of each metric, and what more of it costs. A metric without a rate "
            "in the plan is counted, but has no card and costs nothing.",
            has["plan"],
            (page("billing_plan_changelist", "Plans"), page("billing_plan_add", "Add a plan", first_steps="")),
        ),
        Step(
            "An account",
            "The customer that pays, with its time zone, its first day and at least one workspace.",
            account is not None,
            (page("usage_account_add", "Add an account", first_steps=""),),
        ),
        Step(
            "Its subscription",
            "The plan of the account, from its first billing period on.",
            has["subscription"],
            (page("billing_subscription_add", "Start a subscription", **at),),
        ),
        Step(
            "A billing contact",
            "Gets every alert, limit and invoice of the account by e-mail.",
            has["contact"],
            (page("billing_billingcontact_add", "Add a billing contact", **at),),
        ),
        Step(
            "A teammate who may set alerts and limits",
            "Add yourself to try it, or the customer's people.",
            has["teammate"],
            (page("usage_teammate_add", "Add a teammate", **place, can_manage_alerts=1, can_manage_limits=1),),
        ),
        Step(
            "An API key",
            "Your product sends usage with it. It is shown once, with the line that keeps it for the next step.",
            has["key"],
            (page("usage_apikey_add", "Create a key", **at, name="first steps", scopes="ingest"),),
        ),
        Step("The first event", "Paste this into the terminal that has the key.", has_usage, key="send"),
        Step(
            "A usage alert",
            f"On the workspace's usage page, at {metric.name if metric else 'the metric'}: choose Set usage alerts, "
            "switch Alerts on, enter a number above what has arrived so far, save.",
            has["alert"],
            _usage_links(usage_page, has["membership"]),
        ),
        Step(
            "The first message",
            f"Paste the command again until the number is reached. {recipients or 'The billing contact'} is told "
            f"within seconds. {MAILED}",
            has["delivery"],
            (
                page(
                    "alerts_delivery_changelist",
                    "E-mails as they look",
                    **({"account__id__exact": account.pk} if account else {}),
                ),
            ),
        ),
    ]


def _what_exists(account: Account | None, workspace: Workspace | None, user: User) -> dict[str, bool]:
    """Which steps are done, in one statement. No row has the key 0."""
    (found,) = _done(
        account=account.pk if account else 0,
        workspace=workspace.pk if workspace else 0,
        user=user.pk,
        now=system_clock(),
    )
    return dict(vars(found))


def _usage_links(address: str, is_member: bool) -> tuple[tuple[str, str], ...]:
    """Only teammates reach a workspace's pages, admins included."""
    return (("Usage page", address),) if address and is_member else ()


def _arrived(account: Account | None) -> list[dict[str, str]]:
    """The totals of the account that moved last."""
    if account is None:
        return []
    (clock,) = _last_clock(account=account.pk)
    found = []
    for row in _last_totals(account=account.pk):
        shown = shown_quantity(row.quantity, unit_size=row.metric.unit_size)
        found.append(
            {
                "metric": row.metric.name,
                "workspace": row.workspace.name,
                "quantity": f"{formats.number(shown)} {row.metric.unit_of(shown)}",
                "at": f"{formats.local_second(row.last_received_at, clock.zone)} ({clock.zone})",
            }
        )
    return found


def _command(workspace: Workspace, metric: Metric) -> str:
    """A shell command that sends one event; its id is new each time."""
    data = f', "data": {_json(metric.filters)}' if metric.filters else ""
    return (
        f"curl -sS {settings.BASE_URL}/api/v1/events \\\n"
        '  -H "Authorization: Bearer $HEADROOM_KEY" \\\n'
        '  -H "Content-Type: application/cloudevents+json" \\\n'
        '  -d \'{"specversion": "1.0", "id": "\'"$(date +%s%N)"\'", "source": "first-steps",'
        f' "type": "{metric.event_type}", "subject": "{workspace.key}"{data}}}\''
    )


def _json(value: Any) -> str:
    return json.dumps(value).replace("'", "\\u0027")


# --- What the page asks, each put into SQL once -----------------------------------------------------------------------


def _simple_metrics() -> QuerySet[Metric]:
    rows = Metric.objects.filter(is_active=True, kind=Metric.Kind.COUNT)
    return rows.order_by("-supports_limit", "position")


def _with_a_card(account: Any) -> QuerySet[Metric]:
    terms = PeriodTerms.objects.filter(account=account, is_active=True)
    return _simple_metrics().filter(pk__in=terms.values("metric"))


def _totals(account: Any) -> QuerySet[UsageTotal]:
    rows = UsageTotal.objects.filter(account=account).select_related("workspace", "metric")
    return rows.order_by("-last_received_at")


def _user_with_steps(account: Any, workspace: Any, user: Any, now: Any) -> QuerySet[Any]:
    flags = Q(can_manage_alerts=True) | Q(can_manage_limits=True)
    keys = ApiKey.objects.filter(Q(account=account) | Q(account=None), scopes__contains=["ingest"], revoked_at=None)
    wanted = {
        "metric": Metric.objects.filter(is_active=True),
        "plan": Plan.objects.filter(is_offered=True, rates__isnull=False),
        "subscription": Subscription.objects.filter(account=account),
        "contact": BillingContact.objects.filter(account=account),
        "teammate": Teammate.objects.filter(flags, workspace__account=account),
        "membership": Teammate.objects.filter(workspace=workspace, user=user),
        "key": keys.exclude(expires_at__lte=now),
        "alert": UsageAlert.objects.filter(account=account),
        "delivery": Delivery.objects.filter(account=account),
    }
    questions: dict[str, Any] = {name: Exists(rows) for name, rows in wanted.items()}
    return User.objects.filter(pk=user).only("pk").annotate(**questions)


_newest_accounts = Written(lambda: Account.objects.order_by("-pk")[:SHOWN])
_first_workspace = Written(lambda account: Workspace.objects.filter(account=account).order_by("pk")[:1])
_simple_metric = Written(lambda: _simple_metrics()[:1])
_metric_with_a_card = Written(lambda account: _with_a_card(account)[:1])
_first_contacts = Written(lambda account: BillingContact.objects.filter(account=account).order_by("pk")[:SHOWN])
_last_clock = Written(lambda account: AccountClock.objects.filter(account=account).order_by("-starts_at")[:1])
_last_totals = Written(lambda account: _totals(account)[:SHOWN])
_done = Written(_user_with_steps)
