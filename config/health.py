"""Is Headroom well? For machines `/healthz` and `/readyz`, for operators the findings of the health page (spec 7.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.models import OrmQ

from billing.models import BillingContact
from billing.selectors.due import due_periods
from usage.clocks import system_clock
from usage.formats import local_minute, number
from usage.models import Account, Heartbeat, JobRun
from usage.sql import prepared
from usage.written import Written

GOOD, ODD, BAD, PLAIN = "good", "odd", "bad", "plain"

# Workers give a sign of life every ten seconds, but the queue may be long.
LATE_HEARTBEAT: Final = timedelta(seconds=60)
LONG_QUEUE: Final = 1000
SHOWN: Final = 20
NO_WORKERS: Final = "Nothing is told, sent or billed until one runs: start bin/run, or manage.py run_jobs."


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the health page. `state` is good, odd, bad or plain; `links` are (text, address)."""

    label: str
    value: str
    state: str = GOOD
    detail: str = ""
    links: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The health page in one line: the worst state, and what is in it."""

    state: str
    words: str
    about: tuple[Finding, ...]


# --- For machines -----------------------------------------------------------------------------------------------------


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nothing else, so that a slow database does not get it killed."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when pages and jobs can work: the database answers, its tables are this version's, workers take jobs. 503
    otherwise; the body names what is missing."""
    facts = {"database": False, "migrations": False, "jobs": False}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        facts["database"] = True
        facts["migrations"] = _is_migrated()
        if facts["migrations"]:
            facts["jobs"] = any(_is_alive(beat, system_clock()) for beat in Heartbeat.objects.all())
    except (DatabaseError, InterfaceError):
        connection.close()
    return JsonResponse(facts, status=200 if all(facts.values()) else 503)


def _is_migrated() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _is_alive(beat: Heartbeat, now: datetime) -> bool:
    return now - beat.beat_at <= LATE_HEARTBEAT


# --- For operators ----------------------------------------------------------------------------------------------------


def findings(*, now: datetime) -> list[tuple[str, list[Finding]]]:
    """What the health page says at `now`, in groups. The number of queries does not depend on how much there is."""
    runs = {run.name: run for run in _last_runs()}
    counts = _counted(now)
    return [
        ("Jobs", [_heartbeat(now), _queue(now, counts), _failed_jobs(counts)]),
        (
            "Sweeps",
            [
                _sweep("Last refresh", "refresh", runs, every=timedelta(minutes=30), now=now),
                _sweep("Last limit recalculation", "recalculate-limits", runs, every=timedelta(hours=1), now=now),
                _sweep("Last closing sweep", "close-due-periods", runs, every=timedelta(minutes=5), now=now),
            ],
        ),
        ("Messages", [_deliveries(counts), _contacts()]),
        ("Invoices", [_due(now), _renderings(counts)]),
        ("Facts", [_invariants(runs)]),
        ("Installation", list(_installation())),
    ]


def verdict(groups: list[tuple[str, list[Finding]]]) -> Verdict:
    """What `findings` come to."""
    found = [finding for _, group in groups for finding in group]
    for state, words in ((BAD, "Something is wrong"), (ODD, "Look at this")):
        about = tuple(finding for finding in found if finding.state == state)
        if about:
            return Verdict(state, words, about)
    return Verdict(GOOD, "All is well", ())


def _heartbeat(now: datetime) -> Finding:
    beats = _last_beats()
    alive = [beat for beat in beats if _is_alive(beat, now)]
    links = (("Heartbeats", reverse("admin:usage_heartbeat_changelist")),)
    if alive:
        plural = "s" if len(alive) > 1 else ""
        return Finding(
            "Workers", f"{len(alive)} cluster{plural} alive", GOOD, f"last sign {ago(alive[0].beat_at, now)}", links
        )
    if not beats:
        return Finding("Workers", "none", BAD, f"No cluster of workers runs. {NO_WORKERS}", links)
    last = ago(beats[0].beat_at, now)
    return Finding("Workers", "silent", BAD, f"The last sign of life was {last}. {NO_WORKERS}", links)


