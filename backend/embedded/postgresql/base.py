"""Django's PostgreSQL engine, except that the server is looked for, or started, when a connection is wanted.

`--help`, type checking and Flower never connect, so they start nothing.
"""

from pathlib import Path
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.client import DatabaseClient as PostgresqlClient
from django.db.utils import OperationalError

from embedded import configuration
from embedded.errors import EmbeddedError
from embedded.postgresql import server

REPOSITORY_DIR = Path(__file__).resolve().parents[3]


def address_of_server() -> dict[str, Any]:
    """Host, port, user and password of the embedded server, which runs when this returns."""
    try:
        running = server.ensure_running(configuration.var_dir(REPOSITORY_DIR))
    except EmbeddedError as error:
        raise OperationalError(str(error)) from error
    return {"host": running.host, "port": running.port, "user": running.user, "password": running.password}


class DatabaseClient(PostgresqlClient):
    """`manage.py dbshell`, with the bundled psql."""

    executable_name = str(server.binaries() / "psql")

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Any
    ) -> tuple[list[str], dict[str, str] | None]:
        found = {name.upper(): value for name, value in address_of_server().items()}
        arguments, environment = super().settings_to_cmd_args_env({**settings_dict, **found}, parameters)
        return list(arguments), environment


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection asks for the address anew each time: a server that was restarted may have another port."""

    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        return {**super().get_connection_params(), **address_of_server()}
