"""TID2013, KADID-10k and own tables: what they hold, and every defect named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from make_sets import make_tid2013
from PIL import Image
from shared_data import SHARED, needs_shared

from fastclip.errors import DataError, UsageError
from fastclip.stimuli import iqa_table, kadid10k, tid2013
from fastclip.stimuli.base import ImageQualityDataset
from fastclip.stimuli.drop import drop_pictures


def write_table(path: Path, text: str) -> Path:
    for name in ("a.png", "a1.png", "a2.png", "b.png", "b1.png"):
        Image.new("RGB", (4, 4)).save(path / name)
    table = path / "table.csv"
    table.write_text(text)
    return table


GOOD = """reference,distorted,score,type,level
a.png,a1.png,3,blur,1
a.png,a2.png,2.5,,
b.png,b1.png,1,blur,2
"""


def test_tid2013_matches_mixed_case_and_names_in_lower_case(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    assert (root / "reference_images" / "I01.BMP").exists()
    assert "I01_01_1.bmp" in (root / "mos_with_names.txt").read_text()
    data = tid2013.load(root, name="toy-tid2013")
    assert (data.found, data.expected, data.label) == (18, 18, "toy-tid2013")
    assert data.notes == ()
    names = [data.pictures.name(row) for row in range(len(data.pictures))]
    assert names[:3] == [f"reference_images/i0{n}.bmp" for n in (1, 2, 3)]
    assert len(names) == len(set(names)) == 3 + 18
    assert data.higher_is_better
    assert data.type[:4] == ("additive_gaussian_noise",) * 3 + ("mean_shift",)
    assert data.level.tolist() == [1, 2, 3] * 6
    for row in range(data.found):
        reference, distorted = names[data.reference[row]], names[data.distorted[row]]
        stem = distorted.split("/")[1]
        assert reference == f"reference_images/{stem[:3]}.bmp"
    assert data.score[0] == pytest.approx(7 - 1.1 - 0.05 + 0.1)


def test_tid2013_capitals_anywhere_do_not_change_the_set(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    before = tid2013.load(root, name="toy")
    pictures = [before.pictures.encoded(row) for row in range(21)]
    for file in (root / "distorted_images").iterdir():
        file.rename(file.with_name(file.name.upper()))
    (root / "distorted_images").rename(root / "Distorted_Images")
    (root / "mos_with_names.txt").rename(root / "MOS_with_names.txt")
    after = tid2013.load(root, name="toy")
    assert after.labels_digest == before.labels_digest
    assert [after.pictures.encoded(row) for row in range(21)] == pictures


def test_two_different_files_of_one_name_are_refused(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    folder = root / "distorted_images"
    shutil.copy(folder / "i01_01_1.bmp", folder / "I01_01_1.BMP")
    data = tid2013.load(root, name="toy")
    assert data.complete  # a copy with the same bytes does no harm
    assert data.notes == ("1 file there twice, differing in case: distorted_images/i01_01_1.bmp",)
    shutil.copy(folder / "i01_01_2.bmp", folder / "I01_01_1.BMP")
    with pytest.raises(DataError, match="2 different files are called"):
        tid2013.load(root, name="toy")


def test_missing_reference_is_counted_and_named(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    (root / "reference_images" / "I02.BMP").unlink()
    with pytest.raises(DataError, match=r"12 of 18 rows \(1 reference picture missing: .*i02.bmp"):
        tid2013.load(root, name="toy")
    data = tid2013.load(root, name="toy", partial=True)
    assert data.label == "toy[12/18]"
    assert any("reference picture missing" in note for note in data.notes)
    assert not any("i02" in data.pictures.name(r) for r in range(len(data.pictures)))


def test_score_row_without_file_and_extra_picture(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    folder = root / "distorted_images"
    (folder / "i01_16_2.bmp").rename(folder / "i09_16_2.bmp")
    with pytest.raises(DataError, match=r"1 score row without a file: .*i01_16_2\.bmp"):
        tid2013.load(root, name="toy")
    data = tid2013.load(root, name="toy", partial=True)
    assert data.found == 17
    assert "1 extra picture not in the table: distorted_images/i09_16_2.bmp" in data.notes


def test_unreadable_rows_are_named(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    table = root / "mos_with_names.txt"
    table.write_text(table.read_text() + "nan i01_01_9.bmp\n4.0 i01_77_1.bmp\nhello\n")
    with pytest.raises(DataError, match="3 score rows cannot be read") as caught:
        tid2013.load(root, name="toy")
    for part in ("'nan' is not a number", "type 77 is not one of 1 to 24", "'hello'"):
        assert part in str(caught.value)
    assert tid2013.load(root, name="toy", partial=True).label == "toy[18/21]"


def test_a_pair_with_two_scores_is_refused(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    table = root / "mos_with_names.txt"
    lines = table.read_text()
    table.write_text(lines + lines.splitlines()[0] + "\n")
    data = tid2013.load(root, name="toy")
    assert data.complete and "1 row listed twice" in data.notes
    table.write_text(lines + "1.0 i01_01_1.bmp\n")
    with pytest.raises(DataError, match="has two scores"):
        tid2013.load(root, name="toy", partial=True)


def test_the_published_name_expects_3000(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    with pytest.raises(DataError, match="18 of 3000 rows"):
        tid2013.load(root, name="tid2013")
    assert tid2013.load(root, name="tid2013", partial=True).label == "tid2013[18/3000]"


def test_limit_keeps_whole_references(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    for limit, rows in ((1, 6), (6, 6), (11, 6), (12, 12), (17, 12), (18, 18), (99, 18)):
        data = tid2013.load(root, name="toy", limit=limit)
        assert data.found == rows, limit
        assert len(data.pictures) == rows + rows // 6
    assert data.complete


def test_wrong_folder_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no 'mos_with_names.txt' here"):
        tid2013.load(tmp_path, name="toy")
    with pytest.raises(DataError, match="needs a folder"):
        tid2013.load(tmp_path / "absent", name="toy")
    make_tid2013(tmp_path / "one")
    assert tid2013.load(tmp_path, name="toy").complete  # the folder above will do
    make_tid2013(tmp_path / "two")
    with pytest.raises(DataError, match="several folders"):
        tid2013.load(tmp_path, name="toy")


def make_kadid(root: Path) -> Path:
    (root / "images").mkdir(parents=True)
    lines = ["dist_img,ref_img,dmos,var"]
    for reference in ("I01", "I02"):
        Image.new("RGB", (4, 4)).save(root / "images" / f"{reference}.png")
        for level in (1, 2):
            name = f"{reference}_25_{level:02d}.png"
            Image.new("RGB", (4, 4), (level, 0, 0)).save(root / "images" / name)
            lines.append(f"{name},{reference}.png,{5 - level}.5,0.1")
    (root / "dmos.csv").write_text("\n".join(lines) + "\n")
    return root


def test_kadid10k(tmp_path: Path) -> None:
    root = make_kadid(tmp_path / "kadid10k")
    data = kadid10k.load(root, name="toy")
    assert data.higher_is_better  # although the column is called dmos
    assert data.score.tolist() == [4.5, 3.5, 4.5, 3.5]
    assert data.type == ("contrast_change",) * 4
    assert data.level.tolist() == [1, 2, 1, 2]
    assert data.pictures.name(0) == "images/i01.png"
    with pytest.raises(DataError, match="4 of 10125 rows"):
        kadid10k.load(root, name="kadid10k")
    (root / "images" / "I02.png").rename(root / "images" / "X02.png")
    data = kadid10k.load(root, name="toy", partial=True)
    assert data.label == "toy[2/4]"
    assert any("X02.png" in note for note in data.notes)
    (root / "dmos.csv").write_text("image,score\n")
    with pytest.raises(DataError, match="its columns are image, score"):
        kadid10k.load(root, name="toy")


def test_kadid10k_errors_are_those_of_means_of_30_ratings(tmp_path: Path) -> None:
    root = make_kadid(tmp_path / "set")
    known = kadid10k.load(root, name="toy")
    np.testing.assert_allclose(known.score_error, 0.1 / np.sqrt(30))
    text = (root / "dmos.csv").read_text()
    (root / "dmos.csv").write_text(text.replace("4.5,0.1", "4.5,"))
    partly = kadid10k.load(root, name="toy")
    assert np.isnan(partly.score_error).tolist() == [True, False, True, False]
    rest = drop_pictures(partly, [2])
    assert isinstance(rest, ImageQualityDataset)
    assert np.isnan(rest.score_error).tolist() == [False, True, False]
    (root / "dmos.csv").write_text(text.replace(",var", "").replace(",0.1", ""))
    without = kadid10k.load(root, name="toy")
    assert without.score_error.size == 0
    assert len({known.labels_digest, partly.labels_digest, without.labels_digest}) == 3


def moments_of_whole_numbers(mean: str, spread: str, count: int, squares: float) -> bool:
    """Whether `count` whole numbers have this mean and a sum of squared deviations of `squares`
    times the square of `spread`, both as printed."""
    total = round(float(mean) * count)
    digits = len(spread.split(".")[1])
    if abs(total / count - float(mean)) > 0.5 / 10 ** len(mean.split(".")[1]) + 1e-9:
        return False
    low, high = (squares * (float(spread) + half / 10**digits) ** 2 for half in (-0.5, 0.5))
    first, last = (int(np.ceil(s + total**2 / count)) for s in (low, high))
    return any(sum_of_squares % 2 == total % 2 for sum_of_squares in range(first, last))


def test_published_spreads_are_what_the_readers_take_them_for() -> None:
    """First rows of KADID-10k's dmos.csv and of TID2013's mos_with_names.txt and mos_std.txt."""
    for mean, spread in (("4.57", "0.496"), ("4.33", "0.869")):
        assert moments_of_whole_numbers(mean, spread, 30, 30)  # the ratings' deviation
        variance = f"{float(spread) ** 0.5:.5f}"
        assert not moments_of_whole_numbers(mean, variance, 30, 30)
    rows = (("5.51429", "0.13013", 35), ("5.56757", "0.16008", 37), ("4.94444", "0.15186", 36))
    for mean, spread, count in rows:
        assert moments_of_whole_numbers(mean, spread, count, count**2)  # the mean's error
        for other in range(20, 60):
            assert not moments_of_whole_numbers(mean, spread, other, other)


def test_tid2013_errors_where_their_file_has_a_line_for_each_score(tmp_path: Path) -> None:
    root = make_tid2013(tmp_path / "set")
    before = tid2013.load(root, name="toy")
    assert before.score_error.size == 0
    errors = [f"0.1{row:02d}00" for row in range(18)]
    (root / "mos_std.txt").write_text("\n".join(errors) + "\n")
    known = tid2013.load(root, name="toy")
    assert known.score_error.tolist() == [float(error) for error in errors]
    assert known.labels_digest != before.labels_digest
    for other in (errors[1:], ["x", *errors[1:]], ["-1", *errors[1:]]):
        (root / "mos_std.txt").write_text("\n".join(other))
        assert tid2013.load(root, name="toy").labels_digest == before.labels_digest


def test_own_table_with_standard_errors(tmp_path: Path) -> None:
    text = "reference,distorted,score,score_error\na.png,a1.png,3,0.25\na.png,a2.png,2.5,\n"
    data = iqa_table.load(write_table(tmp_path, text), name="mine", higher_is_better=True)
    assert data.score_error[0] == 0.25 and np.isnan(data.score_error[1])
    for bad in ("-0.1", "nan", "some"):
        table = write_table(tmp_path, text.replace("0.25", bad))
        with pytest.raises(DataError, match="line 2"):
            iqa_table.load(table, name="mine", higher_is_better=True)


def test_own_table(tmp_path: Path) -> None:
    table = write_table(tmp_path, GOOD)
    data = iqa_table.load(table, name="mine", higher_is_better=False)
    assert not data.higher_is_better
    assert data.score.tolist() == [3, 2.5, 1]
    assert data.type == ("blur", "", "blur")
    assert data.level.tolist() == [1, -1, 2]
    names = [data.pictures.name(row) for row in range(5)]
    assert names == ["a.png", "b.png", "a1.png", "a2.png", "b1.png"]
    assert data.reference.tolist() == [0, 0, 1] and data.distorted.tolist() == [2, 3, 4]
    other = iqa_table.load(table, name="mine", higher_is_better=True)
    assert other.labels_digest != data.labels_digest


def test_own_table_needs_polarity_and_columns(tmp_path: Path) -> None:
    table = write_table(tmp_path, GOOD)
    with pytest.raises(UsageError) as caught:
        iqa_table.load(table, name="mine")
    assert "--higher-is-better" in str(caught.value) and "--lower-is-better" in str(caught.value)
    table.write_text("reference,score\n")
    with pytest.raises(DataError, match="no column distorted; it has: reference, score"):
        iqa_table.load(table, name="mine", higher_is_better=True)
    table.write_text("")
    with pytest.raises(DataError, match="it has: none"):
        iqa_table.load(table, name="mine", higher_is_better=True)
    with pytest.raises(DataError, match="not there"):
        iqa_table.load(tmp_path / "no.csv", name="mine", higher_is_better=True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,a1.png,much", "'much' is not a number"),
        ("a.png,a1.png,inf", "'inf' is not a number"),
        (",a1.png,1", "a path is empty"),
        ("a.png,a1.png", "'' is not a number"),
        ("a.png,lost.png,1", "1 score row without a file: lost.png"),
        ("lost.png,a1.png,1", "1 reference picture missing: lost.png"),
    ],
)
def test_own_table_defects(tmp_path: Path, row: str, message: str) -> None:
    table = write_table(tmp_path, f"reference,distorted,score\nb.png,b1.png,1\n{row}\n")
    with pytest.raises(DataError) as caught:
        iqa_table.load(table, name="mine", higher_is_better=True)
    assert "1 of 2 rows" in caught.value.what and message in caught.value.what
    data = iqa_table.load(table, name="mine", higher_is_better=True, partial=True)
    assert data.label == "mine[1/2]"


@needs_shared
def test_published_tid2013_table() -> None:
    """All 3000 published lines are understood; counts as in the readme."""

    class NoFiles:
        def find(self, relative: str) -> None:
            return None

    table = tid2013.read_scores(SHARED / "mos" / "tid2013_mos_with_names.txt", NoFiles())  # type: ignore[arg-type]
    assert table.problems == () or table.problems == []
    assert table.rows == len(table.pairs) == 3000
    assert len({pair.reference for pair in table.pairs}) == 25
    assert len({pair.distorted for pair in table.pairs}) == 3000
    scores = np.array([pair.score for pair in table.pairs])
    assert scores.min() == 0.24242 and scores.max() == 7.21429
    assert scores.mean() == pytest.approx(4.4747, abs=5e-5)
    for kind in tid2013.TYPES:
        assert sum(pair.type == kind for pair in table.pairs) == 125


@needs_shared
def test_published_kadid10k_scores(tmp_path: Path) -> None:
    rows = (SHARED / "mos" / "kadid10k_names_with_mos.txt").read_text().split()
    names, scores = rows[::2], rows[1::2]
    lines = [f"{n},{n[:3]}.png,{s},0" for n, s in zip(names, scores, strict=True)]
    (tmp_path / "dmos.csv").write_text("\n".join(["dist_img,ref_img,dmos,var", *lines]))
    table = kadid10k.read_scores(tmp_path / "dmos.csv")
    assert len(table.pairs) == 10125 and not table.problems
    assert np.mean([p.score for p in table.pairs]) == pytest.approx(3.0326, abs=5e-5)


@needs_shared
def test_photographs_in_the_layout_with_published_scores(tmp_path: Path) -> None:
    """A 25-reference set of photographs under the published table: only its rows count."""
    root = tmp_path / "set"
    (root / "reference_images").mkdir(parents=True)
    (root / "distorted_images").mkdir()
    shutil.copy(SHARED / "mos" / "tid2013_mos_with_names.txt", root / "mos_with_names.txt")
    photographs = sorted((SHARED / "imagenet-samples").glob("*.JPEG"))[:3]
    for number, photograph in enumerate(photographs, 1):
        with Image.open(photograph) as picture:
            small = picture.convert("RGB").resize((64, 48))
        small.save(root / "reference_images" / f"I{number:02d}.BMP", "BMP")
        for kind in (1, 8):
            for level in range(1, 6):
                name = f"i{number:02d}_{kind:02d}_{level}.bmp"
                small.save(root / "distorted_images" / name)
    data = tid2013.load(root, name="tid2013", partial=True)
    assert data.label == "tid2013[30/3000]"
    assert data.score[0] == 5.51429  # the line "5.51429 I01_01_1.bmp"
    assert any(note.startswith("22 reference pictures missing") for note in data.notes)
