"""Curve files as loggers and spreadsheets write them."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from sheets import LOSS, LR, PLAIN, read

from lrsuggest.curves.columns import Ended
from lrsuggest.curves.curve import Curve
from lrsuggest.errors import UserError


def table(rows, delimiter=","):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return file.getvalue()


def rows(header, each):
    return [header, *(each(k, repr(float(a)), repr(float(b))) for k, (a, b) in
                      enumerate(zip(LR, LOSS, strict=True)))]  # fmt: skip


def summary(log):
    """Evaluations between the steps and a summary at the end, as a trainer's log_history has."""
    table = []
    for k, (a, b) in enumerate(zip(LR, LOSS, strict=True)):
        table.append({"loss": b, "grad_norm": 1.0, "learning_rate": a, "epoch": k / 9, "step": k})
        if k % 10 == 9:
            table.append({"eval_loss": 0.5, "eval_runtime": 1.2, "epoch": k / 9, "step": k})
    table.append({"train_runtime": 9.0, "train_loss": 1.1, "epoch": 3.0, "step": 30})
    return pd.DataFrame(table).to_csv(index=log)


def apart(k, a, b):
    """What Lightning's CSVLogger writes: the monitor's rate and the step's loss in two rows."""
    return f"{k},{a},,\n{k},,{b},\n" + (f"{k},,,0.4\n" if k % 10 == 9 else "")


READ = {
    "byte order mark": "\ufeff" + PLAIN,
    "crlf": PLAIN.replace("\n", "\r\n"),
    "old mac": PLAIN.replace("\n", "\r"),
    "no final newline": PLAIN.rstrip(),
    "trailing comma": PLAIN.replace("\n", ",\n"),
    "trailing commas in the rows": PLAIN.replace("\n", ",,\n").replace("loss,,", "loss"),
    "trailing semicolons": PLAIN.replace(",", ";").replace("\n", ";\n"),
    "blanks": PLAIN.replace(",", "  ,  ").replace("\n", "  \n"),
    "quoted": '"' + PLAIN.rstrip().replace(",", '","').replace("\n", '"\n"') + '"',
    "quoted with blanks": '"' + PLAIN.rstrip().replace(",", '" ; "').replace("\n", '" \n"') + '"',
    "comments": "# a range test\n#\n" + PLAIN.replace("\n", "\n# step, or not\n", 3),
    "excel": "sep=;\n" + PLAIN.replace(",", ";"),
    "units": PLAIN.replace("lr,loss", "LR (1/step),Loss [nats]"),
    "step first": table(rows(["step", "lr", "loss"], lambda k, a, b: [k, a, b])),
    "index of pandas": pd.DataFrame({"lr": LR, "loss": LOSS}).to_csv(),
    "a trainer's log": summary(False),
    "a trainer's log with an index": summary(True),
    "a trainer's log with nan": summary(False).replace(",,", ",nan,").replace(",,", ",nan,"),
    "logged apart": "step,lr-AdamW,train_loss_step,val_loss\n"
    + "".join(apart(k, repr(float(a)), repr(float(b))) for k, (a, b) in
              enumerate(zip(LR, LOSS, strict=True))),
    "logged per step and epoch": table(
        rows(["epoch", "train/learning_rate", "train_loss_step", "train_loss_epoch"],
             lambda k, a, b: [0, a, b, ""])),
    "wandb": table(rows(["_step", "lr", "Loss/train"], lambda k, a, b: [k, a, b])),
    "train/lr": table(rows(["train/global_step", "train/lr", "train/loss", "eval/loss"],
                           lambda k, a, b: [k, a, b, 1])),
}  # fmt: skip


@pytest.mark.parametrize("form", READ)
def test_a_curve_of_another_make_reads_as_the_plain_one(tmp_path, form):
    curve = read(tmp_path, READ[form])
    np.testing.assert_array_equal(curve.lr, LR)
    np.testing.assert_array_equal(curve.loss, LOSS)
    assert curve.ended is Ended.COMPLETED


