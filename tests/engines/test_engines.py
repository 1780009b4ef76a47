"""Engines against open_clip's own model, and against themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cpu_engines import ON_CPU
from open_clip.model import CLIP
from tiny_towers import CONFIGS, tiny_towers

from fastclip.engines import ENGINES
from fastclip.engines.base import Engine, Shapes
from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine
from fastclip.errors import EngineError, UsageError
from fastclip.parity.base import TOLERANCE
from fastclip.parity.probe import random_state
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)
PICTURES = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
IDS = np.random.default_rng(1).integers(1, 80, (3, 20))
EOT = np.array([19, 5, 11])
IDS[np.arange(3), EOT] = 89


@pytest.fixture(params=ON_CPU)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine, open for the tiny ViT."""
    with ENGINES.get(request.param)(threads=1) as made:
        made.open(tiny_towers("vit"), SHAPES)
        yield made


def load(engine: Engine, seed: int) -> dict[str, np.ndarray]:
    towers = tiny_towers("vit")
    state = random_state(towers, seed)
    engine.load(pack(engine.manifest(towers), state))
    return state


def images(engine: Engine) -> np.ndarray:
    handle = engine.place(PICTURES)
    return np.concatenate(
        [engine.fetch(engine.encode_images(handle, lo, min(lo + 4, 7))) for lo in (0, 4)]
    )


def texts(engine: Engine) -> np.ndarray:
    return engine.fetch(engine.encode_texts(IDS, EOT))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(
        np.max(np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1))
    )


def test_equals_open_clip(engine: Engine) -> None:
    state = load(engine, 1)
    model = CLIP(**CONFIGS["vit"]).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    preprocessing = tiny_towers("vit").architecture.preprocessing
    x = PICTURES / 255.0
    x = (x - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    with torch.no_grad():
        image = model.encode_image(torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float32))
        text = model.encode_text(torch.from_numpy(IDS))
    assert images(engine).dtype == np.float32
    assert relative(images(engine), image.numpy()) < TOLERANCE["fp32"]
    assert relative(texts(engine), text.numpy()) < TOLERANCE["fp32"]


def test_weights_come_and_go(engine: Engine) -> None:
    """A, B, A: the bytes of A return, and B's differ."""
    found = []
    for seed in (1, 2, 1):
        load(engine, seed)
        found.append((images(engine), texts(engine)))
    for before, between, after in zip(*found, strict=True):
        np.testing.assert_array_equal(before, after)
        assert relative(between, before) > 0.1


def test_runs_repeat_to_the_bit(engine: Engine) -> None:
    load(engine, 1)
    np.testing.assert_array_equal(images(engine), images(engine))
    np.testing.assert_array_equal(texts(engine), texts(engine))


def test_a_padded_batch_gives_the_rows_of_a_full_one(engine: Engine) -> None:
    load(engine, 1)
    handle = engine.place(PICTURES)
    full = engine.fetch(engine.encode_images(handle, 0, 4))
    np.testing.assert_array_equal(engine.fetch(engine.encode_images(handle, 0, 3)), full[:3])
    np.testing.assert_array_equal(
        engine.fetch(engine.encode_texts(IDS[:2], EOT[:2])), texts(engine)[:2]
    )


def test_pictures_may_be_mapped_or_generated(engine: Engine, tmp_path: Path) -> None:
    class Generated:
        shape = PICTURES.shape

        def __getitem__(self, rows: slice) -> np.ndarray:
            return PICTURES[rows].copy()

    np.save(tmp_path / "view.npy", PICTURES)
    mapped = np.load(tmp_path / "view.npy", mmap_mode="r")
    load(engine, 1)
    expected = engine.fetch(engine.encode_images(engine.place(PICTURES), 4, 7))
    for pixels in (mapped, Generated()):
        found = engine.fetch(engine.encode_images(engine.place(pixels), 4, 7))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("said", ["missing", "unexpected", "of another shape"])
