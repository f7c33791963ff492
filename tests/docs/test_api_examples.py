"""Every example of docs/api.md is run as it stands, and answers what it says there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from billing.models import Plan
from billing.services.subscriptions import start_subscription
from tests.factories import BY, make_account, make_key
from usage.clocks import system_clock
from usage.selectors import current_period

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]
TEXT = ROOT / "docs" / "api.md"
EXAMPLE = re.compile(r"```(sh|python)\n(.*?)```\s*```json\n(.*?)```", re.DOTALL)


def contains(answer: Any, said: Any) -> bool:
    """What is said stands in the answer; the answer may say more."""
    if isinstance(said, dict):
        return isinstance(answer, dict) and all(contains(answer.get(name), value) for name, value in said.items())
    return bool(answer == said)


def test_the_examples_answer_what_they_say(live_server: Any) -> None:
    now = system_clock()
    account = make_account("acme", workspaces=("acme",), now=now)
    period = current_period(account, now)
    start_subscription(account=account, plan=Plan.objects.get(key="starter"), period=period.starts_at, by=BY)
    surroundings = {**os.environ, "URL": live_server.url, "KEY": make_key(account)}
    examples = EXAMPLE.findall(TEXT.read_text())
    assert len(examples) >= 16
    for language, command, said in examples:
        run = ["bash", "-c", command] if language == "sh" else [sys.executable, "-c", command]
        done = subprocess.run(run, env=surroundings, capture_output=True, check=True, timeout=30)
        answer = json.loads(done.stdout)
        assert contains(answer, json.loads(said)), (command, answer)


def test_the_event_of_the_readme_is_accepted(live_server: Any) -> None:
    account = make_account("demo", workspaces=("atlas",))
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    assignment, command = block[1].strip().split("\n", 1)
    assert "manage.py create_api_key --account demo --scopes ingest" in assignment
    command = command.replace("http://localhost:8000", live_server.url)
    surroundings = {**os.environ, "KEY": make_key(account, "ingest")}
    done = subprocess.run(["bash", "-c", command], env=surroundings, capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout) == {"accepted": 1, "duplicate": 0, "rejected": []}
    assert "answers `" + done.stdout.decode() + "`" in (ROOT / "README.md").read_text()
