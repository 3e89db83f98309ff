"""Tables as spreadsheets write them: read as the plain one, or a slip named by file and line."""

import numpy as np
import pytest
from helpers import need, write_tgz
from task_files import FORMS, N, ask, diamonds, quietly, same, write

from lrsuggest.errors import UserError
from lrsuggest.tasks.data.readers.all import read


def cell(row, column, value):
    def change(rows):
        rows = [list(cells) for cells in rows]
        rows[row][rows[0].index(column) if isinstance(column, str) else column] = value
        return rows

    return change


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("form", FORMS)
def test_a_table_reads_as_the_plain_one(tmp_path, delimiter, form):
    plain = ask(write(tmp_path / "a", diamonds()))
    assert plain.inputs.shape == (N, 5)
    assert same(ask(write(tmp_path / "b", diamonds(), delimiter, FORMS[form])), plain)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [[name.upper() for name in rows[0]], *rows[1:]],
        lambda rows: [[f"  {value} " for value in row] for row in rows],
        lambda rows: [[f'"{value}"' for value in row] for row in rows],
        lambda rows: [[*row, ""] for row in rows],
        lambda rows: [rows[0], *([*row, "", ""] for row in rows[1:])],
        lambda rows: [["", *rows[0]], *([f"{k}", *row] for k, row in enumerate(rows[1:]))],
        lambda rows: [['""', *rows[0]], *([f'"{k}"', *row] for k, row in enumerate(rows[1:], 1))],
        lambda rows: [["# made by hand"], *rows, ["", "", "", ""]],
        lambda rows: [["sep=,"], *rows],
        cell(7, "cut", "Ideal "),
    ],
)
def test_a_table_may_be_written_otherwise(tmp_path, change):
    plain = ask(write(tmp_path / "a", diamonds()))
    assert same(ask(write(tmp_path / "b", change(diamonds()))), plain)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cell(5, "price", "n/a"), "line 6: price is not a number; it is 'n/a'; mend it or take"),
        (cell(5, "price", ""), "line 6: price is not a number; it is empty"),
        (cell(5, "price", "cheap"), "line 6: price is not a number; it is 'cheap'"),
        (cell(5, "price", "nan"), "line 6: price must be finite; it is nan"),
        (cell(5, "price", "inf"), "line 6: price must be finite; it is inf"),
        (cell(5, "price", "1e300"), "line 6: price must be finite; it is 1e300"),
        (cell(5, "price", "0"), "line 6: price must be a number above 0; it is 0"),
        (cell(5, "price", "-3"), "line 6: price must be a number above 0; it is -3"),
        (cell(5, "price", "1_000"), "line 6: price is not a number; it is '1_000'"),
        (cell(5, "price", "$326"), r"line 6: price is not a number; it is '\$326'"),
        (cell(5, "price", '"1,234"'), "line 6: price .* write 1.234 for a decimal comma, 1234 for"),
        (cell(5, "carat", '"0,31"'), "line 6: carat .* write 0.31 for a decimal comma"),
        (cell(5, "carat", "unknown"), "line 6: carat is not a number; it is 'unknown'"),
        (cell(5, "carat", "1_0"), "line 6: carat is not a number; it is '1_0'"),
        (cell(5, "carat", "-inf"), "line 6: carat must be finite; it is -inf"),
        (cell(0, "depth", "Carat"), "two columns [cC]arat; leave one"),
        (cell(0, "depth", ""), "a column without a name"),
        (lambda rows: [["id", *r] if k == 0 else r for k, r in enumerate(rows)],
         "line 2 has 4 values, but there are 5 columns"),
        (lambda rows: [r if k == 0 else [*r, "more"] for k, r in enumerate(rows)],
         "line 2 has 5 values, but there are 4 columns; write numbers with a point"),
        (lambda rows: [["", *r] if k == 0 else ["x", *r] for k, r in enumerate(rows)],
         "a first column without a name"),
        (lambda rows: [[*r[:3]] for r in rows], "has no column price"),
        (lambda rows: [[*r, "empty" if k == 0 else ""] for k, r in enumerate(rows)],
         "the column empty is empty; take it away"),
        (lambda rows: rows[:1], "has a header but no rows"),
        (lambda rows: rows[:2], "a table of 1 rows leaves nothing"),
        (lambda rows: [], "has no rows"),
        (lambda rows: [r if k else [f'"{r[0]}', *r[1:]] for k, r in enumerate(rows)], "is no CSV"),
        (lambda rows: [[f"{value};" for value in row] for row in rows], r"diamonds\.csv"),
    ],
)  # fmt: skip
def test_a_slip_in_a_table_is_named(tmp_path, change, says):
    folder = write(tmp_path, change(diamonds()))
    before = (folder / "diamonds.csv").read_bytes()
    with pytest.raises(UserError, match=says) as caught:
        ask(folder)
    assert "diamonds.csv" in str(caught.value) or "a table of" in says
    assert "\n" not in str(caught.value)
    assert (folder / "diamonds.csv").read_bytes() == before


