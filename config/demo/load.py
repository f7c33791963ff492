"""Load the demo: everything or, if it is interrupted, nothing."""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta

from django.db import transaction

from alerts.services.delivery import deliver_due
from alerts.services.dispatches import deliver_dispatches
from alerts.services.evaluate import evaluate
from billing.services.documents import render_documents
from config.demo.cast import COMPANIES, create_company, create_people
from config.demo.story import Story, mark_as_read
from config.demo.traffic import arrivals, happenings
from usage.clocks import system_clock
from usage.models import Account, Period

READ_AFTER = timedelta(days=6)


def load_demo(*, now: datetime) -> bool:
    """Make both accounts as they would stand at `now` and send their e-mails. False when the demo is there already."""
    is_new = make_demo(now=now)
    if is_new:
        deliver_due(clock=system_clock)
    return is_new


def make_demo(*, now: datetime) -> bool:
    """`load_demo` without sending what is due."""
    if Account.objects.filter(key__in=[company.key for company in COMPANIES]).exists():
        return False
    with transaction.atomic():
        users = create_people()
        times = arrivals(until=now)
        stories: list[Story] = []
        for company in COMPANIES:
            account = create_company(company, users=users, now=now)
            first = Period.objects.filter(account=account).earliest("starts_at").starts_at
            told = sorted(
                event
                for key, _ in company.workspaces
                for event in happenings(key, times[key], zone=company.zone, since=first)
                if event.at < now
            )
            stories.append(Story(account=account, company=company, told=told, users=users, now=now))
        for _ in heapq.merge(*(story.live() for story in stories)):
            pass
        invoices = [invoice for story in stories for invoice in story.invoices]
        invoices.sort(key=lambda invoice: invoice.issued_at)
        render_documents(invoice_ids=[invoice.pk for invoice in invoices], now=now)
        for invoice in invoices:
            deliver_dispatches(now=invoice.issued_at + timedelta(seconds=30), limit=1)
        evaluate(account_ids=None, now=now)
        mark_as_read(users, before=now - READ_AFTER, now=now)
    return True
