"""What is in a folder or an archive is read whole or refused: nothing vanishes for its name."""

import csv
import gzip
import lzma
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from archives import special
from helpers import need
from task_files import classes, picture, quietly

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.catalog import fingerprint
from lrsuggest.tasks.data.readers.all import read
from lrsuggest.tasks.data.sources import contents

ODD = (
    "recycled", "RECYCLER", "found.001", "lost+found", "a.part", "a.download", "#a#", "a~", "~$",
    "shell.lnk", "Temporary Items", "thumbs.db", "x.swp",
)  # fmt: skip


def tar(folder, path, *members, top="top", mode="w:gz"):
    """An archive of a folder, and of members without content or (member, content) behind it."""
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as archive:
        archive.add(folder, top)
        for member in members:
            archive.addfile(member)
    return path


def names(found):
    return [name for name, _ in found]


@pytest.mark.parametrize("name", ODD)
def test_a_class_keeps_its_images_whatever_its_name(tmp_path, name):
    folder = classes(tmp_path / "f", ("ants", name))
    assert fingerprint(folder) != fingerprint(classes(tmp_path / "g", ("ants",)))
    for source in (folder, tar(folder, tmp_path / "a.tgz")):
        data = read("folders", source, (9, 9), quietly)
        assert set(data.classes) == {"ants", name}
        assert len(data.inputs) == 4


@pytest.mark.parametrize("name", ["lost+found", "RECYCLER", "FOUND.000", "Temporary Items"])
def test_what_a_system_keeps_at_a_drive_s_top_is_no_data_there(tmp_path, name):
    folder = classes(tmp_path / "f")
    before = fingerprint(folder)
    (folder / name).mkdir()
    (folder / name / "1.png").write_bytes(picture(3))
    assert fingerprint(folder) == before
    assert names(contents(folder)) == names(contents(classes(tmp_path / "g")))
    for top in ("top", "."):
        packed = tar(folder, tmp_path / "a.tgz", top=top)
        assert list(contents(packed)) == list(contents(folder))


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", "#recycle", "~snapshot", "$RECYCLE.BIN"])
def test_a_folder_that_can_be_nothing_else_is_no_data_anywhere(tmp_path, name):
    folder = classes(tmp_path / "f")
    before = names(contents(folder))
    (folder / "train" / "ants" / name).mkdir()
    (folder / "train" / "ants" / name / "1.png").write_bytes(picture(3))
    assert names(contents(folder)) == before
    assert names(contents(tar(folder, tmp_path / "a.tgz"))) == before


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (special("top/train/wasps", tarfile.SYMTYPE, "ants"), "'top/train/wasps', a link to a fol"),
        (special("top/train/wasps", tarfile.SYMTYPE, "../valid/ants"), "'top/train/wasps', a link"),
        (special("top/train/ants/up", tarfile.SYMTYPE, "../.."), "ants/up', a link to a folder"),
        (special("top/../train/ants/2.png", tarfile.REGTYPE), "which points outside its folder"),
        (special("../2.png", tarfile.REGTYPE), "'../2.png', which points outside its folder"),
        (special("top/train/ants/2.png", tarfile.FIFOTYPE), "2.png', which is a pipe or a device"),
        (special("top/train/ants/2.png", tarfile.CHRTYPE), "2.png', which is a pipe or a device"),
        (special("top/train/ants/2.png", tarfile.SYMTYPE, "9.png"), "a link in it leads nowhere"),
    ],
)
def test_a_member_that_is_no_file_is_named(tmp_path, member, says):
    path = tar(classes(tmp_path / "f"), tmp_path / "a.tgz", member)
    with pytest.raises(UserError, match=r"holds|damaged") as caught:
        read("folders", path, (9, 9), quietly)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_to_a_file_is_followed_and_hidden_members_are_all_one(tmp_path):
    folder = classes(tmp_path / "f")
    path = tar(
        folder, tmp_path / "a.tgz",
        special("top/train/ants/2.png", tarfile.SYMTYPE, "../bees/1.png"),
        special("top/train/ants/3.png", tarfile.LNKTYPE, "top/train/bees/1.png"),
        special("top/.git/hook", tarfile.FIFOTYPE),
        special("top/.cache", tarfile.SYMTYPE, "train"),
    )  # fmt: skip
    found = dict(contents(path))
    assert found["train/ants/2.png"] == found["train/ants/3.png"] == found["train/bees/1.png"]
    assert len(found) == len(dict(contents(folder))) + 2