def test_every_tensor_must_be_supplied(engine: Engine, said: str) -> None:
    towers = tiny_towers("vit")
    packed = pack(engine.manifest(towers), random_state(towers, 1))
    name = next(name for name in packed if name.endswith("c_fc.bias"))
    if said == "missing":
        del packed[name]
    else:
        name = "spare" if said == "unexpected" else name
        packed[name] = np.zeros(1, np.float32)
    with pytest.raises(EngineError, match=f"1 packed tensors are {said}: {name}"):
        engine.load(packed)


def test_nothing_is_encoded_before_weights_are_loaded(engine: Engine) -> None:
    with pytest.raises(EngineError, match="no weights are loaded"):
        images(engine)


@pytest.mark.parametrize("name", ON_CPU)
def test_unknown_settings_are_refused_with_the_choices(name: str) -> None:
    with pytest.raises(UsageError, match="'fp8'") as caught:
        ENGINES.get(name)(precision="fp8")
    assert "fp32" in str(caught.value)
    with pytest.raises(UsageError, match="'cuda'"):
        ENGINES.get(name)(device="cuda")


def test_settings_that_change_bits_are_described(engine: Engine) -> None:
    described = engine.describe()
    assert described["threads"] == "1"
    assert described["precision"] == "fp32"
    assert described[engine.name]  # the library's version


def test_whole_context_text_tower() -> None:
    """Without an end-of-text input, and with another length of batch than the example's."""
    towers = tiny_towers("whole-context")
    state = random_state(towers, 1)
    found = []
    for name in ON_CPU:
        with ENGINES.get(name)(threads=1) as engine:
            engine.open(towers, SHAPES)
            engine.load(pack(engine.manifest(towers), state))
            found.append(texts(engine))
    for other in found[1:]:
        assert relative(other, found[0]) < TOLERANCE["fp32"]


def test_what_is_prepared_is_what_would_be_loaded() -> None:
    """Prepared beside the checkpoint before it, whose embeddings stay as they are."""
    towers = tiny_towers("vit")
    with OnnxRuntimeEngine(threads=2) as engine:
        engine.open(towers, SHAPES)
        load(engine, 2)
        second = images(engine), texts(engine)
        load(engine, 1)
        first = images(engine), texts(engine)
        prepared = engine.prepare(pack(engine.manifest(towers), random_state(towers, 2)))
        np.testing.assert_array_equal(images(engine), first[0])
        engine.load(prepared)
        np.testing.assert_array_equal(images(engine), second[0])
        np.testing.assert_array_equal(texts(engine), second[1])


def test_a_session_gives_the_same_bytes_on_any_number_of_threads() -> None:
    found = []
    for threads in (1, 3):
        with OnnxRuntimeEngine(threads=threads) as engine:
            engine.open(tiny_towers("vit"), SHAPES)
            load(engine, 1)
            found.append((images(engine), texts(engine)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_sessions_keep_their_own_copy_of_the_weights() -> None:
    """What lets a caller free a checkpoint's arrays as soon as they are loaded."""
    towers = tiny_towers("vit")
    with OnnxRuntimeEngine(threads=1) as engine:
        engine.open(towers, SHAPES)
        packed = pack(engine.manifest(towers), random_state(towers, 1))
        engine.load(packed)
        before = images(engine), texts(engine)
        for array in packed.values():
            array[...] = 7
        np.testing.assert_array_equal(images(engine), before[0])
        np.testing.assert_array_equal(texts(engine), before[1])


def test_a_graph_onnxruntime_cannot_read_is_an_engine_error(tmp_path: Path) -> None:
    towers = tiny_towers("vit")
    cut = tmp_path / "visual.onnx"
    cut.write_bytes(towers.visual.path.read_bytes()[:1000])
    broken = replace(towers, visual=replace(towers.visual, path=cut))
    with (
        OnnxRuntimeEngine(threads=1) as engine,
        pytest.raises(EngineError, match=r"visual\.onnx"),
    ):
        engine.open(broken, SHAPES)
