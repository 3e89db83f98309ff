"""What an engine is: it does jobs side by side, here or wherever a cluster has room."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import msgspec

from lrsuggest.bench.jobs.job import Order
from lrsuggest.bench.jobs.record import Record

ATTEMPTS = 3  # of a job whose process was lost: killed, crashed, out of the system's memory

Limit = Callable[[Order], float]  # seconds after which a job is stopped


class Outcome(NamedTuple):
    """What came of an order.

    Attributes:
        record: the job's record, whatever happened.
        log: what the job printed.
        passing: whether the process was lost, so that another attempt may well end.
    """

    record: Record
    log: bytes = b""
    passing: bool = False


class Engine(Protocol):
    """What does orders, several at a time, for as long as the block it is entered for."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        where: TracebackType | None,
    ) -> None: ...  # fmt: skip

    def run(self, orders: Sequence[Order], limit: Limit) -> Iterator[Outcome]:
        """Yield what came of every order as it ends, whatever that is."""


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
