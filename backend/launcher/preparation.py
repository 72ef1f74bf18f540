"""`python -m launcher.preparation`: migrate, deploy the vault, make the demo logins, in one process.

Each step does nothing when it was done, so it runs at every start. One process, because loading Django three times
would take longer than the work.
"""

import os
import sys


def main() -> int:
    """Run the steps that there are; the last line printed says what went wrong."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")
    import django
    from django.conf import settings
    from django.core.management import CommandError, call_command, get_commands
    from django.db import DatabaseError, connection
    from django.db.migrations.executor import MigrationExecutor

    django.setup()
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=1)
        steps = [*(["deploy_vault"] if settings.RPC_URL else []), *(["seed_development"] if settings.DEBUG else [])]
        for step in steps:
            if step in get_commands():
                call_command(step)
            else:
                print(f"there is no command {step}")
    except (CommandError, DatabaseError) as error:
        print(" ".join(str(error).split()))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
