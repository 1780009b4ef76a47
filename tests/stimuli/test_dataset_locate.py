"""Data sets found by folder name, and named by the user."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_sets import make_cifar100, make_cue_conflict, make_tid2013

from fastclip.errors import DataError, UsageError
from fastclip.stimuli import DATASETS
from fastclip.stimuli.info import COUNTS, INFOS, info_of
from fastclip.stimuli.locate import TASKS, find_datasets, locate, parse_override, which_task


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("tid2013", "tid2013"),
        ("TID2013", "tid2013"),
        ("TID_2013", "tid2013"),
        ("kadid10k", "kadid10k"),
        ("kadid-10k", "kadid10k"),
        ("KADID-10K", "kadid10k"),
        ("cue-conflict", "cue-conflict"),
        ("cue_conflict", "cue-conflict"),
        ("texture-vs-shape", "cue-conflict"),
        ("cifar-100-python", "cifar100"),
        ("cifar100", "cifar100"),
        ("imagenet", "imagenet"),
        ("ILSVRC2012_val", "imagenet"),
    ],
)
def test_folder_names(tmp_path: Path, folder: str, kind: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / "something-else").mkdir()
    (found,) = locate(tmp_path, ()).values()
    assert (found.kind, found.name, found.path) == (kind, kind, tmp_path / folder)


def test_overrides_win_and_order_is_fixed(tmp_path: Path) -> None:
    for name in ("cifar100", "tid2013", "cue-conflict"):
        (tmp_path / name).mkdir()
    found = locate(tmp_path, ["tid2013=/elsewhere", "cifar100:toy=/toy", "iqa:mine=t.csv"])
    assert list(found) == ["tid2013", "mine", "cue-conflict", "cifar100", "toy"]
    assert found["tid2013"].path == Path("/elsewhere")
    assert (found["toy"].kind, found["toy"].path) == ("cifar100", Path("/toy"))
    assert found["mine"].options == {"higher_is_better": None}
    assert found["cifar100"].path == tmp_path / "cifar100"


def test_two_folders_for_one_set_are_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar100").symlink_to("cifar-100-python")
    assert list(locate(tmp_path, ())) == ["cifar100"]  # the same folder twice is no choice
    (tmp_path / "CIFAR-100").mkdir()
    with pytest.raises(UsageError, match="several folders") as caught:
        locate(tmp_path, ())
    assert "--data cifar100=PATH" in str(caught.value)
    assert locate(tmp_path, ["cifar100=x"])["cifar100"].path == Path("x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tid2013", "does not name a data set"),
        ("tid2013=", "does not name a data set"),
        ("tid2013:a b=/x", "does not name a data set"),
        ("iqa:a[1/2]=/x", "does not name a data set"),
        ("csiq=/x", "unknown data set layout 'csiq'"),
        ("iqa:tid2013=/x", "'tid2013' is the name of a published set"),
    ],
)
def test_malformed_overrides(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_override(text)
    assert message in caught.value.what
    assert caught.value.mend


def test_one_name_for_two_sets_is_refused() -> None:
    with pytest.raises(UsageError, match="two data sets are called 'toy'"):
        locate(None, ["tid2013:toy=/a", "cifar100:toy=/b"])
    with pytest.raises(UsageError, match="not there"):
        locate(Path("/no/such/folder"), ())


def test_find_datasets_reads_what_the_tasks_need(tmp_path: Path) -> None:
    make_tid2013(tmp_path / "tid")
    make_cue_conflict(tmp_path / "cue-conflict")
    make_cifar100(tmp_path / "cifar")
    overrides = [f"tid2013:toy-tid2013={tmp_path}/tid", f"cifar100:toy-cifar={tmp_path}/cifar"]
    with pytest.raises(DataError, match="'cue-conflict' is incomplete"):
        find_datasets(tmp_path, overrides)
    found = find_datasets(tmp_path, overrides, tasks=["iqa", "robustness"])
    assert [data.label for data in found.values()] == ["toy-tid2013", "toy-cifar"]
    found = find_datasets(tmp_path, overrides, partial=True, limit=8)
    labels = [data.label for data in found.values()]
    assert labels == ["toy-tid2013[6/18]", "cue-conflict[8/1280]", "toy-cifar[8/20]"]


def test_every_layout_has_a_task_and_every_published_set_its_facts() -> None:
    assert set(TASKS) == set(DATASETS)
    assert which_task("kadid10k") == "iqa"
    assert set(INFOS) == set(COUNTS) == set(DATASETS) - {"iqa"}
    for info in INFOS.values():
        assert info.citation.startswith("@") and info.citation.count("{") == info.citation.count(
            "}"
        )
        assert info.licence and info.source.startswith("https://") and info.size
    own = info_of("tid2013", "toy-tid2013")
    assert own.name == "toy-tid2013" and own.citation == "" and "own set" in own.title
