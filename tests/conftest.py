"""What every test may use: real Chromium, a real SMTP server. The database is real PostgreSQL, always."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django.plugin import blocking_manager_key

from config.env import mailers
from tests.smtp import SmtpSink

# Playwright's synchronous API runs an event loop in the test's own thread; Django would refuse the database there.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the machine's own browser. Without one a test is skipped, but in CI it fails."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path:
        return path
    if os.environ.get("CI"):
        pytest.fail("chromium is missing: run bin/setup")
    pytest.skip("chromium is not installed (bin/setup installs it)")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], chromium: str) -> dict[str, Any]:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
    return {**browser_type_launch_args, "executable_path": chromium, "args": [*flags, *quiet]}


@pytest.fixture
def page(page: Any) -> Iterator[Any]:
    """A browser page that fails its test when a script breaks or anything offends the content security policy."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        # An answer such as 403 or 422 is logged as a failed resource although the page deals with it.
        lambda line: (
            complaints.append(line.text)
            if line.type == "error" and not line.text.startswith("Failed to load resource")
            else None
        ),
    )
    yield page
    assert complaints == []


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    """A real SMTP server."""
    sink = SmtpSink()
    sink.start()
    yield sink
    sink.stop()


@pytest.fixture
def smtp_sink(sink: SmtpSink, settings: Any) -> SmtpSink:
    """A real SMTP server that the product's mail goes to during the test."""
    settings.MAILERS = mailers(sink.url, settings.VAR)
    return sink


def _create_what_migrations_create() -> None:
    from billing.default_plans import create_default_plans
    from billing.models import AddOn, Plan, Rate
    from usage.default_metrics import create_default_metrics
    from usage.models import Metric

    create_default_metrics(Metric)
    create_default_plans(plan_model=Plan, add_on_model=AddOn, rate_model=Rate, metric_model=Metric)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database kept from an earlier run may have been emptied by its last test. At the end PostgreSQL may not have
    noticed yet that a process which a test killed is gone, and a database in use cannot be dropped."""
    with django_db_blocker.unblock():
        _create_what_migrations_create()
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where files are dealt out to several processes, those that take long come first: at the end one process would
    work on them while the others have nothing left to do."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        long = {item.path for item in items if item.get_closest_marker("faults") or item.get_closest_marker("browser")}
        items.sort(key=lambda item: (item.path not in slow, item.path not in long))


_EMPTIED = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test with real transactions empties every table afterwards: what migrations created comes back before the next
    test, whichever that is, because files are dealt out to several processes."""
    if item.config.stash.get(_EMPTIED, False):
        with item.config.stash[blocking_manager_key].unblock():
            _create_what_migrations_create()
        item.config.stash[_EMPTIED] = False


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    marker = item.get_closest_marker("django_db")
    is_transactional = marker is not None and marker.kwargs.get("transaction", False)
    if is_transactional or {"transactional_db", "live_server"} & set(getattr(item, "fixturenames", ())):
        item.config.stash[_EMPTIED] = True
