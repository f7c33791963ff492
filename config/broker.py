"""Which job comes next: what people wait for before what may wait (spec 2.8, 5.9).

A thousand invoices take minutes to render. Their jobs stand in a queue of their own, and the same workers take one only
when no other job is there, so an alert or a reached limit is told at once also at a month's turn.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.utils import timezone
from django_q.brokers import orm
from django_q.conf import Conf

LAST: Final = str(settings.DOCUMENT_JOBS)


class Broker(orm.ORM):  # type: ignore[misc]
    """django-q2's broker over PostgreSQL with two queues, read in order."""

    def dequeue(self) -> Any:
        """(id, payload) of the jobs taken; after a pause None when there is none."""
        rows = self.get_connection().filter(lock__lt=timezone.now())
        for key in (self.list_key, LAST):
            # Ordered: the sooner queued is taken sooner.
            for row in rows.filter(key=key).order_by("id")[: Conf.BULK]:
                # Another cluster may have been faster.
                if self.get_connection().filter(id=row.id, lock=row.lock).update(lock=self.timeout(row)):
                    return [(row.pk, row.payload)]
        return super().dequeue()
