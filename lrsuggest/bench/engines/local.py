"""Jobs done on this machine: child processes that can be stopped, seen from who holds them."""

import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Self

from lrsuggest.bench.engines.child import LAST, READY, SAY_WHERE
from lrsuggest.bench.engines.engine import Attempt, Limit, Outcome
from lrsuggest.bench.jobs.job import Job, Order, Status
from lrsuggest.bench.jobs.record import Provenance, Record, Result, decode
from lrsuggest.errors import UserError

IMPORTS_S = 120.0  # what a process may take until it is ready for its first job
_LOG = 2**16  # bytes of its output kept, the last ones
_LEAVE_S = 2.0  # what a process may take to end once it has hung up
_SLICE_S = 0.2  # how often it is looked at whether a silent process still lives

# One thread a job, so that its numbers do not depend on how many run beside it; and no spinning,
# which slows torch down many times where processes share cores. glibc hands every freed block of
# some megabytes back to the system, which has to clear each page of the next one: a tenth of a
# U-Net's step. Told to keep what it has, a job peaks no higher (docs/scale.md).
SETTINGS = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**26),
}  # fmt: skip


class _Child:
    """A process that does one order at a time; its output goes into a file without a name."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._connection, theirs = Pipe()
        lifeline, ours = os.pipe()
        self._lifeline: int | None = ours
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from lrsuggest.bench.engines.child import main; main({theirs.fileno()}, {lifeline})"
        )
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=self._log,
                stderr=subprocess.STDOUT, pass_fds=[theirs.fileno(), lifeline],
                start_new_session=True, env={**os.environ, **SETTINGS},
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(lifeline)
        self._ready = False
        self._leaves = False

    def do(self, order: Order, limit_s: float) -> Outcome:
        """Do an order, or say how it failed; a process that is of no more use is stopped."""
        kills = oom_kills()
        began = time.monotonic()
        try:
            if not self._ready:
                if not self._hear(IMPORTS_S):
                    return self._late(order.job, IMPORTS_S, "before it began")
                self._ready = self._connection.recv_bytes() == READY
                began = time.monotonic()
            self._log.seek(0)
            self._log.truncate()
            self._connection.send_bytes(order.encode())
            if not self._hear(limit_s):
                return self._late(order.job, limit_s, "")
            told = self._connection.recv_bytes()
            self._leaves = told.startswith(LAST)
            return Outcome(decode(told[1:]), self._said())
        except (EOFError, OSError):
            seconds = time.monotonic() - began
        with contextlib.suppress(subprocess.TimeoutExpired):  # its own exit code tells more
            self.process.wait(_LEAVE_S)
        log = self._said()
        self.stop()
        status, error = _death(self.process.returncode, oom_kills() > kills)
        return Outcome(failure(order.job, status, seconds, error), log, passing=True)

    def _hear(self, limit_s: float) -> bool:
        """Wait until there is something to read, the end of the process included."""
        until = time.monotonic() + limit_s
        while not self._connection.poll(min(_SLICE_S, max(0.0, until - time.monotonic()))):
            if self.process.poll() is not None and not self._connection.poll():
                raise EOFError
            if time.monotonic() >= until:
                return False
        return True

    def _late(self, job: Job, limit_s: float, when: str) -> Outcome:
        with contextlib.suppress(OSError):
            self.process.send_signal(SAY_WHERE)
            time.sleep(_SLICE_S)
        log = self._said()
        self.stop()
        error = " ".join(filter(None, [f"stopped after {limit_s:.0f} s", when]))
        return Outcome(failure(job, "timeout", limit_s, error), log)

    def _said(self) -> bytes:
        size = self._log.seek(0, os.SEEK_END)
        return os.pread(self._log.fileno(), _LOG, max(0, size - _LOG))

    @property
    def alive(self) -> bool:
        """Whether it can do another order."""
        return not self._leaves and self.process.poll() is None

    def kill(self) -> None:
        """End its whole process group at once; whoever waits for an answer learns of it."""
        if self.process.returncode is not None:
            return  # its number may be another's by now, and its guard ends the group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it, and give back what it held; not while somebody waits for its answer.

        Once is enough: the descriptor's number may be another's by the second time.
        """
        self.kill()
        self.process.wait()
        self._connection.close()
        self._log.close()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


class Children:
    """The children of this process: made when needed, kept for the next order while they live."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: dict[str, _Child] = {}
        self._stopped = False

    def attempt(self, order: Order, limit_s: float, name: str = "") -> Outcome:
        """Do an order in the main thread of a child; as many threads may ask as there are slots.

        `name` is what `stop_job` knows the job by.

        Raises:
            UserError: the system gives no process, or no place for its output.
        """
        with self._lock:
            if self._stopped:
                return Outcome(failure(order.job, "interrupted", 0.0, "the driver was stopped"))
            self._idle = [child for child in self._idle if child.alive]
            try:
                child = self._idle.pop() if self._idle else _Child()
            except OSError as error:
                raise UserError(
                    f"no process can be started for {order.job.label} ({error.strerror or error}); "
                    f"free processes, open files, memory or space in {tempfile.gettempdir()}, or "
                    "give a smaller --workers"
                ) from None
            self._busy[name or order.job.key] = child
        outcome = child.do(order, limit_s)
        with self._lock:
            self._busy.pop(name or order.job.key, None)
            if child.alive and not self._stopped:
                self._idle.append(child)
            else:
                child.stop()
        return outcome

    def stop_job(self, name: str) -> None:
        """Stop whoever does a job, if somebody does."""
        with self._lock:
            if child := self._busy.get(name):
                child.kill()

    def stop(self) -> None:
        """Stop all of them at once, at work or not; no more are made."""
        with self._lock:
            self._stopped = True
            for child in [*self._idle, *self._busy.values()]:
                child.kill()
            for child in self._idle:
                child.stop()
            self._idle = []


def oom_kills(counters: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes this machine has stopped for want of memory; 0 if it is untold."""
    with contextlib.suppress(OSError, ValueError):
        for line in counters.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0


def _death(code: int, out_of_memory: bool) -> tuple[Status, str]:
    if code == -signal.SIGKILL and out_of_memory:
        return "oom", "the system stopped the process for want of memory"
    if code < 0:
        return "error", f"the process was stopped by signal {-code}"
    return "error", f"the process ended with code {code}"


def failure(job: Job, status: Status, seconds: float, error: str) -> Record:
    """Return the record of a job whose process gave none."""
    how = Provenance(round(seconds, 2), error=error, host=platform.node(), threads=1)
    return Record(job, Result(status), how)


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
