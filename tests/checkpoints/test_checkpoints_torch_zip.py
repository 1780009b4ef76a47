"""torch.save archives: values as torch.load gives them, safely, and nothing read in vain."""

from __future__ import annotations

import os
import pickle
import shutil
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shared_data import SHARED, needs_shared

from fastclip.checkpoints.torch_zip import TorchReader
from fastclip.errors import CheckpointError

Save = Callable[..., Path]
State = dict[str, torch.Tensor]


def values(path: Path, **options: Any) -> dict[str, np.ndarray]:
    with TorchReader.open(path, **options) as file:
        return file.read(file.tensors)


def digest(path: Path, **options: Any) -> str:
    with TorchReader.open(path, **options) as file:
        return file.digest(file.tensors)


def assert_equal(read: dict[str, np.ndarray], expected: State) -> None:
    assert set(read) == set(expected)
    for name, tensor in expected.items():
        want = tensor.float() if tensor.is_floating_point() else tensor
        assert read[name].shape == tuple(tensor.shape), name
        assert read[name].dtype == want.numpy().dtype, name
        assert read[name].flags.c_contiguous, name
        np.testing.assert_array_equal(read[name], want.numpy(), err_msg=name)


def test_values_names_and_metadata(save: Save, state: State, tmp_path: Path) -> None:
    path = save(tmp_path / "epoch_5.pt", epoch=5, global_step=torch.tensor(70), samples_seen=4480)
    assert_equal(values(path), state)
    with TorchReader.open(path) as file:
        assert list(file.tensors) == list(state)
        assert file.tensors["visual.conv1.weight"].shape == (16, 3, 4, 4)
        assert file.tensors["visual.bn.num_batches_tracked"].dtype == "int64"
        said = file.metadata
        assert (said.step, said.epoch, said.samples_seen) == (70, 5, 4480)
        assert said.extra["optimizer"] is True
        assert list(file.read(["logit_scale"])) == ["logit_scale"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(
    dtype: torch.dtype, save: Save, state: State, tmp_path: Path
) -> None:
    stored = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    assert_equal(values(save(tmp_path / "a.pt", tensors=stored)), stored)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_wrapper_prefixes_are_taken_off(
    prefix: str, save: Save, state: State, tmp_path: Path
) -> None:
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    path = save(tmp_path / "a.pt", tensors=wrapped)
    assert_equal(values(path), state)
    assert digest(path) == digest(save(tmp_path / "b.pt"))


def test_two_names_that_become_one_are_refused(save: Save, tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", tensors={"w": torch.ones(2), "module.w": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="one name"):
        TorchReader.open(path)


def test_averaged_weights(save: Save, state: State, tmp_path: Path) -> None:
    averaged = {"module." + k: v * 2 if v.is_floating_point() else v for k, v in state.items()}
    path = save(tmp_path / "a.pt", state_dict_ema=averaged)
    assert_equal(values(path, weights="ema"), {k[7:]: v for k, v in averaged.items()})
    assert_equal(values(path), state)
    with pytest.raises(CheckpointError, match="no averaged weights"):
        TorchReader.open(save(tmp_path / "b.pt"), weights="ema")


def test_plain_state_dict_and_nested_model_key(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"model": state, "step": 4}, tmp_path / "nested.pth")
    assert_equal(values(tmp_path / "plain.pt"), state)
    assert_equal(values(tmp_path / "nested.pth"), state)
    with TorchReader.open(tmp_path / "nested.pth") as file:
        assert file.metadata.step == 4
    torch.save({"epoch": 1, "loss": [1.0]}, tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="no model weights in it; it holds: epoch, loss"):
        TorchReader.open(tmp_path / "none.pt")


def test_tied_sliced_strided_and_empty_tensors(tmp_path: Path) -> None:
    base = torch.arange(60, dtype=torch.float32).reshape(6, 10)
    state = {
        "base": base,
        "tied": base,
        "row": base[2],
        "column": base[:, 3],
        "transposed": base.T,
        "every_other": base[1::2, ::3],
        "expanded": torch.tensor([5.0]).expand(4, 3),
        "permuted": torch.randn(2, 3, 4, 5).permute(0, 2, 3, 1),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "empty": torch.zeros(0, 3),
    }
    torch.save(state, tmp_path / "a.pt")
    assert_equal(values(tmp_path / "a.pt"), state)
    # What counts is the values, not how they lie in the file.
    torch.save(
        {name: tensor.contiguous().clone() for name, tensor in state.items()}, tmp_path / "b.pt"
    )
    assert digest(tmp_path / "a.pt") == digest(tmp_path / "b.pt")


def test_digest_is_of_the_tensors(save: Save, state: State, tmp_path: Path) -> None:
    first = save(tmp_path / "epoch_1.pt", epoch=1)
    again = save(tmp_path / "another-name.pt", epoch=2)
    assert digest(first) == digest(again)
    changed = {k: v.clone() for k, v in state.items()}
    changed["text_projection"][3, 2] += 1e-6
    assert digest(save(tmp_path / "c.pt", tensors=changed)) != digest(first)
    with TorchReader.open(first) as file:
        some = ["logit_scale", "text_projection"]
        assert file.digest(some) == file.digest(reversed(some)) != file.digest(["logit_scale"])


def test_digest_reads_nothing_twice(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.pt")
    with TorchReader.open(path) as file:
        file.read(file.tensors)

        def refuse(*_: object) -> None:
            raise AssertionError("read again")

        monkeypatch.setattr(os, "preadv", refuse)
        assert len(file.digest(file.tensors)) == 64


def test_only_the_asked_tensors_are_read(tmp_path: Path) -> None:
    """Bytes that the whole process gets from read calls, torch's own included, by the kernel."""
    weights = {f"layer{i}.weight": torch.randn(256, 1024) for i in range(8)}  # 1 MiB each
    moments = {i: {"exp_avg": w * 1, "exp_avg_sq": w * 2} for i, w in enumerate(weights.values())}
    path = tmp_path / "a.pt"
    torch.save({"state_dict": weights, "optimizer": {"state": moments}}, path)
    assert path.stat().st_size > 24 << 20

    def bytes_read(names: list[str]) -> int:
        def so_far() -> int:
            return int(Path("/proc/self/io").read_text().split()[1])

        before = so_far()
        with TorchReader.open(path) as file:
            file.read(names)
            file.digest(names)
        return so_far() - before

    slack = 512 << 10
    assert 8 << 20 <= bytes_read(list(weights)) < (8 << 20) + slack
    assert 1 << 20 <= bytes_read(["layer5.weight"]) < (1 << 20) + slack


@pytest.mark.parametrize("old_name", [False, True])
def test_numpy_scalars_as_in_laions_series(
    old_name: bool, save: Save, state: State, tmp_path: Path
) -> None:
    """From epoch 3 on, those files hold `numpy.core.multiarray.scalar`, as numpy 1 wrote it."""

    class OldPickler(pickle._Pickler):  # type: ignore[name-defined]
        def save_global(self, obj: Any, name: str | None = None) -> None:
            if getattr(obj, "__name__", "") == "scalar":
                self.write(b"cnumpy.core.multiarray\nscalar\n")
                self.memoize(obj)
            else:
                super().save_global(obj, name)

    path = tmp_path / "epoch_3.pt"
    module = types.SimpleNamespace(
        __name__="pickle", Pickler=OldPickler if old_name else pickle.Pickler
    )
    groups = [{"lr": np.float64(5e-4), "n": np.int64(3), "half": np.float32(2), "b": np.bool_(1)}]
    saved = {"epoch": np.int64(3), "state_dict": state, "optimizer": {"param_groups": groups}}
    torch.save(saved, path, pickle_module=module)
    named = b"numpy.core.multiarray" if old_name else b"numpy._core.multiarray"
    assert named in zipfile.ZipFile(path).read("epoch_3/data.pkl")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert_equal(values(path), state)
    with TorchReader.open(path) as file:
        assert file.metadata.epoch == 3


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_forbidden_global_is_named_and_not_run(save: Save, state: State, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    path = save(tmp_path / "evil.pt", args=Evil(target))
    with pytest.raises(CheckpointError, match=r"posix\.mkdir") as caught:
        TorchReader.open(path)
    assert "--trust-pickle" in str(caught.value) and str(path) in str(caught.value)
    assert not target.exists()
    assert_equal(values(path, trust_pickle=True), state)
    assert target.exists()


def test_a_whole_pickled_module_needs_trust(tmp_path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    torch.save(module, tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        TorchReader.open(tmp_path / "module.pt")
    assert_equal(values(tmp_path / "module.pt", trust_pickle=True), module.state_dict())


def test_the_allow_list_is_exact_and_not_left_behind(save: Save, tmp_path: Path) -> None:
    """What other libraries register with torch neither opens a file here nor is lost."""
    with torch.serialization.safe_globals([Path, np.dtype]):
        before = set(torch.serialization.get_safe_globals())
        values(save(tmp_path / "a.pt"))
        with pytest.raises(CheckpointError, match="pathlib"):
            TorchReader.open(save(tmp_path / "b.pt", folder=Path("x")))
        assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_cut_short(share: float, save: Save, tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.pt")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    for attempt in (TorchReader.stamp, TorchReader.open):
        with pytest.raises(CheckpointError, match=r"no zip end record|empty") as caught:
            attempt(cut)
        assert caught.value.where == str(cut)


def test_cut_short_while_open(save: Save, tmp_path: Path) -> None:
    """Under a memory mapping this would be SIGBUS."""
    path = save(tmp_path / "a.pt")
    with TorchReader.open(path) as file:
        os.truncate(path, path.stat().st_size // 4)
        with pytest.raises(CheckpointError, match="cut short"):
            file.read(file.tensors)


def test_changed_while_open(save: Save, tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt")
    with TorchReader.open(path) as file:
        os.utime(path, ns=(1, 1))
        with pytest.raises(CheckpointError, match="changed while"):
            file.read(["logit_scale"])


def test_missing_tensor_is_named(save: Save, tmp_path: Path) -> None:
    with (
        TorchReader.open(save(tmp_path / "a.pt")) as file,
        pytest.raises(CheckpointError, match=r"1 tensors are missing: visual\.proj"),
    ):
        file.read(["logit_scale", "visual.proj"])


def repack(source: Path, target: Path, method: int, pad: bytes = b"") -> None:
    """Write the archive's entries anew with Python's zipfile."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            info.extra = pad
            new.writestr(info, old.read(name))


def test_compressed_entries_are_refused(save: Save, tmp_path: Path) -> None:
    repack(save(tmp_path / "a.pt"), tmp_path / "b.pt", zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        values(tmp_path / "b.pt")


def test_an_archive_of_another_program_is_not_read_from_the_wrong_place(
    save: Save, state: State, tmp_path: Path
) -> None:
    """torch works positions out from its own writer's layout; here that layout is another."""
    pad = b"FB" + (60).to_bytes(2, "little") + b"Z" * 60
    repack(save(tmp_path / "a.pt"), tmp_path / "b.pt", zipfile.ZIP_STORED, pad)
    try:
        read = values(tmp_path / "b.pt")
    except CheckpointError as error:
        assert "do not agree" in error.what or "beyond" in error.what
    else:
        assert_equal(read, state)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torchscript_and_old_format_say_what_to_do(state: State, tmp_path: Path) -> None:
    traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    torch.jit.save(traced, str(tmp_path / "ViT-B-32.pt"))
    with pytest.raises(CheckpointError, match="TorchScript") as caught:
        TorchReader.open(tmp_path / "ViT-B-32.pt")
    assert "openclip:" in str(caught.value)
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert TorchReader.stamp(tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match="old format") as caught:
        TorchReader.open(tmp_path / "old.pt")
    assert "torch.save" in str(caught.value)


def test_unsupported_dtype_is_named_when_asked_for(state: State, tmp_path: Path) -> None:
    torch.save({**state, "z": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "a.pt")
    with TorchReader.open(tmp_path / "a.pt") as file:
        assert file.read(["logit_scale"])
        with pytest.raises(CheckpointError, match="'z' is stored as complex64"):
            file.read(["z"])


def test_stamp_follows_content_and_time(save: Save, state: State, tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt")
    first = TorchReader.stamp(path)
    assert TorchReader.stamp(path) == first
    stat = path.stat()
    state["text_projection"][0, 0] += 1
    save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert TorchReader.stamp(path) != first  # the CRC-32 alone tells
    second = TorchReader.stamp(path)
    os.utime(path)
    assert TorchReader.stamp(path) != second


@needs_shared
@pytest.mark.parametrize("name", ["epoch_1.pt", "epoch_8.pt", "epoch_16.pt"])
def test_real_run_equals_torch_load(name: str, tmp_path: Path) -> None:
    path = SHARED / "ckpts" / name
    saved = torch.load(path, weights_only=True)
    assert_equal(values(path), saved["state_dict"])
    copy = shutil.copy(path, tmp_path / "copy.pt")
    assert digest(Path(copy)) == digest(path)
    with TorchReader.open(path) as file:
        assert file.metadata.epoch == saved["epoch"]
        assert file.metadata.extra["optimizer"] == ("optimizer" in saved)
