"""Who is in the demo: accounts, people, what they bought and what they asked to be told (spec 10.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.contrib.auth.hashers import make_password

from billing.default_plans import CONTRACTED_RESOLUTION_PRICE
from billing.models import AddOn, BillingProfile, Plan
from billing.services.contacts import add_contact
from billing.services.purchases import add_add_on, set_contract
from billing.services.subscriptions import start_subscription
from usage.models import Account, Metric, Period, Teammate, User, Workspace
from usage.services.accounts import create_account, set_teammate_flags
from usage.services.audit import Actor

PASSWORD = "headroom"  # noqa: S105  everybody may know it
PERIODS = 12  # closed ones
DAYS_INTO_PERIOD = 14
BY = Actor.of_command("demo")


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    name: str
    flags: tuple[bool, bool, bool] = (False, False, False)  # alerts, limits, billing
    workspaces: tuple[str, ...] = ()


ADMIN = Person("admin@demo.example", "Robin Vale")
PEOPLE = (
    Person("ada@demo.example", "Ada Moreno", (True, True, True), ("atlas", "birch", "cobalt")),
    Person("cleo@demo.example", "Cleo Tan", (True, False, False), ("atlas", "birch", "cobalt")),
    Person("ben@demo.example", "Ben Ito", (False, False, False), ("atlas", "birch", "cobalt")),
)


@dataclass(frozen=True, slots=True)
class Company:
    """An account of the demo. `upgrade_in` is the closed period (from 0) in which it moved up to `plan`."""

    key: str
    name: str
    zone: str
    workspaces: tuple[tuple[str, str], ...]
    first_plan: str
    plan: str
    upgrade_in: int | None
    contacts: tuple[tuple[str, str], ...]
    profile: dict[str, object]
    contracted: int | None = None
    add_ons: tuple[str, ...] = ()


DEMO = Company(
    key="demo",
    name="Meridian Supply",
    zone="Europe/Berlin",
    workspaces=(("atlas", "Atlas"), ("birch", "Birch")),
    first_plan="starter",
    plan="professional",
    upgrade_in=3,
    contacts=(
        ("ada@demo.example", "Ada Moreno"),
        ("cleo@demo.example", "Cleo Tan"),
        ("payable@demo.example", "Accounts payable"),
    ),
    profile={
        "legal_name": "Meridian Supply GmbH",
        "address": "Accounts payable\nHafenstraße 14",
        "postal_code": "20457",
        "city": "Hamburg",
        "country": "DE",
        "vat_id": "DE136695976",
        "reference": "PO 4471",
        "reverse_charge": True,
    },
    contracted=400,
    add_ons=("proactive_support_plus",),
)
COBALT = Company(
    key="cobalt",
    name="Cobalt Cycles",
    zone="America/New_York",
    workspaces=(("cobalt", "Cobalt"),),
    first_plan="starter",
    plan="starter",
    upgrade_in=None,
    contacts=(("ada@demo.example", "Ada Moreno"), ("finance@cobalt.example", "Finance")),
    profile={
        "legal_name": "Cobalt Cycles Inc.",
        "address": "210 Water Street",
        "postal_code": "10038",
        "city": "New York",
        "country": "US",
        "paper": "Letter",
        "tax_name": "Sales tax",
        "tax_rate": Decimal("8.875"),
    },
)
COMPANIES = (DEMO, COBALT)


def started_on(now: datetime, zone: str) -> date:
    """The anchor that makes today about the fourteenth day of the running period, after twelve closed ones."""
    today = now.astimezone(ZoneInfo(zone)).date()
    running = today - timedelta(days=DAYS_INTO_PERIOD - 1)
    running = running.replace(day=min(running.day, 28))
    return running.replace(year=running.year - 1)


def create_people() -> dict[str, User]:
    """The admin and the teammates, all with the password of the demo; memberships follow with the accounts."""
    hashed = make_password(PASSWORD)  # once: it is slow on purpose
    admin = User(email=ADMIN.email, name=ADMIN.name, password=hashed, is_staff=True, is_superuser=True)
    people = [User(email=person.email, name=person.name, password=hashed) for person in PEOPLE]
    return {user.email: user for user in User.objects.bulk_create([admin, *people])}


def create_company(company: Company, *, users: dict[str, User], now: datetime) -> Account:
    """The account with people, contacts, plan, add-ons and contract, as an operator would set it up."""
    account = create_account(
        key=company.key,
        name=company.name,
        zone=company.zone,
        started_on=started_on(now, company.zone),
        workspaces=company.workspaces,
        now=now,
        by=BY,
    )
    BillingProfile.objects.update_or_create(account=account, defaults=company.profile)
    first = Period.objects.filter(account=account).earliest("starts_at").starts_at
    plan = Plan.objects.get(key=company.first_plan, version=1)
    start_subscription(account=account, plan=plan, period=first, by=BY)
    for key in company.add_ons:
        add_add_on(account=account, add_on=AddOn.objects.get(key=key), clock=lambda: first, by=BY)
    if company.contracted is not None:
        set_contract(
            account=account,
            metric=Metric.objects.get(key="ai_resolutions"),
            quantity=Decimal(company.contracted),
            unit_price=CONTRACTED_RESOLUTION_PRICE,
            overage_price=None,
            from_period=first,
            by=BY,
        )
    members = _add_members(account, users)
    for email, name in company.contacts:
        add_contact(account=account, email=email, name=name, teammate=members.get(email), by=BY)
    return account


def _add_members(account: Account, users: dict[str, User]) -> dict[str, Teammate]:
    members: dict[str, Teammate] = {}
    for workspace in Workspace.objects.filter(account=account).order_by("key"):
        for person in PEOPLE:
            if workspace.key in person.workspaces:
                alerts, limits, billing = person.flags
                teammate = set_teammate_flags(
                    workspace=workspace,
                    user=users[person.email],
                    can_manage_alerts=alerts,
                    can_manage_limits=limits,
                    can_manage_billing=billing,
                    by=BY,
                )
                members.setdefault(person.email, teammate)
    return members
