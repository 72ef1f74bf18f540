"""The description that integrators build on, and the pages beside it."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from api.management.commands.seed_development import PEOPLE
from users.models import User


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


class TestTheSchema:
    def test_is_valid_and_complete(self, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")
        assert "arning" not in capsys.readouterr().err

    def test_says_of_every_operation_what_it_does_and_how_it_is_refused(self, schema: dict[str, Any]) -> None:
        dumb = [
            f"{method} {path}"
            for path, methods in schema["paths"].items()
            for method, operation in methods.items()
            if not operation.get("description") or "default" not in operation["responses"]
        ]
        assert not dumb

    def test_has_no_number_where_money_is_meant(self, schema: dict[str, Any]) -> None:
        wrong = [
            f"{name}.{member}"
            for name, component in schema["components"]["schemas"].items()
            for member, kind in component.get("properties", {}).items()
            if member.endswith(("amount", "_units", "total", "fee")) and "string" not in str(kind)
        ]
        assert not wrong


class TestHealth:
    def test_healthz_answers_without_asking_anybody(self) -> None:
        assert Client().get("/healthz").content == b"ok\n"

    def test_readyz_has_a_line_for_every_part(self, db: None, settings: Any) -> None:
        answer = Client().get("/readyz")
        lines = dict(line.split(": ", 1) for line in answer.content.decode().splitlines())
        assert set(lines) == {"database", "migrations", "broker", "chain"}
        assert (lines["database"], lines["migrations"]) == ("ok", "ok")
        assert lines["chain"].startswith("off")

    def test_readyz_is_503_when_a_configured_part_is_away(self, db: None, settings: Any) -> None:
        settings.RPC_URL = "http://127.0.0.1:9"
        answer = Client().get("/readyz")
        assert answer.status_code == 503
        assert "chain: FAILED" in answer.content.decode()


class TestSeeding:
    def test_makes_the_demo_logins_once(self, db: None, settings: Any, tmp_path: Any) -> None:
        settings.DEBUG, settings.VAR_DIR = True, tmp_path
        for _ in range(2):
            call_command("seed_development", stdout=io.StringIO())
        assert User.objects.count() == len(PEOPLE)
        assert User.objects.get(email="operator@example.com").is_superuser
        assert User.objects.get(email="arbiter@example.com").is_arbiter
        assert "reviewer-development" in (tmp_path / "logins.json").read_text()

    def test_refuses_outside_of_development(self, db: None, settings: Any) -> None:
        settings.DEBUG = False
        with pytest.raises(CommandError):
            call_command("seed_development")
        assert not User.objects.exists()
