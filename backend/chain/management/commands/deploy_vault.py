from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chain import deployments
from transactions.errors import DomainError


class Command(BaseCommand):
    help = "Deploys the vault (on chain 31337 also the test token) on the configured chain, unless it is there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--token",
            metavar="ADDRESS",
            action="append",
            default=[],
            help="offer this token in new agreements (may be given more than once)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            deployments.deploy(say=self.stdout.write)
            for address in options["token"]:
                token = deployments.register_token(address)
                self.stdout.write(f"{token.symbol} at {token.address} is offered")
        except DomainError as error:
            raise CommandError(error.message) from None
