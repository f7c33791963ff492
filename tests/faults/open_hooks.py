"""Settings and app of job processes whose webhooks go to a test: this machine's own address passes for a public one.

All host names lead to it, only `inside.example` turns out to be an address that nothing may be sent to. The queue gives
a job out again when it runs for more than three seconds, although whoever has it still works on it.
"""

from django.apps import AppConfig

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, Q_CLUSTER

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.open_hooks.OpenHooks"]
Q_CLUSTER = Q_CLUSTER | {"timeout": 60, "retry": 3}


class OpenHooks(AppConfig):
    name = "tests.faults.open_hooks"
    label = "open_hooks"

    def ready(self) -> None:
        from alerts.services import webhooks

        def resolve(host: str, port: int) -> list[str]:
            return ["169.254.169.254" if host == "inside.example" else "127.0.0.1"]

        vars(webhooks).update(is_public=lambda address: address == "127.0.0.1", TIME_LIMIT=0.5)
        webhooks.post.__kwdefaults__["resolver"] = resolve
        webhooks.checked_address.__kwdefaults__["resolver"] = resolve
