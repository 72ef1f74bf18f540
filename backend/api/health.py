"""For the machines that watch us: is this process there, and can it do its work. One line per part, no secrets."""

from collections.abc import Callable

from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chain.client import connect
from common.errors import DomainError

BROKER_SECONDS = 2.0


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 if everything that is configured answers, else 503. A chain that is switched off is no fault."""
    lines, is_ready = [], True
    for name, look in PARTS.items():
        try:
            answer = look()
        except Exception as error:
            answer, is_ready = f"FAILED: {_one_line(error)}", False
        lines.append(f"{name}: {answer}")
    return HttpResponse("\n".join(lines) + "\n", status=200 if is_ready else 503, content_type="text/plain")


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        raise RuntimeError(f"{len(plan)} not applied; run `python manage.py migrate`")
    return "ok"


def _broker() -> str:
    with current_app.connection_for_read() as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
    return "ok"


def _chain() -> str:
    if not settings.RPC_URL:
        return "off (RPC_URL is not set)"
    return f"ok, block {connect(settings.CHAIN_ID).eth.block_number}"


PARTS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "broker": _broker,
    "chain": _chain,
}


def _one_line(error: Exception) -> str:
    sentence = error.message if isinstance(error, DomainError) else f"{type(error).__name__}: {error}"
    return " ".join(sentence.split())[:200]
