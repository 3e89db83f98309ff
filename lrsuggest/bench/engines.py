"""Runs jobs side by side, each in a child process that can be stopped at its limit."""

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from lrsuggest.bench.jobs import Job, Order, Record

IMPORTS_S = 60.0  # what the first job of a process may take on top of its limit


class _Child:
    """A process that does one order at a time."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.connection: Connection = ours
        self.process = context.Process(target=_child, args=(theirs, threads), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.since = 0.0

    def give(self, order: Order) -> None:
        """Begin an order."""
        self.job, self.since = order.job, time.monotonic()
        self.connection.send(order)

    def stop(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _child(connection: Connection, threads: int) -> None:
    """Start here in the child; an interrupt from the keyboard is the driver's to handle."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from lrsuggest.bench.worker import serve

    serve(connection, threads)


def run_jobs(orders: Sequence[Order], *, workers: int, limit_s: float) -> Iterator[Record]:
    """Yield a record for every order as it ends, whatever becomes of it.

    Args:
        orders: jobs with their data; begun in this order.
        workers: how many run at once; the cores are shared out among them.
        limit_s: seconds after which a job is stopped. The first one in a process has `IMPORTS_S`
            more.
    """
    # Spinning threads slow torch down many times where processes share cores.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    # By the workers asked for, not by those needed: the last job left over is to give the same
    # numbers as beside others, and torch rounds differently with other numbers of threads.
    threads = max(1, (os.cpu_count() or 1) // max(1, workers))
    workers = max(1, min(workers, len(orders)))
    todo = deque(orders)
    children: list[_Child] = []
    fresh: set[int] = set()
    try:
        while todo or children:
            while todo and len(children) < workers:
                child = _Child(threads)
                fresh.add(id(child))
                child.give(todo.popleft())
                children.append(child)
            wait([child.connection for child in children], timeout=0.5)
            for child in list(children):
                record = _hear(child, limit_s + (IMPORTS_S if id(child) in fresh else 0))
                if record is None:
                    continue
                yield record
                fresh.discard(id(child))
                alive = record.status not in ("timeout",) and child.process.is_alive()
                if alive and todo:
                    child.give(todo.popleft())
                else:
                    child.stop()
                    children.remove(child)
    finally:
        for child in children:
            child.stop()


def _hear(child: _Child, limit_s: float) -> Record | None:
    """Return the child's record if it has one, or one that says how it failed, or None."""
    assert child.job is not None
    seconds = time.monotonic() - child.since
    try:
        if child.connection.poll():
            record: Record = child.connection.recv()
            return record
    except (EOFError, OSError):
        child.process.join(5)
        error = f"the process ended with code {child.process.exitcode}"
        status = "oom" if child.process.exitcode == -9 else "error"
        return Record(child.job, status, seconds, error=error)  # type: ignore[arg-type]
    if seconds > limit_s:
        child.process.kill()
        return Record(child.job, "timeout", seconds, error=f"stopped after {limit_s:.0f} s")
    return None
