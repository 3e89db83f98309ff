"""What a curve file's header, comments and commas mean, and files that are written whole."""

import os
import resource
import signal

import numpy as np
import pytest
from sheets import LOSS, LR, PLAIN, read

from lrsuggest.curves.columns import Ended
from lrsuggest.curves.curve import Curve
from lrsuggest.errors import UserError

ROWS = PLAIN.partition("\n")[2]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(",", ";").replace(".", ","), PLAIN.replace(",", "\t").replace(".", ","),
        "# lr loss\n" + ROWS.replace(",", " "), "# lr,loss\n" + ROWS, "#lr,loss\n" + ROWS,
        PLAIN.replace("lr,loss", "lr-Adam,loss (train)"), PLAIN.replace("lr,", "lr-SGD/pg1,"),
        PLAIN.replace("loss", "loss (training, per step)").replace("lr,loss (training, per step)",
                                                              '"lr (1/step)","loss (nats)"'),
        PLAIN.replace("lr,loss", "lr [AdamW],loss (cross-entropy)"),
        "lr-AdamW,lr-AdamW-momentum,lr-AdamW-weight_decay,loss\n"
        + ROWS.replace(",", ",0.9,0.01,"),
        "lr,loss,loss (valid),loss (smoothed)\n" + ROWS.replace("\n", ",9,8\n"),
        'note,lr,loss\n"two\n#lines",' + ROWS.replace("\n", "\n,").rstrip(","),
    ],
)  # fmt: skip
def test_what_can_mean_one_thing_only_is_read(tmp_path, text):
    curve = read(tmp_path, text)
    np.testing.assert_allclose(curve.lr, LR, rtol=1e-15)
    np.testing.assert_allclose(curve.loss, LOSS, rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAIN.replace("lr,", "lr (1e-3),"), "gives lr on another scale, as 'lr .1e-3.'"),
        (PLAIN.replace("lr,", "lr (log10),"), "gives lr on another scale"),
        (PLAIN.replace("lr,", "lr [%],"), "gives lr on another scale"),
        (PLAIN.replace("loss", "loss (log)"), "gives loss on another scale"),
        (PLAIN.replace("loss", "loss (smoothed)"), "holds smoothed losses, .* smoothed=True"),
        (PLAIN.replace("loss", "loss (valid)"), "needs a header line"),
        (PLAIN.replace("loss", "loss (held-out)"), "needs a header line"),
        (PLAIN.replace("loss", "loss [hold out]"), "needs a header line"),
        (PLAIN.replace("lr,", "lr (scaled),"), "names lr 'lr .scaled.', and 'scaled' may mean ano"),
        (PLAIN.replace("lr,", "lr (thousandths),"), "'thousandths' may mean another quantity"),
        (PLAIN.replace("lr,", "lr (m),"), "'m' may mean another quantity; .*name it lr"),
        (PLAIN.replace("loss", "loss (debiased)"), "'debiased' may mean another quantity"),
        (PLAIN.replace("loss", "loss (filtered)"), "'filtered' may mean another quantity"),
        (PLAIN.replace("loss", "loss (sum)"), "'sum' may mean another quantity; .*name it loss"),
        (PLAIN.replace("loss", "loss (normalized)"), "'normalized' may mean another quantity"),
        (PLAIN.replace("loss", "loss (bits)"), "'bits' may mean another quantity"),
        (PLAIN.replace("lr,", "lr-Adam-momentum,"), "needs a header line"),
        (PLAIN.replace("lr,", "lr-AdamW-weight_decay,"), "needs a header line"),
        (PLAIN + "#N/A,2.5\n", "line 32: lr is not a number; it is '#N/A'"),
        (PLAIN + "#1,2.5\n", "line 32: lr is not a number; it is '#1'"),
        ("loss,lr\n#NUM!,1e-3\n2,1e-2\n", "line 2: loss is not a number; it is '#NUM!'"),
        ('lr,loss\n1e-3,"2,300"\n', "2,300 has a decimal comma; write 2.300, or 2300 if the"),
        ("lr;loss\n1e-3;1,234\n1e-2;1,235\n", "loss 1,234 has a decimal comma"),
        ('{"log_history": [{"loss": 1}]}', "write its log_history as a table"),
        ("version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
    ],
)
def test_what_means_something_else_is_refused(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, text)


def test_smoothed_losses_are_read_where_that_is_said(tmp_path):
    (tmp_path / "c.csv").write_text(PLAIN.replace("loss", "loss (smoothed)"))
    assert Curve.from_csv(tmp_path / "c.csv", smoothed=True).smoothed


def test_an_empty_last_loss_is_the_one_that_was_not_finite(tmp_path):
    curve = read(tmp_path, PLAIN + "1e1,\n")
    assert len(curve) == len(LR) + 1
    assert np.isnan(curve.loss[-1])
    assert curve.ended is Ended.NON_FINITE


def test_a_curve_that_cannot_be_written_leaves_the_old_file(tmp_path):
    curve, path = Curve(np.geomspace(1e-6, 1, 3000), np.ones(3000)), tmp_path / "c.csv"
    curve.to_csv(path)
    before = path.read_bytes()
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, was[1]))
        with pytest.raises(UserError, match="cannot be written: File too large"):
            curve.to_csv(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["c.csv"]
    for bad in (tmp_path, tmp_path / "no" / "c.csv", path / "c.csv"):
        with pytest.raises(UserError, match="cannot be written"):
            curve.to_csv(bad)
    (tmp_path / "link.csv").symlink_to(path)
    curve.to_csv(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
