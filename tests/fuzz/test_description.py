"""The API's description is true: schemathesis reads it, makes requests of it, good and bad, and judges every answer.

`HEADROOM_EXAMPLES=500 bin/test tests/fuzz/test_description.py` asks longer.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from config.wsgi import application
from tests.alerts.conversations import make_account
from tests.factories import bearer, make_key

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

EXAMPLES = int(os.environ.get("HEADROOM_EXAMPLES", "12"))
# What is in the account; bodies are what is varied here. (Addresses are varied by test_bad_requests.)
_PLACES = {"path.key": "atlas", "path.metric": "ai_resolutions", "path.reservation_id": "held"}


@pytest.fixture
def described() -> Any:
    """The API's description with a key that may do everything, for an account that has what the paths name."""
    account = make_account("atlas", workspaces=("atlas", "birch"))
    headers = bearer(make_key(account)) | {"Accept-Encoding": "identity"}
    reservation = {"metric": "sms", "quantity": 5, "id": "held", "expires_in": 86_400}
    address = "/api/v1/workspaces/atlas/reservations"
    assert Client().post(address, reservation, content_type="application/json", headers=headers).status_code == 200
    description = schemathesis.openapi.from_wsgi("/api/openapi.json", application, headers=headers)
    description.config.update(headers=headers, parameters=_PLACES)
    return description


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_a_described_one(described: Any, mode: GenerationMode) -> None:
    asked = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            response = case.call()
            assert response.status_code < 500, response.content
            case.validate_response(response, excluded_checks=[checks.positive_data_acceptance])

        try:
            ask()
        except Unsatisfiable:
            continue  # nothing about this operation can be wrong
        asked += 1
    assert asked >= 10
