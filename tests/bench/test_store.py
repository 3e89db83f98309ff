"""Records survive: older schemas, damage of any sort, and a disk that fails at any moment."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from bench_helpers import NEW, OLD, fails, job
from hypothesis import given
from hypothesis import strategies as st

from lrsuggest.bench.jobs.record import (
    DamagedError,
    NewerError,
    Provenance,
    Record,
    RecordedCurve,
    Result,
    decode,
    encode,
)
from lrsuggest.bench.jobs.store import Store
from lrsuggest.curves.curve import Curve
from lrsuggest.errors import UserError

GOLDEN = Path(__file__).parent / "golden"
CURVE = Curve([1e-3, 1e-2, 1e-1], [2.0, 1.0, float("nan")], skipped=[0, 1, 0],
              ended="non-finite")  # fmt: skip
SWEEP = Record(
    job(kind="sweep"), Result("ok", {"loss": 2.0}, curve=RecordedCurve.of(CURVE)), Provenance(1.5)
)


def test_records_come_back_whole(tmp_path):
    store = Store(tmp_path)
    store.put(SWEEP)
    back = store.measured(SWEEP.job)
    assert back == SWEEP
    assert back.result.curve.curve().to_json() == CURVE.to_json()
    assert [p.name for p in store.folder.iterdir()] == [f"{SWEEP.job.key}.json"]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/*.json")), ids=lambda p: p.parent.name)
def test_golden_records_of_every_schema_are_read(path, tmp_path):
    raw, record = json.loads(path.read_bytes()), decode(path.read_bytes())
    assert record.job.key == path.stem, "the key does not change with the schema"
    old = "schema" not in raw
    assert old == (path.parent.name == "1")
    result, provenance = (raw, raw) if old else (raw["result"], raw["provenance"])
    told = msgspec.to_builtins(record)
    assert told["result"] == {k: result[k] for k in told["result"]}
    assert record.provenance.seconds == provenance["seconds"] > 0
    assert record.provenance.versions == provenance["versions"]
    assert decode(encode(record)) == record
    store = Store(tmp_path)
    (store.folder / path.name).write_bytes(path.read_bytes())
    assert store.measured(record.job) == record


def test_golden_records_of_two_schemas_hold_one_result():
    found = [{p.name: decode(p.read_bytes()).result for p in (GOLDEN / n).iterdir()} for n in "12"]
    assert found[0].keys() == found[1].keys()
    assert {each.status for each in found[0].values()} == {"ok", "diverged"}
    assert found[0] == found[1]


def test_a_newer_record_is_refused_and_left(tmp_path):
    store = Store(tmp_path, tell=pytest.fail)
    path = store.folder / f"{OLD.job.key}.json"
    newer = encode(OLD).replace(b'"schema": 2', b'"schema": 3')
    path.write_bytes(newer)
    with pytest.raises(UserError, match=r"newer lrsuggest \(schema 3; .*update"):
        store.get(OLD.job)
    assert path.read_bytes() == newer
    with pytest.raises(NewerError):
        decode(newer)


def test_failed_records_are_measured_anew_and_their_logs_are_kept(tmp_path):
    store = Store(tmp_path)
    assert store.get(job()) is None
    late = Record(job(), Result("timeout"), Provenance(error="stopped after 9 s"))
    store.put(late, b"where it was")
    back = store.get(job())
    assert back.status == "timeout"
    assert (tmp_path / back.provenance.log).read_bytes() == b"where it was"
    assert store.measured(job()) is None
    store.put(OLD)
    assert store.measured(job()).provenance.log is None
    assert not list((tmp_path / "logs").iterdir())


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\0" * 400, encode(NEW)[:-30], encode(SWEEP), b'{"schema": 2}', b"[]", b"\xff\xfe",
     encode(NEW).replace(b'"ok"', b'"okay"'), encode(NEW).replace(b'"schema": 2', b'"schema": "x"'),
     b"[" * 100_000],
)  # fmt: skip
def test_damage_is_set_aside_by_the_driver_only(tmp_path, damage):
    path = Store(tmp_path).folder / f"{NEW.job.key}.json"
    path.write_bytes(damage)
    assert Store(tmp_path).get(NEW.job) is None
    assert path.read_bytes() == damage
    told = []
    store = Store(tmp_path, told.append)
    assert store.get(NEW.job) is None
    (line,) = told
    assert line.startswith(f"{path} is damaged (")
    assert "\n" not in line
    assert not path.exists()
    assert (tmp_path / "quarantine" / path.name).read_bytes() == damage
    reason = (tmp_path / "quarantine" / f"{path.stem}.reason").read_text().strip()
    assert reason in line
    store.put(NEW)
    assert store.get(NEW.job) == NEW
    assert len(told) == 1


def test_a_folder_in_a_records_place_is_set_aside(tmp_path):
    told = []
    store = Store(tmp_path, told.append)
    path = store.folder / f"{NEW.job.key}.json"
    path.mkdir()
    assert store.get(NEW.job) is None
    assert "is damaged (it is a folder)" in told[0]
    store.put(NEW)
    assert store.get(NEW.job) == NEW


CALLS = ("tempfile.mkstemp", "os.fdopen", "os.fchmod", "os.fsync", "os.replace", "write")
FAULTS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)


@pytest.mark.parametrize("fault", FAULTS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_at_any_call_of_a_write_leaves_the_record_before(
    tmp_path, monkeypatch, call, fault
):
    store = Store(tmp_path)
    store.put(OLD)

    fail = fails(fault)

    class Full:
        """A file that takes half of what it is given."""

        def __init__(self, handle, mode):
            self.file = open(handle, mode)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            fail()

    with monkeypatch.context() as patch:
        patch.setattr(*(("os.fdopen", Full) if call == "write" else (call, fail)))
        with pytest.raises(UserError, match=r"cannot be written \(.*same command again") as caught:
            store.put(NEW)
    assert os.strerror(fault) in str(caught.value)
    assert store.get(OLD.job) == OLD
    assert [p.name for p in store.folder.iterdir()] == [f"{OLD.job.key}.json"]
    store.put(NEW)
    assert store.get(OLD.job) == NEW


REAL = """
import os, subprocess, sys
from pathlib import Path
sys.path[:0] = {path!r}
from bench_helpers import NEW, OLD
from lrsuggest.bench.jobs.store import Store
from lrsuggest.errors import UserError
def mount(*words):
    subprocess.run(["mount", *words], check=True)
