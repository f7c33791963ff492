"""News from the lower apps becomes queue rows; a receiver may do nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.dispatch import receiver
from django_q.tasks import async_task

from alerts.services.evaluate import queue_evaluation
from billing.signals import dispatch_created, terms_changed
from usage.signals import totals_passed_level, usage_corrected


@receiver(totals_passed_level)
@receiver(usage_corrected)
def usage_wants_a_look(account_id: int, **kwargs: Any) -> None:
    """A level was passed, or usage was corrected: somebody may have to be told (Data 7)."""
    queue_evaluation(account_id)


@receiver(terms_changed)
def levels_have_moved(account_id: int, from_period: datetime, **kwargs: Any) -> None:
    """Included amounts changed: the account's totals are looked at again, also those that did not move."""
    async_task("alerts.jobs.evaluate_terms", account_id, from_period.isoformat())


@receiver(dispatch_created)
def invoice_wants_sending(dispatch_id: int, **kwargs: Any) -> None:
    """An invoice is to be sent; the job finds out whether its PDF exists yet."""
    async_task("alerts.jobs.deliver")
