"""Records as bytes: the present schema, and older ones read as the present one."""

from typing import Literal

import msgspec

from lrsuggest.bench.jobs import Job, Provenance, Record, RecordedCurve, Result, Status

SCHEMA = 2


class DamagedError(ValueError):
    """These bytes are no record."""


class NewerError(ValueError):
    """This record was written by a newer version of the program."""


class _Version(msgspec.Struct):
    schema: int = 1  # the first schema did not name itself


class _Second(msgspec.Struct, forbid_unknown_fields=True):
    schema: Literal[2]
    job: Job
    result: Result
    provenance: Provenance


class _First(msgspec.Struct):
    """One flat record, as written until runs could be interrupted anywhere."""

    job: Job
    status: Status
    seconds: float = 0.0
    start: dict[str, float] | None = None
    end: dict[str, float] | None = None
    trace: list[tuple[int, float]] = []
    curve: RecordedCurve | None = None
    losses: list[float | None] | None = None
    shown: bytes | None = None
    peak_mb: float | None = None
    error: str | None = None
    versions: dict[str, str] = {}


def encode(record: Record) -> bytes:
    """Write a record in the present schema, one field a line."""
    told = _Second(2, record.job, record.result, record.provenance)
    return msgspec.json.format(msgspec.json.encode(told), indent=1)


def decode(content: bytes) -> Record:
    """Read a record of any schema so far.

    Raises:
        DamagedError: the bytes are no record; the message says where they go wrong.
        NewerError: they are one of a schema that is not known here.
    """
    try:
        schema = msgspec.json.decode(content, type=_Version).schema
        if schema == 1:
            old = msgspec.json.decode(content, type=_First)
            return Record(
                old.job,
                Result(old.status, old.start, old.end, old.trace, old.curve, old.losses, old.shown),
                Provenance(
                    old.seconds, peak_mb=old.peak_mb, error=old.error, versions=old.versions
                ),
            )
        if schema > SCHEMA:
            raise NewerError(f"schema {schema}; this version reads up to {SCHEMA}")
        read = msgspec.json.decode(content, type=_Second)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(str(error)) from None
    return Record(read.job, read.result, read.provenance)
