"""Finding: order, names, and what is left out and why."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import save_file
from shared_data import SHARED, needs_shared

from fastclip.checkpoints import describe
from fastclip.checkpoints.find import find, open_checkpoint
from fastclip.checkpoints.selection import parse_range
from fastclip.errors import CheckpointError, RefusalError, UsageError

Save = Callable[..., Path]


@pytest.fixture
def run(save: Save, tmp_path: Path) -> Path:
    """An open_clip run: `logs/tiny/checkpoints/epoch_K.pt`, written an hour ago."""
    folder = tmp_path / "logs" / "tiny"
    for epoch in (1, 2, 10, 20):
        age(save(folder / "checkpoints" / f"epoch_{epoch}.pt", epoch=epoch))
    (folder / "params.txt").write_text("batch_size: 8\ntrain_num_samples: 100\n")
    (folder / "out.log").write_text("...")
    return folder


def age(path: Path, seconds: float = 3600) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def names(patterns: list[str | Path], **options: object) -> list[str]:
    return [c.name for c in find(patterns, **options).checkpoints]  # type: ignore[arg-type]


ALL = [f"tiny/epoch_{epoch}.pt" for epoch in (1, 2, 10, 20)]


def test_folder_in_natural_order(run: Path) -> None:
    for folder in (run, run / "checkpoints", run.parent):
        found = find([folder])
        assert [c.name for c in found.checkpoints] == ALL
        assert [c.epoch for c in found.checkpoints] == [1, 2, 10, 20]
        assert [c.samples_seen for c in found.checkpoints] == [100, 200, 1000, 2000]
        assert found.skipped == []


def test_glob_files_and_lists(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run / "checkpoints"
    assert names([str(folder / "epoch_?.pt")]) == ALL[:2]
    assert names([str(tmp_path / "**" / "epoch_*0.pt")]) == ALL[2:]
    assert names([folder / "epoch_10.pt", folder / "epoch_2.pt"]) == ALL[1:3]
    assert names([folder, folder / "epoch_10.pt", str(run)]) == ALL
    listing = folder / "list.txt"
    listing.write_text("# mine\n\nepoch_20.pt\n  epoch_1.pt  \n")
    assert names([f"@{listing}"]) == [ALL[0], ALL[3]]
    monkeypatch.chdir(run.parent)
    listing.write_text("tiny/checkpoints/epoch_1.pt\ntiny/checkpoints/epoch_*0.pt\n")
    assert names([f"@{listing}", "tiny/checkpoints/epoch_2.pt"]) == ALL
    with pytest.raises(UsageError, match="list cannot be read"):
        find(["@nowhere.txt"])


def test_several_runs_are_ordered_and_named_apart(save: Save, tmp_path: Path) -> None:
    for place in ("a/base", "b/base", "b/run10", "b/run9"):
        save(tmp_path / place / "checkpoints" / "step_5.pt")
        save(tmp_path / place / "checkpoints" / "step_40.pt")
    found = find([tmp_path]).checkpoints
    runs = ["a/base", "b/base", "run9", "run10"]
    assert [(c.run, c.step) for c in found] == [(r, s) for r in runs for s in (5, 40)]
    assert {c.run for c in find([tmp_path / "a"], run="mine").checkpoints} == {"mine"}
    with pytest.raises(UsageError, match=r"two checkpoints would be called x/step_5\.pt"):
        find([tmp_path], run="x")


def test_latest_equal_to_another_is_skipped(run: Path, save: Save) -> None:
    folder = run / "checkpoints"
    # open_clip saves twice, the second time as tmp.pt, which it renames.
    save(folder / "tmp.pt", epoch=20).rename(folder / "epoch_latest.pt")
    assert (folder / "epoch_latest.pt").stat().st_size != (folder / "epoch_20.pt").stat().st_size
    found = find([run])
    assert [c.name for c in found.checkpoints] == ALL
    assert found.skipped == [(folder / "epoch_latest.pt", "equal to epoch_20.pt")]
    save(folder / "epoch_latest.pt", epoch=21)
    assert names([run]) == [*ALL, "tiny/epoch_latest.pt"]
    (folder / "epoch_latest.pt").unlink()
    (folder / "epoch_latest.pt").symlink_to("epoch_10.pt")
    assert find([run]).skipped == [(folder / "epoch_latest.pt", "the same file as epoch_10.pt")]


def test_without_crc_nothing_counts_as_equal(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        for name, value in (("epoch_1", 1.0), ("epoch_latest", 2.0)):
            torch.save(
                {"epoch": 1, "state_dict": {"w": torch.tensor([value])}}, tmp_path / f"{name}.pt"
            )
    finally:
        torch.serialization.set_crc32_options(True)
    assert len(names([tmp_path])) == 2


def test_unfinished_files_are_skipped_with_a_word(run: Path, save: Save) -> None:
    folder = run / "checkpoints"
    whole = (folder / "epoch_1.pt").read_bytes()
    (folder / "epoch_21.pt").write_bytes(whole[:-100])
    age(folder / "epoch_21.pt")
    (folder / "epoch_22.pt").write_bytes(whole[: len(whole) // 2])
    (folder / "epoch_23.pt").touch()
    (folder / "tmp.pt").write_bytes(whole)
    (folder / "_tmp_latest").mkdir()
    save_file({"w": torch.zeros(9)}, folder / "a.safetensors")
    os.truncate(folder / "a.safetensors", 80)
    lines: list[str] = []
    found = find([run], log=lines.append)
    assert [c.name for c in found.checkpoints] == ALL
    reasons = {path.name: reason for path, reason in found.skipped}
    assert "cut short" in reasons["epoch_21.pt"]
    assert "still being written" in reasons["epoch_22.pt"]
    assert "empty" in reasons["epoch_23.pt"]
    assert "temporary" in reasons["tmp.pt"] and "temporary" in reasons["_tmp_latest"]
    assert "still being written" in reasons["a.safetensors"]
    assert len(reasons) == len(lines) == 6
    assert [path.name for path, _ in found.cut_short] == ["epoch_21.pt"]


def test_a_file_that_changes_between_two_looks_is_skipped(run: Path) -> None:
    growing = run / "checkpoints" / "epoch_30.pt"
    shutil.copy(run / "checkpoints" / "epoch_20.pt", growing)
    stop = threading.Event()

    def touch() -> None:
        while not stop.wait(0.02):
            os.utime(growing)

    writer = threading.Thread(target=touch)
    writer.start()
    try:
        found = find([run])
    finally:
        stop.set()
        writer.join()
    assert [c.name for c in found.checkpoints] == ALL
    assert [path.name for path, _ in found.skipped] == ["epoch_30.pt"]
    assert "still being written" in found.skipped[0][1]


def test_sharded_checkpoint_says_what_to_do(run: Path) -> None:
    sharded = run / "checkpoints" / "epoch_30"
    sharded.mkdir()
    (sharded / ".metadata").touch()
    (sharded / "__0_0.distcp").touch()
    found = find([run])
    assert [c.name for c in found.checkpoints] == ALL
    ((path, reason),) = found.skipped
    assert path == sharded and "dcp_to_torch_save" in reason
    with pytest.raises(UsageError, match="dcp_to_torch_save"):
        find([sharded])


def test_nothing_found_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoints found") as caught:
        find([tmp_path])
    assert caught.value.exit_code == 2 and ".safetensors" in str(caught.value)
    with pytest.raises(UsageError, match="no file or folder matches"):
        find([tmp_path / "nowhere"])
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UsageError, match="not a checkpoint by its name"):
        find([tmp_path / "notes.txt"])


def test_names_without_numbers_come_last(save: Save, tmp_path: Path) -> None:
    for name in ("final", "step_0100", "step_20", "best"):
        save(tmp_path / "r" / f"{name}.pt")
    assert names([tmp_path / "r"]) == [
        f"r/{n}.pt" for n in ("step_20", "step_0100", "best", "final")
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("epoch_2.pt", (None, 2)),
        ("epoch=3-step=1500.ckpt", (1500, 3)),
        ("ViT-B-32_s12.8B_ep07.pt", (None, 7)),
        ("step-000250.safetensors", (250, None)),
        ("model_global_step40.pt", (40, None)),
        ("iter_9.pth", (9, None)),
        ("Epoch12.pt", (None, 12)),
        ("2016.pt", (None, None)),
        ("step_10k.pt", (None, None)),
        ("epoch_1.5.pt", (None, None)),
        ("timestep_3.pt", (None, None)),
        ("epoch_latest.pt", (None, None)),
    ],
)
def test_places_in_names(
    name: str, place: tuple[int | None, int | None], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    checkpoint = describe(path)
    assert (checkpoint.step, checkpoint.epoch) == place


def test_selection(run: Path, save: Save, tmp_path: Path) -> None:
    assert names([run], epochs=(2, 10)) == ALL[1:3]
    assert names([run], epochs=(None, 10)) == ALL[:3]
    assert names([run], every=2) == [ALL[0], ALL[2]]
    assert names([run], every=2, epochs=(2, None)) == [ALL[1], ALL[3]]
    other = tmp_path / "logs" / "b"
    for epoch in (1, 2, 3):
        save(other / f"epoch_{epoch}.pt")
    assert names([run, other], every=3) == ["b/epoch_1.pt", ALL[0], ALL[3]]
    with pytest.raises(UsageError, match="none of 4 checkpoints is left") as caught:
        find([run], steps=(1, 5))
    assert "says its step" in str(caught.value)
    with pytest.raises(UsageError, match="less than 1"):
        find([run], every=0)


def test_ranges() -> None:
    assert parse_range("3:10") == (3, 10)
    assert parse_range("3:") == (3, None)
    assert parse_range(":10") == (None, 10)
    assert parse_range("7") == (7, 7)
    for bad in ("", ":", "a:b", "5:3", "-1:4", "1:2:3"):
        with pytest.raises(UsageError):
            parse_range(bad)


def test_averaged_weights_keep_the_file_s_name(save: Save, tmp_path: Path) -> None:
    state = {"w": torch.ones(2)}
    path = save(tmp_path / "r" / "epoch_1.pt", tensors=state, state_dict_ema={"w": torch.zeros(2)})
    (checkpoint,) = find([path], weights="ema").checkpoints
    assert (checkpoint.name, checkpoint.weights) == ("r/epoch_1.pt", "ema")
    with open_checkpoint(checkpoint) as file:
        assert file.read(["w"])["w"].tolist() == [0, 0]


def test_links_between_folders_do_not_loop(run: Path) -> None:
    (run / "again").symlink_to(run)
    (run.parent / "alias").symlink_to(run)
    assert len(find([run.parent]).checkpoints) == 4


def test_thousands_of_files_are_found_quickly(save: Save, tmp_path: Path) -> None:
    """Finding 10,000 files is to take 3 s; torch is not needed for it, nor any tensor."""
    first = age(save(tmp_path / "r" / "step_0.pt"))
    for step in range(1, 1000):
        shutil.copy2(first, tmp_path / "r" / f"step_{step}.pt")
    began = time.perf_counter()
    found = find([tmp_path])
    assert time.perf_counter() - began < 3
    assert [c.step for c in found.checkpoints] == list(range(1000))


def test_finding_imports_no_torch(run: Path) -> None:
    code = (
        "import sys; from fastclip.checkpoints.find import find; "
        f"assert len(find([{str(run)!r}]).checkpoints) == 4; assert 'torch' not in sys.modules"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


class TestAnchors:
    def test_from_the_local_hub_cache(
        self, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub = tmp_path / "hub"
        repository = hub / "models--timm--vit_base_patch32_clip_224.openai"
        snapshot = repository / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("abc")
        save_file(state, snapshot / "open_clip_model.safetensors")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
        (checkpoint,) = find(["openclip:ViT-B-32/openai"]).checkpoints
        assert checkpoint.name == checkpoint.anchor == "openclip:ViT-B-32/openai"
        assert checkpoint.format == "safetensors"
        with open_checkpoint(checkpoint) as file:
            assert set(file.tensors) == set(state)
        with pytest.raises(RefusalError, match="not in the local cache") as caught:
            find(["openclip:ViT-L-14/openai"])
        assert "HF_HOME" in str(caught.value)

    def test_absent_ones_are_told_where_none_shall_be_downloaded(
        self, state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> NoReturn:
            raise AssertionError("asked for a download")

        hub = tmp_path / "hub"
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
        monkeypatch.setattr("open_clip.pretrained.download_pretrained", refuse)
        anchor = "openclip:ViT-B-32/openai"
        found = find([anchor], download=False, cache_dir=tmp_path / "cache")
        assert found.checkpoints == [] and found.absent == [anchor]
        snapshot = hub / "models--timm--vit_base_patch32_clip_224.openai" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("abc")
        save_file(state, snapshot / "open_clip_model.safetensors")
        for download in (False, True):
            found = find([anchor], download=download, cache_dir=tmp_path / "cache")
            assert [c.anchor for c in found.checkpoints] == [anchor] and found.absent == []

    def test_unknown_tags_are_answered_with_those_there_are(self) -> None:
        with pytest.raises(UsageError, match="no weights 'laion9b'") as caught:
            find(["openclip:ViT-B-32/laion9b"])
        assert "laion2b_s34b_b79k" in str(caught.value)
        with pytest.raises(UsageError, match="names no tag") as caught:
            find(["openclip:ViT-B-32"])
        assert "laion2b_s34b_b79k" in str(caught.value)


@needs_shared
def test_real_run() -> None:
    found = find([SHARED / "ckpts"])
    assert [c.name for c in found.checkpoints] == [f"ckpts/epoch_{e}.pt" for e in (1, 8, 16)]
    assert all(c.samples_seen is None for c in found.checkpoints)


def test_a_checkpoint_that_goes_away_is_an_error_of_its_own(run: Path) -> None:
    first, *_ = find([run]).checkpoints
    first.path.unlink()
    with pytest.raises(CheckpointError, match="cannot open"):
        open_checkpoint(first)