def _queue(now: datetime, counts: Mapping[str, int]) -> Finding:
    depth = counts["queue"]
    overdue = next(iter(_overdue(before=now - timedelta(minutes=5))), None)
    links = (("Queue", reverse("admin:django_q_ormq_changelist")),)
    shown = f"more than {number(LONG_QUEUE)}" if depth > LONG_QUEUE else number(depth)
    jobs = f"{shown} job{'' if depth == 1 else 's'}"
    if overdue is not None and overdue.lock is not None:
        said = f"The oldest should have begun {ago(overdue.lock, now)}: start workers, or more of them (JOB_WORKERS)."
        return Finding("Queue", jobs, BAD, said, links)
    return Finding("Queue", jobs, ODD if depth > LONG_QUEUE else GOOD, links=links)


def _failed_jobs(counts: Mapping[str, int]) -> Finding:
    failed = counts["failures"]
    links = (("Failed jobs", reverse("admin:django_q_failure_changelist")),)
    said = "The error stands on each job's page; the sweeps make up for it." if failed else ""
    return Finding("Failed jobs, last 24 hours", number(failed), ODD if failed else GOOD, said, links)


def _sweep(label: str, name: str, runs: Mapping[str, JobRun], *, every: timedelta, now: datetime) -> Finding:
    links = (("Runs", f"{reverse('admin:usage_jobrun_changelist')}?name={name}"),)
    last = runs.get(name)
    minutes = int(every.total_seconds() // 60)
    if last is None or last.finished_at is None:
        return Finding(label, "never", ODD, f"It runs every {minutes} minutes, and has not yet.", links)
    if now - last.finished_at > every * 2:
        late = f"It should run every {minutes} minutes: see that workers run."
        return Finding(label, ago(last.finished_at, now), BAD, late, links)
    detail = ", ".join(f"{key} {value}" for key, value in (last.result or {}).items() if not isinstance(value, list))
    return Finding(label, ago(last.finished_at, now), GOOD, detail, links)


def _deliveries(counts: Mapping[str, Any]) -> Finding:
    failed, late, trying = counts["failed"], counts["late"], counts["trying"]
    page = reverse("admin:alerts_delivery_changelist")
    said = f"{number(trying)} to be tried again by themselves" + (f", {number(late)} wait for workers" if late else "")
    if failed:
        said += ". The reason stands on each one's page: mend it, then Replay."
    links = (("Failed", f"{page}?state__exact=failed"), ("Waiting", f"{page}?state__exact=waiting"))
    state = BAD if failed else ODD if late or trying else GOOD
    return Finding("Failed deliveries", number(failed), state, said, links, tuple(counts["reasons"]))


def _contacts() -> Finding:
    found = _without_contacts()
    if not found:
        return Finding("Accounts without billing contacts", "0")
    shown = f"more than {SHOWN}" if len(found) > SHOWN else str(len(found))
    add = reverse("admin:billing_billingcontact_add")
    links = tuple((str(account), f"{add}?account={account.pk}") for account in found[:SHOWN])
    return Finding("Accounts without billing contacts", shown, ODD, "Nobody gets their alerts by e-mail.", links)


def _due(now: datetime) -> Finding:
    late = timedelta(minutes=15)
    waiting = [due for due in due_periods(now=now) if due.ends_at and due.ends_at + due.grace + late < now]
    detail = "Their invoices should have been issued by now: see that workers run."
    detail = detail if waiting else ""
    return Finding("Accounts with a billing period that waits", number(len(waiting)), ODD if waiting else GOOD, detail)


def _renderings(counts: Mapping[str, int]) -> Finding:
    troubles = counts["troubles"]
    links = (("Rendering troubles", reverse("admin:billing_renderingtrouble_changelist")),)
    said = "They are issued and valid; the PDF is tried again by itself." if troubles else ""
    return Finding("Invoices whose PDF could not be made", number(troubles), BAD if troubles else GOOD, said, links)


def _invariants(runs: Mapping[str, JobRun]) -> Finding:
    last = runs.get("check-invariants")
    label = "What must always hold"
    if last is None:
        return Finding(
            label, "not checked yet", PLAIN, "The check reads all usage; on a large installation run it at night."
        )
    result: dict[str, Any] = last.result or {}
    count = result.get("violations", 0)
    checked = f"checked {local_minute(last.finished_at, 'UTC')}" if last.finished_at else ""
    if count:
        said = f"{checked}. Totals are recounted from events by manage.py rebuild_usage --account KEY."
        shown = f"{count} violation{'' if count == 1 else 's'}"
        return Finding(label, shown, BAD, said, lines=tuple(result.get("lines", ())))
    return Finding(label, "holds", GOOD, checked)


def _installation() -> Iterator[Finding]:
    if not settings.DATABASE_URL:
        yield Finding(
            "Database",
            "embedded PostgreSQL",
            ODD,
            "Good for trying Headroom out. For real use set DATABASE_URL to a server that is backed up.",
        )
    else:
        yield Finding("Database", "PostgreSQL server", GOOD)
    backend = settings.MAILERS["default"]["BACKEND"].rpartition(".")[0].rpartition(".")[2]
    if backend == "smtp":
        yield Finding("E-mail", "SMTP", GOOD)
    else:
        kept = {"filebased": "kept in files", "console": "shown on the console"}.get(backend, backend)
        yield Finding("E-mail", kept, ODD, "E-mails are not sent to people. Set EMAIL_URL to a mail server.")
    if settings.DEBUG:
        yield Finding("DEBUG", "on", BAD, "Error pages show the insides of the installation to everybody.")
    if not settings.LIVE_EVALUATION:
        yield Finding("Live evaluation", "off", PLAIN, "Alerts and limits are told by the sweeps alone.")


# --- What the page asks, each put into SQL once -----------------------------------------------------------------------


def _counted(now: datetime) -> dict[str, Any]:
    """How much there is of what may grow, in one statement; of what may be very much no more than LONG_QUEUE + 1.
    `reasons`: why a message of each channel could not be sent so far."""
    times = {"a_day_ago": now - timedelta(days=1), "ten_minutes_ago": now - timedelta(minutes=10)}
    (row,) = prepared(_COUNTS, times)
    return dict(zip(("queue", "failures", "failed", "late", "trying", "reasons", "troubles"), row, strict=True))


_COUNTS: Final = f"""
SELECT
    (SELECT count(*) FROM (SELECT FROM django_q_ormq LIMIT {LONG_QUEUE + 1}) found),
    (SELECT count(*) FROM django_q_task WHERE NOT success AND stopped > %(a_day_ago)s),
    (SELECT count(*) FROM (SELECT FROM alerts_delivery WHERE state = 'failed' LIMIT {LONG_QUEUE + 1}) found),
    (SELECT count(*) FROM (
        SELECT FROM alerts_delivery
        WHERE state = 'waiting' AND next_attempt_at < %(ten_minutes_ago)s LIMIT {LONG_QUEUE + 1}
    ) found),
    (SELECT count(*) FROM (
        SELECT FROM alerts_delivery WHERE state = 'waiting' AND attempts > 0 LIMIT {LONG_QUEUE + 1}
    ) found),
    ARRAY(SELECT DISTINCT ON (channel) channel || ': ' || last_error FROM (
        SELECT id, channel, last_error
        FROM alerts_delivery WHERE state = 'waiting' AND attempts > 0 LIMIT {LONG_QUEUE + 1}
    ) found ORDER BY channel, id DESC),
    (SELECT count(*) FROM billing_renderingtrouble)
"""  # noqa: S608 - a constant of this module


def _runs() -> QuerySet[JobRun]:
    """The last finished run of each job that the page shows."""
    finished = JobRun.objects.filter(finished_at__isnull=False).order_by("-finished_at").values("pk")
    names = ("refresh", "recalculate-limits", "close-due-periods", "check-invariants")
    last: list[Any] = [Subquery(finished.filter(name=name)[:1]) for name in names]
    return JobRun.objects.filter(pk__in=last)


def _without() -> QuerySet[Account]:
    told = BillingContact.objects.values("account")
    return Account.objects.filter(is_sandbox=False, ended_at=None).exclude(pk__in=told).order_by("name", "key")


_last_runs = Written(_runs)
_last_beats = Written(lambda: Heartbeat.objects.order_by("-beat_at")[:SHOWN])
_overdue = Written(lambda before: OrmQ.objects.filter(lock__lt=before).order_by("lock")[:1])
_without_contacts = Written(lambda: _without()[: SHOWN + 1])


def ago(moment: datetime, now: datetime) -> str:
    """`12 s ago`, `7 min ago`, `3 h ago`, `2 days ago`."""
    seconds = max(int((now - moment).total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s ago"
    if seconds < 7200:
        return f"{seconds // 60} min ago"
    return f"{seconds // 3600} h ago" if seconds < 172_800 else f"{seconds // 86_400} days ago"
