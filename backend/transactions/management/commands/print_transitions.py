from typing import Any

from django.core.management.base import BaseCommand

from transactions.transitions import transitions_page


class Command(BaseCommand):
    help = "Print docs/reference/transitions.md from the table of rules."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(transitions_page(), ending="")
