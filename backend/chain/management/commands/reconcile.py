import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chain.reconciliation import reconcile
from transactions.errors import DomainError


class Command(BaseCommand):
    help = "Compares the database with the vault to the last unit; prints every difference and then exits with 1."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("transaction", nargs="*", type=int, help="ids; without any, all transactions")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            compared, differences = reconcile(options["transaction"] or None)
        except DomainError as error:
            raise CommandError(error.message) from None
        for difference in differences:
            self.stdout.write(str(difference))
        self.stdout.write(f"{compared} transactions compared, {len(differences)} differences")
        if differences:
            sys.exit(1)
