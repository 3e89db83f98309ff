"""Runs jobs on a dask.distributed cluster; the driver alone writes, retries and resubmits."""

import contextlib
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Self

from lrsuggest.bench.engines.engine import Attempt, Limit, Outcome
from lrsuggest.bench.engines.local import failure
from lrsuggest.bench.jobs.job import Order
from lrsuggest.bench.jobs.record import decode
from lrsuggest.errors import UserError
from lrsuggest.extras import need

PATIENCE_S = 300.0  # how long a scheduler that does not answer is waited for
_LOOK_S = 0.5  # how often it is looked at whether scheduler and workers are still the same
_AHEAD = 2  # tasks in the scheduler's hands for every slot, so that no worker waits for the driver


class Cluster:
    """The workers of a dask scheduler; each task owns a child process there.

    Args:
        address: of the scheduler.
        tell: what is told goes here.
    """

    def __init__(self, address: str, tell: Callable[[str], None]) -> None:
        self._address = address
        self._tell = tell
        self._client: Any = None

    def __enter__(self) -> Self:
        # A scheduler that goes is expected here, and told in a line of our own.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        self._connected()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        where: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._client is not None:
            self._close()  # its tasks are cancelled, their children stopped

    def _close(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self._client.close(timeout=2)

    def _connected(self) -> Any:
        """Return a client that is connected, waiting for a scheduler that restarts.

        Raises:
            UserError: dask is not installed, or the scheduler does not answer.
        """
        need("--scheduler", "cluster", "distributed")
        from distributed import Client

        from lrsuggest.bench.engines.remote import Stopper

        if self._client is not None and self._client.status == "running":
            return self._client
        until = time.monotonic() + (PATIENCE_S if self._client is not None else 0)
        if self._client is not None:
            self._tell(f"{self._address} is gone; what was in flight there is submitted anew")
            self._close()
        while True:
            try:
                self._client = Client(self._address, timeout=5)
                self._client.register_plugin(Stopper())
                return self._client
            except (OSError, TimeoutError) as error:
                if time.monotonic() > until:
                    raise UserError(
                        f"the scheduler {self._address} does not answer ({error}); start it with "
                        "dask scheduler, or leave --scheduler out"
                    ) from None
                time.sleep(_LOOK_S)  # a refused connection comes back at once
            except (TypeError, ValueError, AssertionError) as error:  # by kind of nonsense
                # An assertion of dask's may also fail while a scheduler comes or goes.
                if isinstance(error, AssertionError) and time.monotonic() <= until:
                    time.sleep(_LOOK_S)
                    continue
                raise UserError(
                    f"the scheduler's address {self._address!r} cannot be used ({error}); give one "
                    "as tcp://HOST:8786, or tls:// with dask's TLS settings in place"
                ) from None

    def run(self, orders: Sequence[Order], limit: Limit) -> Iterator[Outcome]:
        """Yield what came of every order; what a lost scheduler held is submitted anew."""
        from distributed import wait

        waiting = deque(map(Attempt, orders))
        flying: dict[Any, Attempt] = {}
        client: Any = None
        alone = False
        while waiting or flying:
            if client is not (client := self._connected()):  # another scheduler knows of nothing
                waiting.extendleft(flying.values())
                flying.clear()
            try:
                slots = sum(client.nthreads().values())
                if alone is not (alone := not slots) and alone:
                    self._tell(f"{self._address} has no workers yet; waiting for one")
                while waiting and len(flying) < _AHEAD * max(1, slots):
                    each = waiting.popleft()
                    flying[self._submit(each.order, limit)] = each
                wait(list(flying), timeout=_LOOK_S, return_when="FIRST_COMPLETED")
            except (OSError, TimeoutError, CancelledError):
                pass  # nothing has ended yet, or the scheduler went: the statuses tell
            for task in [each for each in flying if each.status != "pending"]:
                each = flying.pop(task)
                if task.status in ("cancelled", "lost"):
                    waiting.appendleft(each)
                    continue
                ended = each.end(_outcome(task, each.order))
                if isinstance(ended, Attempt):
                    waiting.appendleft(ended)
                else:
                    yield ended

    def _submit(self, order: Order, limit: Limit) -> Any:
        from lrsuggest.bench.engines.remote import attempt

        name = f"lrsuggest-{order.job.key}-{uuid.uuid4().hex}"
        told = order._replace(prepared=order.prepared.resolve()).encode()
        return self._client.submit(attempt, name, told, limit(order), key=name, pure=False)


def _outcome(task: Any, order: Order) -> Outcome:
    """Take a task's answer; one that raised was lost with its worker."""
    if task.status == "error":
        error = f"lost with its worker: {task.exception()}"
        return Outcome(failure(order.job, "error", 0.0, error), passing=True)
    record, log, passing = task.result()
    return Outcome(decode(record), log, passing)
