"""`manage.py seed_development`: the people of a development machine, so that one can log in at once."""

import json
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction as db_transaction

from chain import sandbox
from common.errors import DomainError
from users.models import User
from users.wallets import primary_wallet

# Known to everybody who reads this, so they exist with DEBUG on only. (role, name, appointments)
PEOPLE: tuple[tuple[str, str, dict[str, bool]], ...] = (
    ("operator", "Olga Operator", {"is_staff": True, "is_superuser": True}),
    ("arbiter", "Ari Arbiter", {"is_arbiter": True}),
    ("reviewer", "Rei Reviewer", {"is_reviewer": True}),
    ("buyer", "Bea Buyer", {}),
    ("seller", "Sol Seller", {}),
)
WITH_WALLET = ("arbiter", "buyer", "seller")


class Command(BaseCommand):
    help = "Creates the demo logins of a development installation and writes them to logins.json. Harmless to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("these logins have public passwords: they exist with DEBUG on only")
        logins = []
        for role, name, appointments in PEOPLE:
            email, password = f"{role}@example.com", f"{role}-development"
            user = _person(email, password, name, appointments)
            if role in WITH_WALLET:
                self._give_wallet(user)
            logins.append({"role": role, "email": email, "password": password})
        path = settings.VAR_DIR / "logins.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        half_written = path.with_suffix(f".{os.getpid()}.tmp")
        half_written.write_text(json.dumps({"logins": logins}, indent=1) + "\n")
        half_written.replace(path)
        self.stdout.write(f"{len(logins)} demo logins: {', '.join(login['email'] for login in logins)}")

    def _give_wallet(self, user: User) -> None:
        if primary_wallet(user) is not None:
            return
        try:
            sandbox.create_wallet(user)
            if not user.is_arbiter:
                sandbox.fund(user)
        except DomainError as error:
            self.stdout.write(f"{user.email} has no wallet yet: {error.message}")


def _person(email: str, password: str, name: str, appointments: dict[str, bool]) -> User:
    """The person as described; what somebody changed since, such as the password, stays."""
    with db_transaction.atomic():
        user = User.objects.filter(email=email).first()
        if user is None:
            user = User.objects.create_user(email, password, display_name=name)
        missing = [field for field, value in appointments.items() if getattr(user, field) != value]
        for field in missing:
            setattr(user, field, True)
        if missing:
            user.save(update_fields=missing)
    return user
