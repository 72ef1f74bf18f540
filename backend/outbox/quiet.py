"""Keeping the worker's log readable: an outage is one line, not a traceback, and pokes are not worth a line each."""

import logging
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning


class BrokerOutage(logging.Filter):
    """One line when the broker goes, none for each attempt to reconnect; Celery's own "Connected to" ends it."""

    def __init__(self) -> None:
        super().__init__()
        self._said = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten or drop a record of Celery's consumer."""
        message = str(record.msg)
        if message.startswith("Connected to"):
            self._said = False
            return True
        lost = message.startswith("consumer: Connection to broker lost")
        if not lost and not message.startswith("consumer: Cannot connect to"):
            return True
        if self._said:
            return False
        self._said = True
        if lost:
            reason = record.exc_info[1] if record.exc_info else ""
            record.msg, record.args = "broker is away (%s); tasks wait in the outbox, reconnecting", (reason,)
        else:
            arguments = record.args if isinstance(record.args, tuple) else ()
            record.msg = "broker %s is away (%s); tasks wait in the outbox, reconnecting"
            record.args = arguments[:2]
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
        return True


class NoTraceback(logging.Filter):
    """The error's text is enough where a server is away."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the traceback of the record."""
        if record.exc_info and isinstance(record.exc_info[1], OSError | ConnectionError):
            record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]}", ()
            record.exc_info = record.exc_text = None
        return True


class Pokes(logging.Filter):
    """Drop the lines about a poke (a task with `durable=False`) that went as it should."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for received, succeeded and expired pokes."""
        if record.levelno > logging.INFO:
            return True
        data: Any = record.args
        name = data.get("name") if isinstance(data, dict) else data[0] if isinstance(data, tuple) and data else None
        if not isinstance(name, str):
            return True
        from celery import current_app

        return bool(getattr(current_app.tasks.get(name), "durable", True))


def install() -> None:
    """Put the filters on Celery's loggers; twice is harmless."""
    # Said at each lost connection about a setting that we have chosen (settings.py says why).
    warnings.filterwarnings("ignore", message=r"\s*In Celery 5\.1 we introduced", category=CPendingDeprecationWarning)
    outage, no_traceback, pokes = BrokerOutage(), NoTraceback(), Pokes()
    for name, added in {
        "celery.worker.consumer.consumer": outage,
        "celery.worker.consumer.connection": outage,
        "kombu.transport.redis": no_traceback,
        "celery.worker.loops": no_traceback,
        "celery.worker.strategy": pokes,
        "celery.worker.request": pokes,
        "celery.app.trace": pokes,
    }.items():
        logger = logging.getLogger(name)
        if not any(isinstance(present, type(added)) for present in logger.filters):
            logger.addFilter(added)
