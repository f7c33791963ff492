from typing import Any

from django.core.management.base import BaseCommand

from config.demo.load import load_demo
from usage.clocks import system_clock


class Command(BaseCommand):
    help = "Load the demo: two accounts with twelve closed periods each. Does nothing when it is there."

    def handle(self, *args: Any, **options: Any) -> None:
        if load_demo(now=system_clock()):
            self.stdout.write("The demo is loaded.")
        else:
            self.stdout.write("The demo is there already.")
