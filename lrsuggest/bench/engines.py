"""Runs jobs side by side: here, or wherever a cluster has room."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import msgspec

from lrsuggest.bench.children import Children, Outcome
from lrsuggest.bench.jobs import Order

ATTEMPTS = 3  # of a job whose process was lost: killed, crashed, out of the system's memory

Limit = Callable[[Order], float]  # seconds after which a job is stopped


class Engine(Protocol):
    """What does orders, several at a time, for as long as the block it is entered for."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        where: TracebackType | None,
    ) -> None: ...  # fmt: skip

    def run(self, orders: Sequence[Order], limit: Limit) -> Iterator[Outcome]:
        """Yield what came of every order as it ends, whatever that is."""


class Local:
    """Child processes on this machine; imports are paid for once by each.

    Args:
        workers: how many jobs run at once.
    """

    def __init__(self, workers: int) -> None:
        self._children = Children()
        self._threads = ThreadPoolExecutor(max(1, workers))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        where: TracebackType | None,
    ) -> None:  # fmt: skip
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._children.stop()
        self._threads.shutdown()

    def run(self, orders: Sequence[Order], limit: Limit) -> Iterator[Outcome]:
        """Yield what came of every order; they are begun in this order."""

        def submit(order: Order) -> Future[Outcome]:
            return self._threads.submit(self._children.attempt, order, limit(order))

        pending = {submit(order): Attempt(order) for order in orders}
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                ended = pending.pop(future).end(future.result())
                if isinstance(ended, Attempt):
                    pending[submit(ended.order)] = ended
                else:
                    yield ended


class Attempt(NamedTuple):
    """An attempt at an order: which it is, and what the earlier ones printed."""

    order: Order
    number: int = 1
    log: bytes = b""

    def end(self, outcome: Outcome) -> "Attempt | Outcome":
        """Return the next attempt where the process was lost, else the outcome to keep.

        What raises, takes too long or finds no memory would do so again: it is not repeated.
        """
        log, how = self.log + outcome.log, outcome.record.provenance
        if outcome.passing and self.number < ATTEMPTS:
            return Attempt(
                self.order, self.number + 1, log + f"attempt {self.number}: {how.error}\n".encode()
            )
        how = msgspec.structs.replace(how, attempts=self.number)
        return Outcome(msgspec.structs.replace(outcome.record, provenance=how), log)