def test_every_number_with_a_comma_is_refused_too(tmp_path):
    rows = diamonds()
    for column in ("carat", "price"):
        place = rows[0].index(column)
        other = [rows[0], *([*r[:place], f'"{r[place].replace(".", ",")},000"', *r[place + 1:]]
                            for r in rows[1:])]  # fmt: skip
        with pytest.raises(UserError, match=f"line 2: {column} is not a number"):
            ask(write(tmp_path, other))


def test_gaps_in_features_are_filled_as_before(tmp_path):
    folder = write(tmp_path, cell(5, "carat", "n/a")(cell(9, "depth", "")(diamonds())))
    data = ask(folder)
    assert data.inputs.shape == (N, 7)  # a column of its own marks the gaps of each
    assert np.isfinite(data.inputs).all()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_is_one_sentence(tmp_path, encoding):
    text = "\n".join(",".join(row) for row in cell(3, "cut", "Idéal")(diamonds()))
    (tmp_path / "diamonds.csv").write_bytes(text.encode(encoding))
    with pytest.raises(UserError, match=r"diamonds\.csv is no UTF-8 text"):
        ask(tmp_path)


def abalone():
    return [["MFI"[k % 3], *(f"{k / 7 + c:.3f}" for c in range(7)), f"{k % 9 + 1}"]
            for k in range(N)]  # fmt: skip


ABALONE = ["sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings"]


