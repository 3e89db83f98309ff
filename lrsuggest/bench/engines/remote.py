"""What a dask worker does: it owns child processes, as a driver does for its own machine.

The only module that imports dask; workers import it by its name.
"""

from typing import Any

from distributed import WorkerPlugin

from lrsuggest.bench.engines.local import Children, failure
from lrsuggest.bench.jobs.job import Order
from lrsuggest.bench.jobs.record import encode

_children = Children()


def attempt(name: str, order: bytes, limit_s: float) -> tuple[bytes, bytes, bool]:
    """Do an order in a child of this worker; bytes both ways, so that no class has to travel."""
    told = Order.decode(order)
    if not told.prepared.exists():
        error = f"{told.prepared} is not there; the output folder must be shared with the workers"
        return encode(failure(told.job, "error", 0.0, error)), b"", False
    outcome = _children.attempt(told, limit_s, name)
    return encode(outcome.record), outcome.log, outcome.passing


class Stopper(WorkerPlugin):  # type: ignore[misc]
    """Stops a child once nobody wants its job any more: the driver went, or dask moved the job."""

    name = "lrsuggest"

    def transition(self, key: str, start: str, finish: str, **settings: Any) -> None:
        """Hear of a task's new state."""
        if start == "executing" and finish in ("released", "cancelled"):
            _children.stop_job(key)
