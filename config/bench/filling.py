"""Fills the benchmark's database: a few accounts made by the product's services, thousands copied from them and
millions of events written by the database itself."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from alerts.models import UsageAlert
from billing.models import BillingContact, BillingProfile, PeriodTerms, Plan, Subscription
from billing.services.contacts import add_contact
from billing.services.subscriptions import start_subscription
from config.bench.ground import Ground, Sender, query, tidy
from usage.models import Account, AccountClock, Metric, Period, UsageEvent, Workspace
from usage.services.accounts import create_account
from usage.services.api_keys import create_api_key
from usage.services.audit import Actor
from usage.services.periods import open_period

BY: Final = Actor.of_command("bench")
ZONE: Final = "Europe/Berlin"
SENDERS: Final = 4
WORKSPACES: Final = 5  # of a sender; the copied accounts have one
METRICS: Final = ("conversations", "phone", "sms", "whatsapp", "ai_resolutions", "voice_resolutions")
_DAYS_AGO: Final = 58  # the first model account's start: one period has ended, the next one is nearly over
_THRESHOLD: Final = Decimal(1_000_000)  # three levels for every workspace and metric that nothing here reaches


def fill(ground: Ground) -> None:
    """Accounts, terms, alerts, events and their sums."""
    plan = Plan.objects.get(key="professional", version=1)
    models = [_account(ground, f"model-{group}", 1, plan, group) for group in range(ground.sizes.groups)]
    ground.closings = [Period.objects.filter(account=account).earliest("starts_at").ends_at for account in models]
    _copy_accounts(ground)
    for number in range(SENDERS):
        ground.senders.append(_sender(ground, number, plan))
    _write_events(ground)
    tidy()


def _account(ground: Ground, key: str, workspaces: int, plan: Plan, group: int) -> Account:
    account = create_account(
        key=key,
        name=f"Account {key}",
        zone=ZONE,
        # Later groups began later, so that their periods end one day after the other.
        started_on=(ground.now - timedelta(days=_DAYS_AGO - group)).date(),
        workspaces=[(f"{key}-w{number}", f"Workspace {number}") for number in range(workspaces)],
        now=ground.now,
        by=BY,
    )
    BillingProfile.objects.update_or_create(account=account, defaults={"legal_name": f"{key} Ltd", "country": "IE"})
    first = Period.objects.filter(account=account).earliest("starts_at")
    start_subscription(account=account, plan=plan, period=first.starts_at, by=BY)
    add_contact(account=account, email=f"{key}@bench.example", name="Contact", by=BY)
    open_period(account_id=account.pk, at=ground.now)
    UsageAlert.objects.bulk_create(
        UsageAlert(
            account=account,
            workspace=workspace,
            metric=metric,
            from_period=first.starts_at,
            threshold=_THRESHOLD,
            also_50_80=True,
        )
        for workspace in account.workspaces.all()
        for metric in Metric.objects.filter(key__in=METRICS)
    )
    return account


def _sender(ground: Ground, number: int, plan: Plan) -> Sender:
    # Their periods end after those of all groups, so that closing's rounds leave them alone.
    account = _account(ground, f"sender-{number}", WORKSPACES, plan, ground.sizes.groups)
    _, api_key = create_api_key(
        account=account, name="bench", scopes=["ingest", "read", "decide", "manage"], now=ground.now, by=BY
    )
    workspaces = tuple(account.workspaces.order_by("id").values_list("id", "key"))
    return Sender(account_id=account.pk, api_key=api_key, workspaces=workspaces)


def _copy_accounts(ground: Ground) -> None:
    """As many accounts as the ground wants, copied in turn from the models with everything they have."""
    groups = ground.sizes.groups
    _copy(Account, {"key": "s.key || '-' || n", "name": "s.name || ' ' || n"}, _numbers(ground.sizes.accounts - groups))
    query(
        "CREATE TEMPORARY TABLE copied_account AS SELECT s.id AS old, c.id AS new FROM usage_account s"
        " JOIN usage_account c ON c.key LIKE s.key || '-%' WHERE s.key ~ '^model-[0-9]+$'"
    )
    join = "JOIN copied_account a ON a.old = s.account_id"
    _copy(Workspace, {"account_id": "a.new", "key": "s.key || '-' || a.new"}, join)
    query(
        "CREATE TEMPORARY TABLE copied_workspace AS SELECT s.id AS old, c.id AS new FROM usage_workspace s"
        " JOIN copied_account a ON a.old = s.account_id JOIN usage_workspace c ON c.account_id = a.new"
    )
    for model in (AccountClock, Period, BillingProfile, BillingContact, Subscription, PeriodTerms):
        _copy(model, {"account_id": "a.new"}, join)
    _copy(
        UsageAlert,
        {"account_id": "a.new", "workspace_id": "w.new"},
        f"{join} JOIN usage_workspace v ON v.account_id = a.new JOIN copied_workspace w"
        " ON w.old = s.workspace_id AND w.new = v.id",
    )


def _numbers(copies: int) -> str:
    """A source row of group g becomes the copies g, g + groups, g + 2 × groups …"""
    return (
        f"JOIN generate_series(0, {copies - 1}) AS n"  # noqa: S608 - a number
        " ON n % (SELECT count(*) FROM usage_account) = substring(s.key FROM '[0-9]+$')::int"
    )


def _copy(model: Any, instead: dict[str, str], join: str) -> None:
    """Rows of a model again, with other values in some columns. Whatever columns it has come along."""
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    values = [instead.get(column, f"s.{column}") for column in columns]
    table = model._meta.db_table
    query(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} s {join}")  # noqa: S608


# Every second event belongs to the first sender, every fiftieth to the second one; the others visit all accounts,
# metrics and days in turn. A quarter of all lies in the period that has ended.
_EVENTS: Final = """
INSERT INTO usage_usageevent (account_id, key, content, workspace_id, metric_id, period, day, quantity, occurred_at,
                              received_at, source, event_id, is_void)
