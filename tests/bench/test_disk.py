"""A disk that fails, wherever a run meets it: said in a sentence, and nothing lost."""

import errno
from pathlib import Path

import pytest
from bench_helpers import NEW, fails
from rich.progress import Progress

from lrsuggest.bench.jobs.lock import driving
from lrsuggest.bench.jobs.store import Store, writing
from lrsuggest.bench.plan.plan import Plan, save_plan
from lrsuggest.bench.plan.prepare import prepare
from lrsuggest.errors import UserError
from lrsuggest.files import intact
from lrsuggest.tasks.data.catalog import dataset


@pytest.mark.parametrize("fault", [errno.EIO, errno.EACCES, errno.ESTALE], ids=errno.errorcode.get)
def test_a_record_that_the_disk_does_not_give_is_no_damage(tmp_path, monkeypatch, fault):
    store = Store(tmp_path, pytest.fail)
    store.put(NEW)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails(fault))
        with pytest.raises(UserError, match=r"cannot be read \(.*mend its permissions") as caught:
            store.get(NEW.job)
    assert str(store.folder / f"{NEW.job.key}.json") in str(caught.value)
    assert store.get(NEW.job) == NEW


def test_a_fault_that_concerns_another_file_is_not_called_one_of_writing(tmp_path):
    plan = tmp_path / "out" / "plan.json"
    with pytest.raises(UserError, match=r"plan\.json cannot be written \(No space"), writing(plan):
        fails(errno.ENOSPC)()
    with pytest.raises(FileNotFoundError), writing(plan):
        (tmp_path / "data.csv").read_bytes()


@pytest.mark.parametrize("call", ["tempfile.mkstemp", "os.fsync", "os.replace"])
def test_a_full_disk_is_said_wherever_a_run_meets_it(tmp_path, monkeypatch, call):
    out, path = tmp_path / "out", tmp_path / "out" / "cache" / "digits.npz"
    with monkeypatch.context() as patch:
        patch.setattr(call, fails(errno.ENOSPC))
        for wanted, write in (
            ("driver.txt", lambda: driving(out).__enter__()),
            ("plan.json", lambda: save_plan(Plan("s", "t", "c", 1.0, ()), out)),
            ("digits.npz", lambda: prepare(dataset("digits"), None, (8, 8), path, Progress())),
        ):
            with pytest.raises(UserError, match=f"{wanted} cannot be written .No space"):
                write()
    with driving(out):
        assert "process" in (out / "driver.txt").read_text()


def test_the_lock_is_released_where_nothing_can_be_removed(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, driving(tmp_path):
        patch.setattr(Path, "unlink", fails(errno.EROFS))
    assert (tmp_path / "driver.txt").exists()
    with driving(tmp_path):
        pass


def test_a_prepared_file_that_cannot_be_read_is_made_anew_sealed_or_not(tmp_path):
    path = tmp_path / "digits.npz"
    whole = prepare(dataset("digits"), None, (8, 8), path, Progress())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    (tmp_path / "digits.npz.blake2b").unlink()
    again = prepare(dataset("digits"), None, (8, 8), path, Progress())
    assert (again.inputs == whole.inputs).all()
    assert intact(path)
    assert len(path.read_bytes()) == len(content)
    stamp = path.stat().st_mtime_ns
    prepare(dataset("digits"), None, (8, 8), path, Progress())
    assert path.stat().st_mtime_ns == stamp, "what is whole is left"
