"""Makes the moments of a run visible, and its writes slow: only for benchmarks/speed/kills.py."""

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

MARKS = Path(os.environ["LRSUGGEST_MARKS"])
PAUSE_S = 0.15

_replace, _fdopen = os.replace, os.fdopen
_receive, _send = Connection.recv_bytes, Connection.send_bytes
_is_child = "bench.engines.child" in Path("/proc/self/cmdline").read_text()


class _Slow:
    """A file that is written in two halves with a pause between."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, content):
        half = len(content) // 2
        mark = MARKS / "first half"
        self._file.write(content[:half])
        self._file.flush()
        mark.touch()
        time.sleep(PAUSE_S)
        mark.unlink()
        return self._file.write(content[half:])


def _open(handle, *mode, **settings):
    file = _fdopen(handle, *mode, **settings)
    written = os.readlink(f"/proc/self/fd/{handle}")
    return _Slow(file) if "/records/." in written else file


def _put(source, target, **settings):
    if os.path.basename(os.path.dirname(target)) == "records":
        mark = MARKS / "second half"
        mark.touch()
        time.sleep(PAUSE_S)
        mark.unlink()
    _replace(source, target, **settings)


def _begin(self, *size):
    order = _receive(self, *size)
    (MARKS / f"job-{os.getpid()}").touch()
    return order


def _end(self, *content):
    (MARKS / f"job-{os.getpid()}").unlink(missing_ok=True)
    _send(self, *content)


if _is_child:
    Connection.recv_bytes, Connection.send_bytes = _begin, _end
else:
    os.fdopen, os.replace = _open, _put
