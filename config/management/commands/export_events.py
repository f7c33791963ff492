"""`manage.py export_events --account KEY > usage.csv`: every event of an account as CSV, at any number."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.arguments import account_with_key
from usage.models import Metric
from usage.selectors import EventRow, iterate_events
from usage.services.transfer import export_events


class Command(BaseCommand):
    help = "Write the events of an account as CSV, corrections among them; import_events reads the same columns."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="KEY", required=True)
        parser.add_argument("--workspace", metavar="KEY", help="only this workspace")
        parser.add_argument("--metric", metavar="KEY", help="only this metric")

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_with_key(options["account"])
        places = {place.pk: place.key for place in account.workspaces.order_by("pk")}
        metrics = {metric.pk: metric for metric in Metric.objects.order_by("position", "key")}
        chosen_places = [pk for pk, key in places.items() if options["workspace"] in (None, key)]
        chosen_metrics = [pk for pk, metric in metrics.items() if options["metric"] in (None, metric.key)]
        if not chosen_places or not chosen_metrics:
            raise CommandError("The account has no such workspace, or there is no such metric.")

        def rows() -> Iterator[EventRow]:
            for starts_at in account.periods.order_by("starts_at").values_list("starts_at", flat=True):
                for metric_id in chosen_metrics:
                    yield from iterate_events(
                        account_id=account.pk, workspace_ids=chosen_places, metric_id=metric_id, period=starts_at
                    )

        for line in export_events(rows(), workspaces=places, metrics=metrics):
            self.stdout.write(line, ending="")
