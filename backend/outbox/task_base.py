"""`app.Task` of the platform: Celery's own surface, durable underneath.

`.delay()` and `.apply_async()` write a row in the caller's database transaction and return. The relay publishes it
after the commit, a worker claims the row, and the row's end state is written when the task has ended. The surface stays
Celery's: countdown, eta, expires, queue, link, link_error, chain, group, `self.retry`, `autoretry_for`, AsyncResult.

Besides Celery's options a task may say
- `durable=False`: published straight to the broker and forgotten with it; for pokes that the clock repeats anyway;
- `atomic=True`: the body and the row's end state are one database transaction, so effects in the database happen
  exactly once, however the worker dies. Leave it off for a task that talks to a network: it must commit what it marked
  before it touches the wire.
and a call may pass `key=...`: a second call with the same key is no call.

How a run is kept single: the worker's process holds a session advisory lock of the row, on a connection of its own,
for exactly as long as it runs. A second delivery finds the lock taken or the row settled, and does nothing; when a
worker is killed, its lock is free at once and the row is run again, at most `OUTBOX_MAX_LOSSES` times.
"""

import contextlib
import logging
from typing import Any

from celery import Task
from celery.canvas import _chain, group, maybe_signature
from celery.exceptions import Ignore, Reject, Retry
from celery.result import AsyncResult, denied_join_result
from celery.utils import uuid
from celery.worker.request import Request
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.db import transaction as db_transaction
from kombu.exceptions import OperationalError as BrokerDown

from outbox import claims, messages
from outbox.claims import Claim, State
from outbox.errors import CanvasNotDurable, ClaimLost
from outbox.messages import OUTBOX_ID
from outbox.serialization import plain, plain_arguments, revive

logger = logging.getLogger(__name__)


class DurableRequest(Request):
    """The worker's view of a message, in the process above the one that runs the task."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Celery kills the child at the hard limit: the row must say so, or it would run again."""
        super().on_timeout(soft, timeout)
        if not soft:
            self._close_row(State.FAILED, f"TimeLimitExceeded: stopped after its time limit of {timeout:g} seconds")

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        super()._announce_revoked(reason, terminated, signum, expired)
        self._close_row(State.REVOKED, "expired before a worker could start it" if expired else f"revoked ({reason})")

    def _close_row(self, state: str, error: str) -> None:
        if self._request_dict.get(OUTBOX_ID) is None:
            return
        try:
            claims.close_from_outside(self._app, self.id, state, error)
        except (OperationalError, InterfaceError):
            logger.warning("database is away: %s[%s] could not be closed (%s)", self.name, self.id, error)
        finally:
            # This process forks: it must not keep a connection that a child would inherit.
            connections.close_all()


