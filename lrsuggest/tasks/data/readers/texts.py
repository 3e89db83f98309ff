"""Readers of text: sentences to classify, and running text for language models."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrsuggest.decoding import decode
from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.frames import column, labels, read_cells
from lrsuggest.tasks.data.readers.registry import TEXTS, reader
from lrsuggest.tasks.data.resident import Resident, Size
from lrsuggest.tasks.data.sources import Files, Progress, lines, no_progress, read_file

PAD, UNKNOWN = 0, 1
_VOCABULARY = 8000  # commonest words kept, the two above among them
_WORDS = re.compile(r"\w+|[^\w\s]")

Labelled = tuple[list[str], list[str], NDArray[np.bool_]]  # texts, labels, valid


def _labelled(name: str) -> Callable[[Callable[[Path], Labelled]], Callable[[Path], Labelled]]:
    """Register what finds texts and labels in a folder as a reader of texts to classify.

    Inputs are (n, length) word numbers, targets (n,) classes. Words are lower case; the commonest
    of the training texts have numbers from 2, 0 pads and 1 stands for any other word.
    """

    def register(find: Callable[[Path], Labelled]) -> Callable[[Path], Labelled]:
        @reader(name, size=TEXTS)
        def read(source: Path, size: Size, progress: Progress = no_progress) -> Resident:
            return numbered(*find(source), size[0])

        return find

    return register


@_labelled("mr_polarity")
def _mr_polarity(folder: Path) -> Labelled:
    """Pang and Lee's snippets, latin-1; a random fifth is for validation."""
    negative = lines(folder / "rt-polarity.neg", "latin-1")
    positive = lines(folder / "rt-polarity.pos", "latin-1")
    labels = ["negative"] * len(negative) + ["positive"] * len(positive)
    valid = np.random.default_rng(0).random(len(labels)) < 0.2
    return negative + positive, labels, valid


@_labelled("imdb")
def _imdb(folder: Path) -> Labelled:
    """Columns label and text in train.csv and valid.csv, or in texts.csv with is_valid beside.

    The second layout is that of the course's archive, the first was published elsewhere.
    """
    whole = folder / "texts.csv"
    if whole.exists():
        cells = _reviews(whole, None)
        flags = {"true": True, "1": True, "false": False, "0": False}
        for line, flag in cells[column(cells, "is_valid", whole)].items():
            if flag.casefold() not in flags:
                raise UserError(f"{whole}, line {line}: is_valid must be True or False; it is "
                                f"{flag[:40]!r}")  # fmt: skip
        held = cells[column(cells, "is_valid", whole)].str.casefold().map(flags)
        return cells["text"].tolist(), cells["label"].tolist(), held.to_numpy(bool)
    parts = [_reviews(folder / f"{n}.csv", ("label", "text")) for n in ("train", "valid")]
    both = pd.concat(parts)
    valid = np.arange(len(both)) >= len(parts[0])
    return both["text"].tolist(), both["label"].tolist(), valid


def _reviews(path: Path, names: tuple[str, str] | None) -> pd.DataFrame:
    """Read a file with the columns text and label, or without a header in the order of `names`.

    Raises:
        UserError: it is missing, damaged, or lacks a label.
    """
    cells = read_cells(path, names=names)
    return cells.assign(text=cells[column(cells, "text", path)], label=labels(cells, "label", path))


@_labelled("trec")
def _trec(folder: Path) -> Labelled:
    """A label, then tokens, a line; TREC.train.all and TREC.test.all."""
    texts: list[str] = []
    labelled: list[str] = []
    valid: list[bool] = []
    for name in ("train", "test"):
        path = folder / f"TREC.{name}.all"
        for line in lines(path, "latin-1"):
            label, *text = re.split(r"[ \t]+", line, maxsplit=1)  # \x85 is no blank here
            if not text:
                raise UserError(f"{path} holds {line[:40]!r}, a label without a text; restore it")
            texts += text
            labelled.append(label)
            valid.append(name == "test")
    return texts, labelled, np.array(valid)


def _encode(
    texts: Sequence[Sequence[str]], vocabulary: Sequence[str], length: int
) -> NDArray[np.int64]:
    """Number the words; cut or pad to `length`. Returns (n, length)."""
    number = {word: index + 2 for index, word in enumerate(vocabulary)}
    ids = np.full((len(texts), length), PAD, np.int64)
    for row, words in zip(ids, texts, strict=True):
        known = [number.get(word, UNKNOWN) for word in words[:length]]
        row[: len(known)] = known
    return ids


def numbered(
    texts: Sequence[str], labels: Sequence[str], valid: NDArray[np.bool_], length: int
) -> Resident:
    """Number the words of texts, (n, length), and their labels, (n,); valid is (n,)."""
    words = [_WORDS.findall(text.lower()) for text in texts]
    seen = Counter(w for text, held in zip(words, valid, strict=True) if not held for w in text)
    vocabulary = [word for word, _ in seen.most_common(_VOCABULARY - 2)]
    classes, codes = np.unique(labels, return_inverse=True)
    ids = _encode(words, vocabulary, length)
    return Resident(ids, codes.astype(np.int64), valid, tuple(classes.tolist()))


def _windows(tokens: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a text into rows of `length` tokens, and the same moved on by one."""
    n = max(len(tokens) - 1, 0) // length
    return tokens[: n * length].reshape(n, length), tokens[1 : n * length + 1].reshape(n, length)


def running(train: Sequence[str], valid: Sequence[str], length: int) -> Resident:
    """Cut two running texts into rows of `length` tokens, the target the token after each."""
    known = sorted(set(train))
    number = {token: index for index, token in enumerate(known)}
    parts = [
        _windows(np.array([number[token] for token in part if token in number]), length)
        for part in (train, valid)
    ]
    inputs, targets = (np.concatenate(pair) for pair in zip(*parts, strict=True))
    return Resident(inputs, targets, np.arange(len(inputs)) >= len(parts[0][0]), tuple(known))


@reader("shakespeare", size=TEXTS)
def read_shakespeare(folder: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read tinyshakespeare.txt by characters; the last tenth is for validation.

    Inputs and targets are (n, length), the target the character after; classes are the characters.

    Raises:
        UserError: the file is missing.
    """
    path = folder / "tinyshakespeare.txt"
    text = decode(read_file(path), path, "restore it")
    cut = len(text) * 9 // 10
    return running(text[:cut], text[cut:], size[0])


@reader("human_numbers", size=TEXTS)
def read_human_numbers(archive: Path, size: Size, progress: Progress = no_progress) -> Resident:
    """Read human_numbers' train.txt and valid.txt by words, as `read_shakespeare` does.

    Raises:
        UserError: the archive is damaged or lacks one of them.
    """
    files = Files(archive)
    if not {"train.txt", "valid.txt"} <= files.keys():
        raise UserError(f"{archive} must hold train.txt and valid.txt; fetch it again")
    train, valid = (files.text(f"{n}.txt").replace("\n", " . ").split() for n in ("train", "valid"))
    return running(train, valid, size[0])
