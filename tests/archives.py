"""Archives made by hand, and a real server on this machine to fetch them from."""

import contextlib
import dataclasses
import hashlib
import io
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

from lrsuggest.tasks.data.fetch import Archive


@contextlib.contextmanager
def serve():
    """Serves `files`; `asked` holds each request's Range and `sent` the bytes that went out.

    With `cut` the connection breaks off after that many bytes, with `deaf` ranges are ignored,
    with `mute` no length is announced.
    """
    state = SimpleNamespace(
        files={}, asked=[], sent=[], cut=None, deaf=False, mute=False, gate=threading.Event()
    )
    state.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.headers["Range"])
            state.gate.wait(60)
            body = state.files.get(self.path.rpartition("/")[2])
            if body is None:
                self.send_error(404)
                return
            whole, start = len(body), 0
            if self.headers["Range"] and not state.deaf:
                start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
                if start >= whole:
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            else:
                self.send_response(200)
            body = body[start:]
            if not state.mute:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            body = body[: state.cut]
            state.sent.append(len(body))
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def packed(*members):
    """A .tgz of (name, content) pairs or of TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


NOISE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(40_000))  # does not compress
GOOD = packed(("top/a.txt", b"a" * 99), ("top/deep/noise", NOISE))


def offer(server, root, body, **changed):
    """The archive `set.tgz` as published with this body, to be unpacked to `set`."""
    server.files["set.tgz"] = body
    root = root / "data"
    each = Archive(
        "set", f"{server.url}/set.tgz", len(body), hashlib.md5(body[: 2**20]).hexdigest(),
        root / "archives" / "set.tgz", root / "set",
    )  # fmt: skip
    return dataclasses.replace(each, **changed)


def left(root):
    """Every file below a folder but the lock's."""
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix != ".lock"}


WHOLE = {"data", "data/archives", "data/archives/set.tgz", "data/set", "data/set/a.txt",
         "data/set/deep", "data/set/deep/noise"}  # fmt: skip