class DurableTask(Task):
    """Base of every task of the app. See the module's text."""

    abstract = True
    Request = DurableRequest
    durable = True
    atomic = False

    # --- the caller's side ------------------------------------------------------------------------------------------

    def apply_async(
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult:
        """Celery's `apply_async`, as a row in the caller's database transaction.

        Raises ArgumentsNotSerializable for arguments that JSON cannot carry, TypeError if they do not fit the task,
        CanvasNotDurable for a chord. `key=` makes a repeat of the call a no-op.
        """
        key = options.pop("key", None)
        durable = options.pop("durable", None)
        app = self._get_app()
        claim = claims.running.get()
        if app.conf.task_always_eager:
            return self._apply_eagerly(args, kwargs, task_id, link, link_error, options)
        if durable is None:
            durable = self.durable
        if not durable and not (claim and claim.settling):
            return self._poke(args, kwargs, task_id, producer, link, link_error, shadow, options)

        if self.soft_time_limit and self.time_limit and self.soft_time_limit > self.time_limit:
            raise ValueError("soft_time_limit must be less than or equal to time_limit")
        if self.typing:
            check_arguments = getattr(self, "__header__", None)
            if check_arguments is not None:
                check_arguments(*(args or ()), **(kwargs or {}))
        options = {**self._get_exec_options(), **options}
        options.setdefault("ignore_result", self.ignore_result)
        if self.priority:
            options.setdefault("priority", self.priority)
        message = messages.prepare(
            app,
            self.name,
            args,
            kwargs,
            task_id=task_id,
            key=key,
            task=self,
            link=link,
            link_error=link_error,
            shadow=shadow or self.shadow_name(args, kwargs, options),
            **options,
        )
        if claim is not None and claim.task_id == message.task_id and not claim.settling:
            claim.successor = message  # retry() or replace(): it goes onto the row that runs, when the run has ended
            return self.AsyncResult(message.task_id)
        return messages.write(app, message)[0]

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """What Celery's task for Django offers; here `delay` itself takes effect with the caller's commit."""
        return self.delay(*args, **kwargs)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """As `delay_on_commit`, with options."""
        return self.apply_async(*args, **kwargs)

    def _poke(
        self,
        args: Any,
        kwargs: Any,
        task_id: str | None,
        producer: Any,
        link: Any,
        link_error: Any,
        shadow: str | None,
        options: dict[str, Any],
    ) -> AsyncResult:
        """Celery's own way, straight to the broker. If that is away the poke is lost, which is what a poke is."""
        plain_arguments(self.name, args, kwargs)
        task_id = task_id or uuid()
        try:
            return super().apply_async(args, kwargs, task_id, producer, link, link_error, shadow, **options)
        except (BrokerDown, OSError) as error:
            logger.warning("broker is away (%s): %s was not poked", _line(error), self.name)
            return self.AsyncResult(task_id)

    def _apply_eagerly(
        self, args: Any, kwargs: Any, task_id: str | None, link: Any, link_error: Any, options: dict[str, Any]
    ) -> AsyncResult:
        if self.typing:
            check_arguments = getattr(self, "__header__", None)
            if check_arguments is not None:
                check_arguments(*(args or ()), **(kwargs or {}))
        plain_args, plain_kwargs = plain_arguments(self.name, args, kwargs)
        options = {**self._get_exec_options(), **options}
        options.setdefault("ignore_result", self.ignore_result)
        with denied_join_result():
            return self.apply(
                revive(plain_args),
                revive(plain_kwargs),
                task_id=task_id or uuid(),
                link=link,
                link_error=link_error,
                **options,
            )

    # --- the worker's side ------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if request.called_directly or request.get("outbox_entered"):
            return super().__call__(*args, **kwargs)
        request.outbox_entered = True  # a direct call of this task from inside its own run is a plain call
        row_id = request.get(OUTBOX_ID)
        if row_id is None or request.is_eager:
            if not request.is_eager:
                close_old_connections()  # one that the server has closed meanwhile must not fail the task
            with db_transaction.atomic() if self.atomic else contextlib.nullcontext():
                return self.run(*args, **kwargs)
        return self._run_row(int(row_id))

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's `retry`; the next attempt waits in the row (state, number of retries, time), not in the broker."""
        claim = claims.running.get()
        try:
            return super().retry(*args, **kwargs)
        except Retry:
            raise
        except BaseException:
            if claim is not None and claim.task_id == self.request.id:
                claim.exhausted = True
            raise

    def replace(self, sig: Any) -> Any:
        """Celery's `replace`, for a single task: the row goes on as that task."""
        if isinstance(sig, (_chain, group)) or sig.task in ("celery.chord", "celery.chain", "celery.group"):
            raise CanvasNotDurable(f"{self.name}: replace() takes a single task here; call .delay() on the {sig.task}")
        return super().replace(sig)

    def _run_row(self, row_id: int) -> Any:
        request = self.request
        try:
            claim = claims.take(row_id, task=self.name, worker=request.hostname or "")
        except (OperationalError, InterfaceError):
            logger.warning("database is away: %s[%s] will be delivered again", self.name, request.id)
            raise Ignore from None
        if claim is None:
            logger.debug("%s[%s]: nothing to do, it was settled before or runs elsewhere", self.name, request.id)
            raise Ignore
        token = claims.running.set(claim)
        try:
            close_old_connections()
            # The row is right, not the message: a copy of an earlier attempt may still be in the queue.
            request.update(
                args=claim.args,
                kwargs=claim.kwargs,
                retries=claim.retries,
                callbacks=claim.options.get("link"),
                errbacks=claim.options.get("link_error"),
                chain=claim.options.get("chain"),
            )
            return self._run_claim(claim)
        finally:
            claims.running.reset(token)
            claim.release()

    def _run_claim(self, claim: Claim) -> Any:
        try:
            if self.atomic:
                with db_transaction.atomic():
                    result = self.run(*claim.args, **claim.kwargs)
                    self._settle_success(claim, result)
            else:
                result = self.run(*claim.args, **claim.kwargs)
                with db_transaction.atomic():
                    self._settle_success(claim, result)
        except ClaimLost as lost:
            logger.warning("%s[%s]: %s; its effects are rolled back", self.name, claim.task_id, lost)
            raise Ignore from lost
        except Retry as retry:
            with self._settling(claim):
                claims.settle_again(claim, claim.successor or self._same_again(claim), retry.exc or retry)
            raise
        except Ignore:
            with self._settling(claim):
                if claim.successor is not None:
                    claims.settle_again(claim, claim.successor, None)
                else:
                    claims.settle_done(claim, None)
            raise
        except Reject as reject:
            with self._settling(claim):
                if reject.requeue:
                    claims.settle_requeued(claim)
                else:
                    claims.settle_failed(claim, State.FAILED, reject, None)
            raise Ignore from reject
        except (OperationalError, InterfaceError) as error:
            with self._settling(claim):
                again = claims.settle_interrupted(claim, error)
            what = "it will run again" if again else "given up"
            logger.warning("%s[%s]: the database broke it off (%s): %s", self.name, claim.task_id, _line(error), what)
            raise Ignore from error
        except Exception as error:
            self._settle_failure(claim, error)
            raise
        return result

    def _settle_success(self, claim: Claim, result: Any) -> None:
        """In one transaction: the end state, and the rows of what follows (links, the next task of a chain)."""
        if claim.successor is not None:  # retry(throw=False) and a normal return
            claims.settle_again(claim, claim.successor, None)
            self.request.callbacks = self.request.chain = None  # they follow the last attempt
            return
        request = self.request
        claims.settle_done(claim, _plain_result(result, claim, self.name))
        claim.settling = True
        try:
            follow = {"parent_id": claim.task_id, "root_id": request.root_id or claim.task_id}
            for callback in request.callbacks or ():
                maybe_signature(callback, app=self._get_app()).apply_async((result,), **follow)
            if request.chain:
                rest = list(request.chain)
                maybe_signature(rest.pop(), app=self._get_app()).apply_async((result,), chain=rest, **follow)
        finally:
            claim.settling = False
        # Celery sends them after the task otherwise, and a kill in between would lose them.
        request.callbacks = request.chain = None

    def _settle_failure(self, claim: Claim, error: Exception) -> None:
        state = State.DEAD if claim.exhausted else State.FAILED
        with self._settling(claim):
            encoded = plain(_encode_exception(self, error))
            claims.settle_failed(claim, state, error, encoded)
            self.request.errbacks = messages.write_errbacks(
                self._get_app(), claim.task_id, self.request.root_id, self.request.errbacks
            )

    @contextlib.contextmanager
    def _settling(self, claim: Claim) -> Any:
        """A transaction for an end state that is not success. If it cannot be written, the row will run again."""
        try:
            with db_transaction.atomic():
                claim.settling = True
                yield
        except ClaimLost as lost:
            logger.warning("%s[%s]: %s", self.name, claim.task_id, lost)
            raise Ignore from lost
        except (OperationalError, InterfaceError):
            logger.warning("database is away: %s[%s] will be run again", self.name, claim.task_id)
            raise Ignore from None
        finally:
            claim.settling = False

    def _same_again(self, claim: Claim) -> Any:
        """The row for a `raise Retry(...)` without a call of `retry()`."""
        return messages.prepare(
            self._get_app(),
            self.name,
            claim.args,
            claim.kwargs,
            task_id=claim.task_id,
            task=self,
            countdown=self.default_retry_delay,
            retries=claim.retries + 1,
            **claim.options,
        )


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def _plain_result(result: Any, claim: Claim, name: str) -> Any:
    try:
        return plain(result)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"{name}[{claim.task_id}] returned a {type(result).__name__} that JSON cannot carry: {error}"
        ) from None


def _encode_exception(task: Task, error: Exception) -> Any:
    backend = task.backend
    encoded = backend.prepare_exception(error, "json")
    encoded["exc_message"] = [str(part).replace("\x00", "") for part in _as_sequence(encoded["exc_message"])]
    return encoded


def _as_sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
