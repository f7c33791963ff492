"""Querysets written once answer like those that the ORM writes each time."""

from __future__ import annotations

import threading

import pytest
from django.core.signals import request_started
from django.db import connection, connections
from django.db.models import Exists, OuterRef
from django.db.models.functions import Length

from tests import factories
from usage.models import Account, Metric, Workspace
from usage.sql import together
from usage.written import Written, any_of

pytestmark = pytest.mark.django_db

OF_ACCOUNT = Written(
    lambda account: Workspace.objects.filter(account=account).select_related("account").order_by("key")
)
NAMES = Written(lambda account: Workspace.objects.filter(account=account).order_by("key").values_list("key", "name"))
KEYS = Written(lambda keys: Account.objects.filter(any_of("key", keys)).order_by("key").values_list("key", flat=True))


def test_each_question_has_its_own_answer_and_costs_one_statement(django_assert_num_queries) -> None:
    first = factories.make_account("one", workspaces=("atlas", "birch"))
    second = factories.make_account("two", workspaces=("cobalt",))
    OF_ACCOUNT(account=first.pk)
    with django_assert_num_queries(2):
        answers = [[each.key for each in OF_ACCOUNT(account=account.pk)] for account in (first, second)]
    assert answers == [["atlas", "birch"], ["cobalt"]]


def test_instances_are_the_models_own_with_what_was_selected_beside_them(django_assert_num_queries) -> None:
    account = factories.make_account("one", workspaces=("atlas",))
    (workspace,) = OF_ACCOUNT(account=account.pk)
    with django_assert_num_queries(0):
        assert workspace.account == account
    workspace.name = "Renamed"
    workspace.save()
    (again,) = OF_ACCOUNT(account=account.pk)
    assert again.name == "Renamed"
    assert again is not workspace


def test_values_and_lists_may_be_asked_for() -> None:
    account = factories.make_account("one", workspaces=("atlas",))
    factories.make_account("two", workspaces=("birch",))
    assert [key for key, _ in NAMES(account=account.pk)] == ["atlas"]
    assert KEYS(keys=["two", "one", "three"]) == ["one", "two"]
    assert KEYS(keys=[]) == []


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_since_the_last_request_is_made_anew() -> None:
    account = factories.make_account("one", workspaces=("atlas",))
    dead = connection.connection
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [dead.info.backend_pid])
    other.close()
    request_started.send(sender=None, environ={})
    assert [each.key for each in OF_ACCOUNT(account=account.pk)] == ["atlas"]
    assert connection.connection is not dead


@pytest.mark.django_db(transaction=True)
def test_questions_asked_together_answer_like_single_ones(django_assert_num_queries) -> None:
    account = factories.make_account("one", workspaces=("atlas", "birch"))
    with django_assert_num_queries(2):
        workspaces, names = together(OF_ACCOUNT.read(account=account.pk), NAMES.read(account=account.pk))
    assert [each.key for each in workspaces] == [key for key, _ in names] == ["atlas", "birch"]


def test_json_and_columns_that_were_computed_are_read_as_the_orm_reads_them() -> None:
    factories.make_account("one", workspaces=("atlas",))
    Metric.objects.filter(key="sms").update(filters=[{"attribute": "channel", "values": ["web", "ümlaut"]}])
    is_sms = Exists(Metric.objects.filter(pk=OuterRef("pk"), key="sms"))
    rows = Metric.objects.annotate(length=Length("key"), is_sms=is_sms)
    asked = Written(lambda key: rows.filter(key=key))
    (found,), wanted = asked(key="sms"), rows.get(key="sms")
    for name in (*(field.attname for field in Metric._meta.concrete_fields), "length", "is_sms"):
        assert getattr(found, name) == getattr(wanted, name), name


@pytest.mark.django_db(transaction=True)
def test_threads_ask_at_the_same_time_without_hearing_each_other() -> None:
    accounts = [factories.make_account(f"account-{n}", workspaces=(f"place-{n}",)) for n in range(4)]
    heard: dict[int, set[str]] = {}

    def ask(number: int) -> None:
        heard[number] = {each.key for _ in range(50) for each in OF_ACCOUNT(account=accounts[number].pk)}
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {number: {f"place-{number}"} for number in range(4)}