@pytest.mark.parametrize(
    "header",
    [
        ABALONE,
        [name.capitalize() for name in ABALONE],
        [*ABALONE[:4], "Whole weight", "Shucked weight", "Viscera weight", "Shell weight", "Rings"],
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_header_where_none_is_needed_is_no_row(tmp_path, header, form):
    plain = ask(write(tmp_path / "a", abalone(), name="abalone.csv"), "abalone")
    other = write(tmp_path / "b", [header, *abalone()], ",", FORMS[form], "abalone.csv")
    assert same(ask(other, "abalone"), plain)


def test_columns_in_another_order_are_put_back_or_refused(tmp_path):
    plain = ask(write(tmp_path / "a", abalone(), name="abalone.csv"), "abalone")
    turned = [row[::-1] for row in [ABALONE, *abalone()]]
    data = ask(write(tmp_path / "b", turned, name="abalone.csv"), "abalone")
    np.testing.assert_array_equal(data.targets, plain.targets)
    turned[0][3] = "of its own"
    with pytest.raises(UserError, match="has its column rings in another place"):
        ask(write(tmp_path / "c", turned, name="abalone.csv"), "abalone")


def mammography(label=lambda k: "'-1'" if k % 4 else "'1'"):
    return [[*(f"{(k * 7 + c) % 11}.5" for c in range(6)), label(k)] for k in range(N)]


def test_labels_are_read_without_what_surrounds_them(tmp_path):
    plain = ask(write(tmp_path / "a", mammography(), name="mammography.csv"), "mammography")
    assert plain.classes == ("-1", "1")
    for label in ("{}", " {} ", '"{}"', "'{}'"):
        rows = mammography(lambda k, label=label: label.format("-1" if k % 4 else "1"))
        data = ask(write(tmp_path / "b", rows, name="mammography.csv"), "mammography")
        assert same(data, plain)
    for missing in ("", "?", "nan", "N/A"):
        rows = cell(3, 6, missing)(mammography())
        with pytest.raises(UserError, match=r"mammography\.csv, line 4: 6 is missing"):
            ask(write(tmp_path / "b", rows, name="mammography.csv"), "mammography")
    rows = mammography(lambda k: "'1'")
    with pytest.raises(UserError, match="has one class only, '1'"):
        ask(write(tmp_path / "b", rows, name="mammography.csv"), "mammography")


def test_one_label_in_two_spellings_is_refused(tmp_path):
    rows = mammography(lambda k: ("'-1'", "'-1.0'", "'1'")[k % 3])
    with pytest.raises(UserError, match=r"6 holds '-1' and '-1\.0', one number in two spellings"):
        ask(write(tmp_path, rows, name="mammography.csv"), "mammography")
    rows = mammography(lambda k: ("'1'", "'01'")[k % 2])
    with pytest.raises(UserError, match="'1' and '01', one number in two spellings"):
        ask(write(tmp_path, rows, name="mammography.csv"), "mammography")


def test_one_word_in_two_spellings_is_refused(tmp_path):
    words = ("Negative", "negative", "positive")
    text = "label,text\n" + "".join(f"{words[k % 3]},a b\n" for k in range(9))
    for name in ("train.csv", "valid.csv"):
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="label holds 'Negative' and 'negative', one word in two"):
        read("imdb", tmp_path, (4,), quietly)
    letters = write(tmp_path, mammography(lambda k: "aAb"[k % 3]), name="mammography.csv")
    assert set(ask(letters, "mammography").classes) == {"a", "A", "b"}


@pytest.mark.parametrize("other", ["IDEAL", "ideal", "Very  Good", "Very\u00a0Good"])
def test_one_category_in_two_spellings_is_refused(tmp_path, other):
    cuts = ["Ideal", "Very Good", "Ideal ", " Very Good", "Fair", other]
    rows = [["carat", "cut", "price"]]
    rows += [[f"0.{k + 10}", cuts[k % len(cuts)], str(300 + k)] for k in range(60)]
    with pytest.raises(UserError, match=r"cut holds '.*' and '.*', one word in two spellings"):
        ask(write(tmp_path, rows))
    for row in rows[1:]:
        row[1] = "Fair" if row[1] == other else row[1]
    assert ask(write(tmp_path, rows)).inputs.shape == (60, 4)  # a number and three categories
    for row in rows[1:]:
        row[1] = {"Ideal": "a", "Fair": "A"}.get(row[1], "b")  # single letters may be two
    assert ask(write(tmp_path, rows)).inputs.shape == (60, 4)


def test_numbers_with_a_unit_are_named(tmp_path):
    def weighed(said):
        header, *rows = diamonds()
        return write(tmp_path, [header, *([said(row[0]), *row[1:]] for row in rows)])

    for unit in ("ct", "kg", "µg"):
        for between in ("", " "):
            with pytest.raises(UserError, match=f"carat holds numbers with the unit '{unit}'; wri"):
                ask(weighed(lambda cell, u=between + unit: cell + u))
    assert len(ask(weighed(lambda cell: f"{2 + 2 * (cell > '1')}wd")).inputs) == N


def test_a_sex_in_small_letters_is_the_same(tmp_path):
    plain = ask(write(tmp_path / "a", abalone(), name="abalone.csv"), "abalone")
    rows = [[row[0].lower() if k % 2 else row[0], *row[1:]] for k, row in enumerate(abalone())]
    assert same(ask(write(tmp_path / "b", rows, name="abalone.csv"), "abalone"), plain)


def test_a_table_inside_an_archive_keeps_the_same_rules(tmp_path):
    rows = [["age", "job", "salary"], *([f"{k}", " A", ["<50k", ">=50k"][k % 2]] for k in range(N))]
    text = "\n".join(", ".join(row) for row in rows).encode()
    path = tmp_path / "adult_sample.tgz"
    plain = ask(write_tgz(path, {"adult.csv": text}).parent, "adult")
    for form in FORMS.values():
        write_tgz(path, {"adult.csv": form(text), "._adult.csv": b"\0"})
        assert same(ask(tmp_path, "adult"), plain)
    write_tgz(path, {"adult.csv": text.replace(b"\n7, ", b"\nseven, ")})
    with pytest.raises(UserError, match=r"adult_sample\.tgz, line 9: age is not a number"):
        ask(tmp_path, "adult")


@pytest.mark.parametrize(
    ("row", "says"),
    [("0\t1\t5\t9", "line 2: user must be a whole number above 0; it is 0"),
     ("1\t1.5\t5\t9", "line 2: item must be a whole number"),
     ("1\t1\tnan\t9", "line 2: rating must be finite"),
     ("1\t1\t\t9", "line 2: rating is not a number; it is empty"),
     ("1\t1\t5", "line 2 has 3 values")],
)  # fmt: skip
def test_a_slip_in_the_ratings_is_named(tmp_path, row, says):
    (tmp_path / "u1.test").write_text("1\t1\t3\t7\n")
    (tmp_path / "u1.base").write_text(f"2\t1\t3\t7\n{row}\n")
    with pytest.raises(UserError, match=rf"u1\.base, {says}"):
        ask(tmp_path, "movielens")


@pytest.mark.parametrize("form", FORMS)
def test_ratings_and_texts_read_as_the_plain_ones(tmp_path, form):
    files = {
        "movielens": {"u1.base": "1\t1\t5\t9\n2\t2\t3\t9\n", "u1.test": "1\t2\t4\t9\n"},
        "imdb": {"train.csv": '0,"bad, very bad"\n1,good\n', "valid.csv": "0,poor\n1,fine\n"},
        "trec": {"TREC.train.all": "0 who is it\n1 how far\n", "TREC.test.all": "0 who\n"},
        "mr_polarity": {"rt-polarity.neg": "bad\n" * 20, "rt-polarity.pos": "good\n" * 20},
    }
    for name, each in files.items():
        for file, text in each.items():
            (tmp_path / file).write_text(text)
        plain = read(name, tmp_path, (4,), quietly)
        for file, text in each.items():
            (tmp_path / file).write_bytes(FORMS[form](text.encode()))
        assert same(read(name, tmp_path, (4,), quietly), plain)


def test_reviews_with_a_header_or_a_slip(tmp_path):
    (tmp_path / "valid.csv").write_text("0,poor\n1,fine\n")
    (tmp_path / "train.csv").write_text("0,bad\n1,good\n")
    plain = read("imdb", tmp_path, (4,), quietly)
    for text in ("label,text\n0,bad\n1,good\n", "Text;Label\nbad;0\ngood;1\n"):
        (tmp_path / "train.csv").write_text(text)
        assert same(read("imdb", tmp_path, (4,), quietly), plain)
    (tmp_path / "train.csv").write_text("0,bad\n,good\n")
    with pytest.raises(UserError, match=r"train\.csv, line 2: label is missing"):
        read("imdb", tmp_path, (4,), quietly)
    rows = ["text,label,is_valid", "bad,0,FALSE", "good,1,0", "poor,0,true", "fine,1, 1"]
    (tmp_path / "texts.csv").write_text("\n".join(rows))
    assert same(read("imdb", tmp_path, (4,), quietly), plain)


def test_running_text_reads_as_the_plain_one(tmp_path):
    text = "to be or not to be\n" * 40
    path = tmp_path / "tinyshakespeare.txt"
    path.write_text(text)
    plain = read("shakespeare", tmp_path, (8,), quietly)
    for form in ("bom", "crlf", "old mac", "bom and crlf"):
        path.write_bytes(FORMS[form](text.encode()))
        assert same(read("shakespeare", tmp_path, (8,), quietly), plain)
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(UserError, match="is no UTF-8 text"):
        read("shakespeare", tmp_path, (8,), quietly)


def test_one_slip_in_the_real_diamonds_is_named(data_root, tmp_path):
    lines = (need(data_root, "tables/diamonds.csv")).read_text().split("\n")[:400]
    (tmp_path / "diamonds.csv").write_text("\n".join(lines))
    plain = ask(tmp_path)
    crlf = "\ufeff" + "\r\n".join(lines).replace(",", ";")
    (tmp_path / "diamonds.csv").write_bytes(crlf.encode())
    assert same(ask(tmp_path), plain)
    lines[200] = lines[200].replace(f",{lines[200].split(',')[6]},", ",,", 1)
    (tmp_path / "diamonds.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"diamonds\.csv, line 201: price is not a number"):
        ask(tmp_path)
