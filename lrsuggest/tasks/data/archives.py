"""Archives as published: read where they lie, and read whole or refused."""

import io
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from lrsuggest.decoding import check_present, read_bytes
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.walk import hidden

_BLOCK = 2**20
_RECORD = 512  # bytes of a tar's header; one of zeros ends the archive
_DAMAGE = (tarfile.TarError, zlib.error, OSError, EOFError, KeyError, RecursionError)


def unpacked(archive: Path) -> tuple[dict[str, bytes], set[str]]:
    """Return the files in a .tgz that are data, and its folders, without the top they share.

    What `walk` leaves out of a folder is left out here. Links to files are followed, and of two
    members of one name the later counts, as when unpacking.

    Returns:
        The files' bytes by their names, and the names of the folders, empty ones too.

    Raises:
        UserError: the archive cannot be read, is damaged or cut short, or holds what is no file.
    """
    try:
        content = read_bytes(archive)
    except OSError as error:
        raise UserError(f"{archive} is damaged ({error.strerror}); fetch it again") from None
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            held = list(_members(tar, archive))
            _check_end(tar)
    except _DAMAGE as error:
        said = str(error).partition("\n")[0].rstrip(":")  # tarfile lists every way it tried
        said = "a link in it leads nowhere" if isinstance(error, KeyError) else said
        raise UserError(f"{archive} is damaged ({said}); fetch it again") from None
    held = [(name, content) for name, content in held if not _beside(name)]
    files = [name for name, content in held if content is not None]
    tops = {name.parts[0] if len(name.parts) > 1 else "" for name in files}
    if len(tops) == 1 and "" not in tops:
        below = [
            (PurePosixPath(*name.parts[1:]), content)
            for name, content in held
            if name.parts[:1] == files[0].parts[:1]
        ]
        held = [(name, content) for name, content in below if not _beside(name)]
    folders = {name for name, content in held if content is None}
    folders |= {above for name, _ in held for above in name.parents}
    return (
        {name.as_posix(): content for name, content in held if content is not None},
        {name.as_posix() for name in folders if name.parts},
    )


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tuple[PurePosixPath, bytes | None]]:
    """Yield the files that are not hidden, and the folders, without content.

    Raises:
        UserError: a member is no file, and no folder.
    """
    links: _Links | None = None
    for member in tar:
        name = PurePosixPath(member.name.lstrip("/"))  # as tar itself does
        if ".." in name.parts:
            raise UserError(
                f"{archive} holds {member.name!r}, which points outside its folder; fetch it again"
            )
        above = any(hidden(part, folder=True) for part in name.parts[:-1])
        if above or hidden(name.name, folder=member.isdir()):
            continue
        if member.isdir():
            yield name, None
            continue
        if not (member.isreg() or member.issym() or member.islnk()):
            raise UserError(
                f"{archive} holds {member.name!r}, which is a pipe or a device, and no file; "
                "take it out of the data"
            )
        if member.isreg():
            target: tarfile.TarInfo | None = member
        else:
            links = links or _Links(tar.getmembers())
            target = links.target(member)
        file = tar.extractfile(target) if target else None
        if file is None:
            raise UserError(
                f"{archive} holds {member.name!r}, a link to a folder; unpack it, and pack it with "
                "the folder itself (tar -h)"
            )
        content = file.read()
        check_present(content, archive / name)
        yield name, content


class _Links:
    """Where the links of an archive lead, found in a time that does not grow with each link."""

    def __init__(self, members: Sequence[tarfile.TarInfo]) -> None:
        self._members = {posixpath.normpath(each.name): each for each in members}
        self._folders = {
            above.as_posix() for name in self._members for above in PurePosixPath(name).parents
        }

    def target(self, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        """Return the file that a link leads to, over others if need be; None for a folder.

        Raises:
            KeyError: it leads nowhere, or back to itself.
        """
        met: set[str] = set()
        while member.issym() or member.islnk():
            if member.issym():
                name = posixpath.join(posixpath.dirname(member.name), member.linkname)
            else:
                name = member.linkname
            name = posixpath.normpath(name)
            if name in self._folders:  # it need not be a member of its own
                return None
            if name in met:
                raise KeyError(name)
            met.add(name)
            member = self._members[name]
        return None if member.isdir() else member


def _check_end(tar: tarfile.TarFile) -> None:
    """Make sure that nothing of an archive was lost, for tarfile stops at what it cannot read.

    Reading on to the end of the stream makes gzip compare its checksum and length.

    Raises:
        ReadError: the archive has no end, or more behind it.
    """
    stream = tar.fileobj
    assert stream is not None
    stream.seek(tar.offset)
    if stream.read(_RECORD) != bytes(_RECORD):
        raise tarfile.ReadError("it is cut short, or a part of it cannot be read")
    while block := stream.read(_BLOCK):
        if block.count(0) != len(block):
            raise tarfile.ReadError("it goes on behind its end")


def _beside(name: PurePosixPath) -> bool:
    """Say whether something lies in a folder that a system keeps at a drive's top."""
    return len(name.parts) > 1 and hidden(name.parts[0], folder=True, top=True)
