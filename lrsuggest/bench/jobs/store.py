"""Records on disk: one JSON file per job, written atomically; the only truth."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from lrsuggest.bench.jobs.job import MEASURED, Job
from lrsuggest.bench.jobs.record import DamagedError, NewerError, Record, decode, encode
from lrsuggest.errors import UserError
from lrsuggest.files import atomic

# How `atomic` names a file that is not whole yet.
_LEFT = re.compile(r"\..+\.(json|log|reason|txt|html|npz|pt|blake2b|fingerprint)\.[a-z0-9_]{8}")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a fault of the disk while a file of the output folder is written into a UserError.

    Raises:
        UserError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if named and not Path(named).absolute().is_relative_to(path.parent.absolute()):
            raise  # it was about another file, such as one of the dataset's
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); make room or mend the folder "
            "and give the same command again, finished runs are kept"
        ) from None


class Store:
    """The folder `records/` of an output folder, with `logs/` and `quarantine/` beside it.

    Args:
        out: the output folder.
        tell: given by the one who runs jobs. Damaged records are then set aside in quarantine/,
            each with the reason beside it, and told here in a line; without it they are left.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, out: Path, tell: Callable[[str], None] | None = None) -> None:
        self.out = out
        self.folder = out / "records"
        self._tell = tell
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the output folder {out} cannot be made ({error.strerror}); give another --out"
            ) from None

    def get(self, job: Job) -> Record | None:
        """Return a job's record, or None if there is none that can be read.

        Raises:
            UserError: it was written by a newer version, or the disk does not give it.
        """
        path = self.folder / f"{job.key}.json"
        try:
            record = decode(path.read_bytes())
            if record.job != job:
                raise DamagedError(f"it holds another job, {record.job.key}")
        except FileNotFoundError:
            return None
        except NewerError as error:
            raise UserError(
                f"{path} was written by a newer lrsuggest ({error}); update, or give another --out"
            ) from None
        except IsADirectoryError:
            self._set_aside(path, "it is a folder")
            return None
        except OSError as error:  # it may well be whole
            raise UserError(
                f"{path} cannot be read ({error.strerror}); mend its permissions or the disk and "
                "give the same command again"
            ) from None
        except DamagedError as error:
            self._set_aside(path, str(error))
            return None
        return record

    def measured(self, job: Job) -> Record | None:
        """Return a job's record if it is a result; a failed job is to be run again."""
        record = self.get(job)
        return record if record and record.status in MEASURED else None

    def put(self, record: Record, log: bytes = b"") -> None:
        """Write a record in one piece, in place of any earlier one, and what the job printed.

        Raises:
            UserError: it cannot be written; what was there before still is.
        """
        key = record.job.key
        path, kept = self.folder / f"{key}.json", self.out / "logs" / f"{key}.log"
        how = msgspec.structs.replace(
            record.provenance, log=kept.relative_to(self.out).as_posix() if log else None
        )
        with writing(kept):
            if log:
                with atomic(kept) as file:
                    file.write(log)
            else:
                kept.unlink(missing_ok=True)
        with writing(path), atomic(path) as file:
            file.write(encode(msgspec.structs.replace(record, provenance=how)))

    def tidy(self) -> None:
        """Remove what writes that were killed have left; only for the one who runs jobs."""
        for name in (".", "records", "logs", "quarantine", "cache", "cache/checkpoints"):
            for left in (self.out / name).glob(".*"):
                if _LEFT.fullmatch(left.name):
                    with contextlib.suppress(OSError):
                        left.unlink()

    def _set_aside(self, path: Path, reason: str) -> None:
        if self._tell is None:
            return
        aside = self.out / "quarantine"
        try:
            aside.mkdir(exist_ok=True)
            with atomic(aside / f"{path.stem}.reason") as file:
                file.write(f"{reason}\n".encode())
            os.replace(path, aside / path.name)
        except OSError as error:
            raise UserError(
                f"{path} is damaged ({reason}) and cannot be set aside ({error.strerror}); "
                "remove it or mend the folder"
            ) from None
        self._tell(f"{path} is damaged ({reason}); set aside in {aside}, its job is run again")