place = Path({place!r})
mount("-t", "tmpfs", "-o", "size=64k", "none", str(place))
store = Store(place)
store.put(OLD)
filler = place / "filler"
try:
    filler.write_bytes(bytes(2**17))
except OSError:
    pass
def refused():
    try:
        store.put(NEW)
    except UserError as error:
        assert store.get(OLD.job) == OLD
        return str(error)
print(refused())
filler.unlink()
mount("-o", "remount,ro", str(place))
print(refused())
mount("-o", "remount,rw", str(place))
store.put(NEW)
print(store.get(NEW.job) == NEW, len(list(store.folder.iterdir())))
"""


def test_a_full_and_a_read_only_disk_are_said_and_lose_nothing(tmp_path):
    """A real file system of 64 KiB, in a name space of its own."""
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no name space to mount a small file system in: {error}")
    code = REAL.format(path=[*sys.path], place=str(tmp_path))
    done = subprocess.run([*inside, sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    full, read_only, after = done.stdout.splitlines()
    assert "cannot be written (No space left on device); make room" in full
    assert "cannot be written (Read-only file system)" in read_only
    assert after == "True 1"


def test_what_a_killed_write_has_left_is_removed(tmp_path):
    store = Store(tmp_path)
    store.put(OLD, b"log")
    (tmp_path / "cache").mkdir()
    kept = [tmp_path / ".plan.json", tmp_path / ".git.json.orig", tmp_path / "cache" / "a.npz"]
    left = [store.folder / f".{OLD.job.key}.json.a1b2_c3d", tmp_path / "cache" / ".a.npz.abcdefgh",
            tmp_path / ".plan.json.abcdefgh", tmp_path / "logs" / ".x.log.abcdefgh"]  # fmt: skip
    for path in (*kept, *left):
        path.write_text("half")
    store.tidy()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert store.get(OLD.job).result == OLD.result


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        Store(tmp_path / "file" / "out")


@given(st.binary() | st.binary().map(lambda b: encode(NEW)[: len(b) * 9] + b))
def test_any_bytes_are_a_record_or_a_typed_error(content):
    with contextlib.suppress(DamagedError, NewerError):
        assert isinstance(decode(content), Record)
