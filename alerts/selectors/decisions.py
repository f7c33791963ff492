"""Reads for decisions: the limit as a fact, workflows, the resolution rate (spec 4.3, 4.5, 4.6, 4.9)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from alerts.models import HandoverSteps
from alerts.models import Workflow as StoredWorkflow
from alerts.workflow_rules import DEFAULT_HANDOVER, Step, Workflow, handover_steps_from_json
from usage.errors import AccountEnded
from usage.models import Account, Workspace
from usage.rounding import shown_quantity
from usage.services.periods import open_period
from usage.sql import prepared
from usage.written import Written

log = logging.getLogger(__name__)

# The row that counts knows its limit; before the period's first event the limit in force is read from the dated rows.
# A period that nobody opened yet is found by its caller through `starts_at` being too old.
LIMIT_FACTS = """
SELECT m.key, m.unit_size, p.starts_at, p.ends_at, coalesce(t.quantity, 0),
       CASE WHEN t.period IS NULL THEN l.quantity ELSE t.hard_limit END, account.ended_at
FROM usage_metric m
JOIN usage_account account ON account.id = %(account)s
CROSS JOIN (
    SELECT starts_at, ends_at FROM usage_period
    WHERE account_id = %(account)s AND starts_at <= %(now)s ORDER BY starts_at DESC LIMIT 1
) p
LEFT JOIN usage_usagetotal t
    ON t.account_id = %(account)s AND t.workspace_id = %(workspace)s AND t.metric_id = m.id AND t.period = p.starts_at
LEFT JOIN LATERAL (
    SELECT quantity FROM usage_usagelimit u
    WHERE u.account_id = %(account)s AND u.workspace_id = %(workspace)s AND u.metric_id = m.id
      AND u.from_period <= p.starts_at
    ORDER BY u.from_period DESC LIMIT 1
) l ON true
WHERE m.key = ANY(%(metrics)s) AND m.is_active
"""


@dataclass(frozen=True, slots=True)
class LimitFact:
    """The hard limit of a workspace and metric in the running period; quantities in display units."""

    metric: str
    limit: Decimal | None
    used: Decimal
    is_reached: bool
    resets_at: datetime


def limit_facts(*, account_id: int, workspace_id: int, metrics: Sequence[str], now: datetime) -> dict[str, LimitFact]:
    """What is true of the limits at `now`, by metric key; unknown and inactive metrics are absent (spec 4.3).

    One query; opens the period first when nobody has. Raises what `open_period` raises: before the first period, after
    the account's end.
    """
    arguments = {"account": account_id, "workspace": workspace_id, "metrics": list(metrics), "now": now}
    rows = prepared(LIMIT_FACTS, arguments)
    if not rows or any(row[3] <= now for row in rows):
        open_period(account_id=account_id, at=now)
        rows = prepared(LIMIT_FACTS, arguments)
    if rows and rows[0][6] is not None and rows[0][6] <= now:
        raise AccountEnded("The account has ended.")
    return {
        key: LimitFact(
            metric=key,
            limit=None if limit is None else shown_quantity(limit, unit_size=unit_size),
            used=shown_quantity(quantity, unit_size=unit_size),
            is_reached=limit is not None and quantity >= limit,
            resets_at=ends_at,
        )
        for key, unit_size, _, ends_at, quantity, limit, _ in rows
    }


@lru_cache(maxsize=1024)
def parsed_workflows(text: str | None) -> tuple[Workflow, ...]:
    """The workflows of a JSON list, in its order. An unreadable one is skipped and logged: it must not stop answers."""
    workflows = []
    for data in json.loads(text) if text else []:
        try:
            workflows.append(Workflow.from_json(data))
        except ValueError as error:
            log.error("stored workflow skipped: %s", error)
    return tuple(workflows)


@lru_cache(maxsize=1024)
def parsed_handover_steps(text: str | None) -> tuple[Step, ...]:
    """The handover steps of a JSON list; absent or unreadable ones are the default, *Hand over to team* (spec 4.6)."""
    if not text:
        return DEFAULT_HANDOVER
    try:
        return handover_steps_from_json(json.loads(text))
    except ValueError as error:
        log.error("stored handover steps ignored: %s", error)
        return DEFAULT_HANDOVER


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A stored workflow with its place in the list; `rules` is None when the row cannot be read."""

    id: int
    position: int
    name: str
    is_on: bool
    rules: Workflow | None


