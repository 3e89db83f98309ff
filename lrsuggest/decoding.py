"""Text as people's editors leave it: one place that knows byte order marks and what is no text."""

import codecs
import os
import stat
from pathlib import Path

from lrsuggest.errors import UserError

_WIDE = (
    codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE,
)  # fmt: skip
_POINTERS = (
    (b"version https://git-lfs.github.com/spec/", "git lfs pull"),
    (b"version https://hawser.github.com/spec/", "git lfs pull"),  # its name until 2014
    (b"/annex/objects/", "git annex get ."),
)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; a pipe, socket or device is refused, for it could be waited for.

    Raises:
        OSError: it is missing, cannot be read, or is no regular file.
        UserError: it only stands for a file that lies elsewhere.
    """
    # Opened without waiting and then looked at: a look before could be out of date.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is a pipe, a socket or a device, and no file")
        content = file.read()
    check_present(content, path)
    return content


def check_present(content: bytes, where: object) -> None:
    """Refuse what git-lfs and git-annex leave in a file's place until they have fetched it.

    Args:
        content: the file's bytes, or its first ones.
        where: what a sentence calls the file.

    Raises:
        UserError: it is such a pointer.
    """
    for begins, command in _POINTERS:
        if content.startswith(begins):
            raise UserError(
                f"{where} only stands for a file that was not fetched; run {command} in its folder"
            )


def decode(content: bytes, where: object, mend: str, encoding: str = "utf-8") -> str:
    """Return bytes as text, without a byte order mark and with lines that end in a newline.

    Args:
        content: a file's bytes.
        where: what a sentence calls the file.
        mend: what a sentence tells to do where it is no such text.
        encoding: which text it is; one of UTF-8's marks may precede any.

    Raises:
        UserError: it is no such text.
    """
    name = encoding.upper()
    if content.startswith(_WIDE):
        raise UserError(f"{where} is no {name} text; {mend} (it is in UTF-16 or UTF-32)")
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{where} is no {name} text; {mend}") from None
    if "\0" in text:
        raise UserError(f"{where} is no {name} text, for it holds zero bytes; {mend}")
    return text.replace("\r\n", "\n").replace("\r", "\n")