def test_a_bit_that_turned_in_an_archive_is_noticed_wherever(data_root, tmp_path):
    whole = need(data_root, "archives/human_numbers.tgz").read_bytes()
    path = tmp_path / "a.tgz"
    path.write_bytes(whole)
    assert names(contents(path)) == ["train.txt", "valid.txt"]
    for at in np.random.default_rng(0).integers(20, len(whole), 60):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(UserError, match=r"a\.tgz is damaged \(.*\); fetch it again"):
            list(contents(path))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bytes], ids=["gz", "xz", "plain"])
def test_an_archive_that_lost_a_part_is_refused_though_its_stream_is_whole(tmp_path, pack):
    plain = tar(classes(tmp_path / "f"), tmp_path / "a.tar", mode="w:").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        starts = [member.offset for member in archive]
    middle = starts[len(starts) // 2]
    turned = bytearray(plain)
    turned[middle + 148] ^= 1  # in a header's checksum
    blank = plain[:middle] + bytes(512) + plain[middle + 512 :]
    path = tmp_path / "a.tgz"
    path.write_bytes(pack(plain))
    assert len(list(contents(path))) == 4
    lost = (plain[:middle], plain[: middle + 700], plain[: starts[-1]], bytes(turned), blank,
            plain + plain)  # fmt: skip
    for content in lost:
        path.write_bytes(pack(content))
        with pytest.raises(UserError, match=r"a\.tgz is damaged") as caught:
            list(contents(path))
        assert "\n" not in str(caught.value)


def test_an_archive_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tgz")
    with pytest.raises(UserError, match=r"a\.tgz is damaged \(it is a pipe"):
        list(contents(tmp_path / "a.tgz"))


def test_only_a_newline_ends_a_line(tmp_path):
    for end, content in (
        ("neg", b"bad\x85 film\n\x0cworse\x1c one\x1d\x1e!\n"),
        ("pos", b"good\r\n"),
    ):
        (tmp_path / f"rt-polarity.{end}").write_bytes(content * 9)
    data = read("mr_polarity", tmp_path, (8,), quietly)
    assert np.bincount(data.targets).tolist() == [18, 9]
    for part in ("train", "test"):
        content = b"LOC:city where is it\x85 7 now ?\nNUM:date when\x0c was it ?\n"
        (tmp_path / f"TREC.{part}.all").write_bytes(content)
    data = read("trec", tmp_path, (8,), quietly)
    assert data.classes == ("LOC:city", "NUM:date")
    assert len(data.inputs) == 4


def test_a_class_s_name_may_hold_any_blank_but_a_newline(tmp_path):
    from lrsuggest.tasks.data.sources import Files

    with open(tmp_path / "codes.txt", "w", encoding="utf-8", newline="") as file:
        file.write("Void\nStra\u2028sse\x85a\x0bb\r\nCar\rTree\n\n")
    assert Files(tmp_path).lines("codes.txt") == ["Void", "Stra\u2028sse\x85a\x0bb", "Car", "Tree"]


def test_many_links_are_followed_at_once_and_from_anywhere(tmp_path, monkeypatch):
    path, images = tmp_path / "a.tgz", tmp_path / "all"
    images.mkdir()
    for k in range(4):
        (images / f"{k}.png").write_bytes(picture(k))
    links = [
        special(f"top/train/{'ab'[k % 2]}/{k}.png", tarfile.SYMTYPE, f"../../all/{k % 4}.png")
        for k in range(300)
    ]
    over = special("top/valid/a/0.png", tarfile.SYMTYPE, "../../train/a/0.png")
    hard = special("top/valid/b/0.png", tarfile.LNKTYPE, "top/all/1.png")
    tar(images, path, *links, over, hard, top="top/all")
    asked = []
    scanned = tarfile.TarFile.getmembers
    monkeypatch.setattr(tarfile.TarFile, "getmembers", lambda t: asked.append(1) or scanned(t))
    found = dict(contents(path))
    assert len(asked) == 1
    assert len(found) == 4 + 300 + 2
    assert found["valid/a/0.png"] == found["train/a/0.png"] == found["all/0.png"]
    assert found["valid/b/0.png"] == found["all/1.png"] == found["train/b/1.png"]
    ring = [special("top/a.png", tarfile.SYMTYPE, "b.png"),
            special("top/b.png", tarfile.SYMTYPE, "a.png")]  # fmt: skip
    away = special("top/c.png", tarfile.SYMTYPE, "/top/all/1.png")
    for members in (ring, [away]):
        tar(images, path, *members, top="top/all")
        with pytest.raises(UserError, match="a link in it leads nowhere"):
            list(contents(path))


def empty_class(folder):
    (folder / "train" / "wasps").mkdir()


def class_of_notes(folder):
    (folder / "valid" / "wasps").mkdir()
    (folder / "valid" / "wasps" / "notes.txt").write_text("no picture")


def beside_the_classes(folder):
    (folder / "train" / "lost.png").write_bytes(picture(3))


def below_a_class(folder):
    (folder / "train" / "ants" / "more").mkdir()
    (folder / "train" / "ants" / "more" / "1.png").write_bytes(picture(3))


def one_word_twice(folder):
    (folder / "valid" / "ants").rename(folder / "valid" / "Ants")


SLIPS = {
    empty_class: "the class folder .*train/wasps holds no images",
    class_of_notes: "the class folder .*valid/wasps holds no images",
    beside_the_classes: "train/lost.png lies beside the class folders, in none of them; move it",
    below_a_class: "train/ants/more/1.png lies deeper than SPLIT/CLASS/IMAGE",
    one_word_twice: "'Ants' and 'ants', one word in two spellings",
}


@pytest.mark.parametrize(("slip", "said"), SLIPS.items())
def test_an_archive_is_judged_as_its_folder_is(tmp_path, slip, said):
    folder = classes(tmp_path / "f")
    slip(folder)
    sources = [folder, *(tar(folder, tmp_path / f"{top}a.tgz", top=top) for top in ("top", "."))]
    for source in sources:
        with pytest.raises(UserError, match=said):
            read("folders", source, (9, 9), quietly)


def test_a_split_without_classes_beside_the_others_is_left_alone(tmp_path):
    folder = classes(tmp_path / "f")
    (folder / "test").mkdir()  # as competitions give what is to be told
    (folder / "test" / "1.png").write_bytes(picture(3))
    for source in (folder, tar(folder, tmp_path / "a.tgz")):
        assert len(read("folders", source, (9, 9), quietly).inputs) == 4


LEFT = (
    "models/stage-1.pth", "models/tmp.pth", "export.pkl", "history.csv", "last.ckpt",
    "checkpoint-500/model.safetensors", "checkpoint-500/trainer_state.json",
    "lightning_logs/version_0/metrics.csv", "wandb/run-1/files/config.yaml", "mlruns/0/meta.yaml",
    "runs/1/events.out.tfevents.1", "tb_logs/x/hparams.yaml", "train/ants/best.pt",
    "__pycache__/data.cpython-311.pyc", ".ipynb_checkpoints/a.png", "train/.DS_Store",
    "train/ants/Thumbs.db",
)  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_a_training_leaves_beside_its_data_is_no_data(tmp_path, name):
    folder = classes(tmp_path / "f")
    before, held = fingerprint(folder), names(contents(folder))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(picture(3))
    assert fingerprint(folder) == before
    for source in (folder, tar(folder, tmp_path / "a.tgz")):
        assert set(read("folders", source, (9, 9), quietly).classes) == {"ants", "bees"}
        assert names(contents(source)) == held


def test_a_recorded_folder_has_the_fingerprint_it_was_recorded_with(data_root):
    if not (data_root / "hymenoptera").is_dir():
        pytest.skip("no hymenoptera at hand")
    table = Path(__file__).parents[2] / "benchmarks" / "recorded" / "tasks.csv"
    with table.open(encoding="utf-8", newline="") as file:
        recorded = {row["fingerprint"] for row in csv.DictReader(file)}
    assert fingerprint(data_root / "hymenoptera") in recorded