SELECT w.account_id, md5('key' || i)::uuid, md5('content' || i)::uuid, w.id, m.id, p.starts_at,
       (at AT TIME ZONE p.zone)::date, m.unit_size, at, at + interval '1 second', 'https://bench.example/app',
       'stored-' || i, false
  FROM generate_series(0, %(events)s - 1) AS i
 CROSS JOIN LATERAL (
       SELECT CASE WHEN i %% 2 = 0 THEN 0 WHEN i %% 50 = 1 THEN %(each)s ELSE 2 * %(each)s END AS first) AS f
 CROSS JOIN LATERAL (SELECT CASE first WHEN 2 * %(each)s THEN %(others)s ELSE %(each)s END AS number) AS n
 CROSS JOIN LATERAL (SELECT i / (CASE first WHEN 0 THEN 2 WHEN %(each)s THEN 50 ELSE 2 END) AS k) AS k
  JOIN bench_workspace w ON w.number = first + k %% n.number
  JOIN bench_metric m ON m.number = k / n.number %% %(metrics)s
  JOIN bench_period p ON p.account_id = w.account_id AND p.is_over = (k / n.number / %(metrics)s %% 4 = 0)
 CROSS JOIN LATERAL (SELECT p.starts_at + (p.until - p.starts_at) * ((i * 7919::bigint) %% 10007 / 10007.0) AS at) AS t
"""
_MAPS: Final = """
CREATE TEMPORARY TABLE bench_workspace AS
SELECT id, account_id, row_number() OVER (ORDER BY array_position(%(first)s::bigint[], account_id), id) - 1 AS number
  FROM usage_workspace;
CREATE TEMPORARY TABLE bench_metric AS
SELECT id, unit_size, row_number() OVER (ORDER BY id) - 1 AS number FROM usage_metric WHERE key = ANY(%(metrics)s);
CREATE TEMPORARY TABLE bench_period AS
SELECT account_id, starts_at, zone, least(ends_at, %(now)s) AS until, ends_at <= %(now)s AS is_over
  FROM usage_period WHERE starts_at < %(now)s;
CREATE INDEX ON bench_workspace (number);
CREATE INDEX ON bench_period (account_id);
ANALYZE bench_workspace; ANALYZE bench_metric; ANALYZE bench_period;
"""
_SUMS: Final = """
INSERT INTO usage_usageday (account_id, workspace_id, metric_id, period, day, quantity)
SELECT account_id, workspace_id, metric_id, period, day, sum(quantity) FROM usage_usageevent GROUP BY 1, 2, 3, 4, 5;
INSERT INTO usage_usagetotal (account_id, workspace_id, metric_id, period, quantity, quantity_in_time, reserved, seq,
                              evaluated_seq, next_level, last_received_at)
SELECT e.account_id, e.workspace_id, e.metric_id, e.period, sum(e.quantity), sum(e.quantity), 0, 1, 0, 0,
       max(e.received_at)
  FROM usage_usageevent e GROUP BY 1, 2, 3, 4;
"""


# A tenth as many conversations as events, a million at most, of all workspaces, each with one answer.
_CONVERSATIONS: Final = """
WITH begun AS (
    INSERT INTO alerts_conversation (account_id, workspace_id, conversation_id, metric_id, is_with_team,
                                     first_answered_by, first_period, first_answered_at)
    SELECT w.account_id, w.id, 'stored-' || i, m.id, false, 'ai_agent', p.starts_at, p.starts_at
      FROM generate_series(0, least(%(events)s / 10, 1000000)) AS i
      JOIN bench_workspace w ON w.number = i %% (SELECT count(*) FROM bench_workspace)
      JOIN bench_metric m ON m.number = 0
      JOIN bench_period p ON p.account_id = w.account_id AND NOT p.is_over
    RETURNING id, first_answered_at
)
INSERT INTO alerts_storedanswer (conversation_id, message_id, answer, answered_at)
SELECT id, 'first', '{}', first_answered_at FROM begun
"""


def _write_events(ground: Ground) -> None:
    first = [sender.account_id for sender in ground.senders[:2]]
    query(_MAPS, {"first": first, "metrics": list(METRICS), "now": ground.now})
    table = UsageEvent._meta.db_table
    # Millions of random keys go into a finished table and an index that is built afterwards, or it takes hours.
    constraints = query(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
        [table],
    )
    indexes = query(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname <> ALL(%s)",
        [table, [name for name, _ in constraints]],
    )
    for name, _ in constraints:
        query(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    for name, _ in indexes:
        query(f'DROP INDEX "{name}"')
    others = ground.sizes.accounts + (SENDERS - 2) * WORKSPACES
    query(
        _EVENTS,
        {"events": ground.sizes.events, "each": WORKSPACES, "others": others, "metrics": len(METRICS)},
    )
    for name, definition in constraints:
        query(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    for _, definition in indexes:
        query(definition)
    query(_SUMS)
    query(_CONVERSATIONS, {"events": ground.sizes.events})
