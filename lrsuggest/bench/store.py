"""Records on disk: one JSON file per job, written atomically; the only truth."""

from pathlib import Path

import msgspec

from lrsuggest.bench.jobs import MEASURED, Job, Record
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.resident import atomic


class Store:
    """The folder `records/` of an output folder.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / "records"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the output folder {out} cannot be made ({error.strerror}); give another --out"
            ) from None

    def get(self, job: Job) -> Record | None:
        """Return a job's record, or None if there is none that can be read."""
        try:
            return msgspec.json.decode((self.folder / f"{job.key}.json").read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            return None

    def measured(self, job: Job) -> Record | None:
        """Return a job's record if it is a result; a failed job is to be run again."""
        record = self.get(job)
        return record if record and record.status in MEASURED else None

    def put(self, record: Record) -> None:
        """Write a record in one piece, in place of any earlier one."""
        with atomic(self.folder / f"{record.job.key}.json") as file:
            file.write(msgspec.json.format(msgspec.json.encode(record), indent=1))
