"""The Celery class of the platform: durable tasks, results that outlive their backend, the relay with the worker."""

from typing import Any

from celery import Celery
from celery.app import backends
from celery.result import AsyncResult

from outbox import quiet
from outbox.relay_step import RelayStep
from outbox.results import remembering


class DurableCelery(Celery):
    """Celery with `outbox.task_base.DurableTask` under every task."""

    task_cls = "outbox.task_base:DurableTask"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("task_cls", self.task_cls)
        super().__init__(*args, **kwargs)
        self.steps["worker"].add(RelayStep)
        quiet.install()

    def _get_backend(self) -> Any:
        # Celery has no public place to wrap a backend; the test of AsyncResult without Redis guards this name.
        backend_class, url = backends.by_url(self.backend_cls or self.conf.result_backend, self.loader)
        return remembering(backend_class)(app=self, url=url)

    def send_task(
        self, name: str, args: Any = None, kwargs: Any = None, *positional: Any, **options: Any
    ) -> AsyncResult:
        """Celery's `send_task`: durable as well, unless the task says `durable=False` or this process has no database.

        A name that this process does not know is written all the same: a worker may know it.
        """
        durable = options.pop("durable", None)
        if options.get("task_type") is not None or positional or durable is False:
            return super().send_task(name, args, kwargs, *positional, **options)
        task = self.tasks.get(name)
        if task is not None:
            if durable is not None:
                options["durable"] = durable
            return task.apply_async(args, kwargs, **options)
        from outbox import messages

        key = options.pop("key", None)
        task_id = options.pop("task_id", None)
        return messages.write(self, messages.prepare(self, name, args, kwargs, task_id=task_id, key=key, **options))[0]