_WORKFLOWS: Final = Written(
    lambda workspace: StoredWorkflow.objects.filter(workspace=workspace).order_by("position", "id")
)
_HANDOVER: Final = Written(
    lambda workspace: HandoverSteps.objects.filter(workspace=workspace).values_list("steps", flat=True)
)


def workflows_of(*, workspace: Workspace) -> list[WorkflowRow]:
    """All workflows of the workspace in the order in which they are tried, also those that are off."""
    return [workflow_row(row) for row in _WORKFLOWS(workspace=workspace.pk)]


def workflow_row(row: StoredWorkflow) -> WorkflowRow:
    """One stored workflow, read."""
    data: Mapping[str, Any] = {"name": row.name, "audience": row.audience, "branches": row.branches}
    try:
        rules = Workflow.from_json(data)
    except ValueError:
        rules = None
    return WorkflowRow(id=row.pk, position=row.position, name=row.name, is_on=row.is_on, rules=rules)


def handover_steps_of(*, workspace: Workspace) -> tuple[Step, ...]:
    """What happens in the workspace when the agent may not answer."""
    stored = next(iter(_HANDOVER(workspace=workspace.pk)), None)
    return parsed_handover_steps(json.dumps(stored) if stored else None)


PLAN_INCLUDES_WORKFLOWS = """
SELECT plan.includes_workflows
FROM billing_subscription s LEFT JOIN billing_plan plan ON plan.id = s.plan_id
WHERE s.account_id = %(account)s
  AND s.starts_on <= (%(now)s AT TIME ZONE (
      SELECT zone FROM usage_period
      WHERE account_id = %(account)s AND starts_at <= %(now)s ORDER BY starts_at DESC LIMIT 1
  ))::date
ORDER BY s.starts_on DESC LIMIT 1
"""


def workflows_are_included(*, account: Account, now: datetime) -> bool:
    """Whether the plan of the account's local day includes workflows; no plan includes none (spec 4.6)."""
    rows = prepared(PLAN_INCLUDES_WORKFLOWS, {"account": account.pk, "now": now})
    return bool(rows and rows[0][0])


@dataclass(frozen=True, slots=True)
class ResolutionRate:
    """AI resolutions of a period over the conversations that the agent answered first (spec 4.5).

    `percent` is exact, None without such conversations. It passes 100 when the application reports resolutions of
    conversations about which it never asked.
    """

    resolutions: Decimal
    conversations: int

    @property
    def percent(self) -> Decimal | None:
        return self.resolutions * 100 / self.conversations if self.conversations else None


_RESOLUTIONS = """
SELECT m.unit_size,
       (SELECT t.quantity FROM usage_usagetotal t
         WHERE t.account_id = %(account)s AND t.workspace_id = %(workspace)s AND t.metric_id = m.id
           AND t.period = %(period)s),
       (SELECT count(*) FROM alerts_conversation c
         WHERE c.workspace_id = %(workspace)s AND c.metric_id = m.id AND c.first_period = %(period)s
           AND c.first_answered_by = 'ai_agent')
  FROM usage_metric m WHERE m.key = %(metric)s
"""


def resolution_rate(*, workspace: Workspace, period: datetime, metric: str = "ai_resolutions") -> ResolutionRate:
    """The rate of the billing period that starts at `period`; voided resolutions do not count (spec 4.5)."""
    asked = {"account": workspace.account_id, "workspace": workspace.pk, "metric": metric, "period": period}
    for unit_size, used, conversations in prepared(_RESOLUTIONS, asked):
        return ResolutionRate(
            resolutions=shown_quantity(used or Decimal(0), unit_size=unit_size), conversations=conversations
        )
    return ResolutionRate(resolutions=Decimal(0), conversations=0)