@pytest.mark.parametrize("loss", ["nan", "NaN", "inf", "-Infinity"])
def test_a_loss_that_is_no_finite_number_is_a_step(tmp_path, loss):
    curve = read(tmp_path, f"step,lr,loss,eval_loss\n1,1e-3,2,\n2,1e-2,{loss},\n")
    assert len(curve) == 2
    assert not np.isfinite(curve.loss[1])
    assert curve.ended is Ended.NON_FINITE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr,loss\n1e-3,2\n1e-2,50%\n", "line 3: loss is not a number; it is '50%'"),
        ("lr,loss\n1e-3,1_000\n", "line 2: loss is not a number; it is '1_000'"),
        ("lr;loss\n0.001;2,5\n", r"loss 2,5 has a decimal comma; write 2\.5"),
        ("lr,loss,val\n1e-3,2,1\n1e-2,,1\n", "line 3: loss is not a number; it is empty"),
        ("lr,loss,val\n1e-3,2,1\n,3,1\n", "line 3: lr is not a number; it is empty"),
        ("step,lr,loss\n1,1e-3,\n2,,3\n", "line 2: loss is not a number; it is empty"),
        ("step,lr,loss\n1,1e-3,2\n2,1e-2,\n", "line 3: loss is not a number; it is empty"),
        ("step,lr,loss\n1,1e-3,\n1,1e-2,3\n", "line 2: loss is not a number; it is empty"),
        ("lr,loss\n1e-3,2,3\n", "line 2 has 3 values, but the header has 2; write numbers with"),
        ("Wall time,Step,Value\n1,2,3\n", "its first line is 'Wall time, Step, Value'"),
        ("eval_loss,lr\n1,2\n", "needs a header line with the columns lr and loss"),
        ("lr,learning_rate,loss\n1e-3,1e-3,2\n", "has lr and learning_rate for lr; leave one"),
        ("lr-AdamW,lr-SGD,loss\n1e-3,1e-2,2\n", "has lr-AdamW and lr-SGD for lr; leave one"),
        ('{"lr": [1, 2], "loss": [3, 4]}', "is JSON and no table .* with Curve.from_json"),
        (b"lr,loss\n1e-3,2\0\n", "it is no UTF-8 text, for it holds zero bytes"),
        (PLAIN.encode("utf-16-le"), "it is no UTF-8 text"),
        (PLAIN.encode("utf-32"), "save it as CSV in UTF-8"),
    ],
)
def test_what_is_left_is_refused_by_line(tmp_path, text, says):
    with pytest.raises(UserError, match=says) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


GOOD = (
    '{"lr": [1e-3, 1e-2], "loss": [2.0, null], "smoothed": false, "skipped": [], '
    '"ended": "completed"}'
)


def test_json_with_a_byte_order_mark_is_read():
    assert len(Curve.from_json("\ufeff" + GOOD)) == 2
    assert len(Curve.from_json(GOOD.replace("null", "Infinity"))) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"skipped": []', '"skipped": [-1]'), ('"skipped": []', '"skipped": [2]'),
        ('"skipped": []', '"skipped": [0.5]'), ('"skipped": []', '"skipped": ["0"]'),
        ('"skipped": []', '"skipped": [true]'), ('"skipped": []', '"skipped": 1'),
        ("false", '"no"'), ("false", "0"), ('"completed"', "3"), ('"completed"', "[]"),
        ("[2.0, null]", '["2", "3"]'), ("[2.0, null]", "[true, 1]"), ("[2.0, null]", "[[1], 2]"),
        ("[2.0, null]", "2"), ("[1e-3, 1e-2]", '["1e-3", "1e-2"]'), ("[1e-3, 1e-2]", "[null, 1]"),
        ("[1e-3, 1e-2]", '{"0": 1}'), ("[1e-3, 1e-2]", '"12"'), (GOOD, "[" * 100_000),
        (GOOD, "null"), (GOOD, "\ud800"),
    ],
)  # fmt: skip
def test_json_of_other_types_is_one_sentence(old, new):
    with pytest.raises(UserError) as caught:
        Curve.from_json(GOOD.replace(old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loss", [[2.0, None], [2.0, "two"], [2.0, [1.0, 2.0]], 3, None])
def test_records_of_a_finder_that_are_no_numbers_are_one_sentence(loss):
    with pytest.raises(UserError, match=r"holds numbers only; got|has no lists lr and loss"):
        Curve.from_torch_lr_finder({"lr": [1e-3, 1e-2], "loss": loss})
