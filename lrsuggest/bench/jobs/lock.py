"""One driver per output folder, and stopping it from outside."""

import contextlib
import os
import platform
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from lrsuggest.bench.jobs.store import writing
from lrsuggest.errors import UserError
from lrsuggest.files import atomic

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopped(BaseException):
    """A signal asked the driver to stop.

    Attributes:
        signum: which.
    """

    def __init__(self, signum: int) -> None:
        asked = "interrupted" if signum == signal.SIGINT else "stopped by a signal"
        super().__init__(asked)
        self.signum = signum


@contextlib.contextmanager
def driving(out: Path) -> Iterator[None]:
    """Hold an output folder for this process; the lock ends with the process, however that ends.

    Raises:
        UserError: another process holds it, or the folder cannot be written to.
    """
    lock, who = FileLock(out / "driver.lock"), out / "driver.txt"
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{out} is in use by {_read(who)}; wait for it or stop it, or give another --out"
        ) from None
    except OSError as error:
        raise UserError(
            f"the output folder {out} cannot be used ({error.strerror}); give another --out"
        ) from None
    try:
        with writing(who), atomic(who) as file:
            file.write(f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # the disk may be read-only by now
            who.unlink()
        lock.release()


def _read(who: Path) -> str:
    try:
        return who.read_text("utf-8", "replace")
    except OSError:
        return "another process"


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise Stopped at the first SIGINT, SIGTERM or SIGHUP within; further ones are ignored.

    A signal that is ignored already (nohup) stays so. Outside the main thread, which alone may
    ask for signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {each: signal.getsignal(each) for each in names}

    def stop(signum: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signum)

    try:
        for each, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(each, stop)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler or signal.SIG_DFL)
