"""Runs jobs side by side: here, or wherever a cluster has room."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Protocol, Self

import msgspec

from lrsuggest.bench.children import Children, Outcome
from lrsuggest.bench.jobs import Order

ATTEMPTS = 3  # of a job whose process was lost: killed, crashed, out of the system's memory

Limit = Callable[[Order], float]  # seconds after which a job is stopped


class Engine(Protocol):
    """What does orders, several at a time."""

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

        yield from persist(orders, submit)


def persist(
    orders: Sequence[Order], submit: Callable[[Order], Future[Outcome]]
) -> Iterator[Outcome]:
    """Yield what came of every order, with a new attempt wherever the process was lost.

    What raises, takes too long or finds no memory would do so again: it is not repeated.
    """
    pending = {submit(order): (order, 1, b"") for order in orders}
    while pending:
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            order, attempt, before = pending.pop(future)
            outcome = future.result()
            log = before + outcome.log
            if outcome.passing and attempt < ATTEMPTS:
                why = outcome.record.provenance.error
                log += f"attempt {attempt}: {why}\n".encode()
                pending[submit(order)] = (order, attempt + 1, log)
                continue
            how = msgspec.structs.replace(outcome.record.provenance, attempts=attempt)
            yield Outcome(msgspec.structs.replace(outcome.record, provenance=how), log)
