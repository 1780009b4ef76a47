"""The CUDA engine in torch: the same code on a CPU, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_towers import tiny_towers
from torch import Tensor
from torch.nn import functional

from fastclip.engines import ENGINES
from fastclip.engines.base import Engine, Shapes
from fastclip.engines.cuda.graphs import Recorder
from fastclip.engines.cuda.pictures import DevicePictures
from fastclip.engines.torch_cuda_compiled_engine import TorchCudaCompiledEngine
from fastclip.engines.torch_cuda_engine import TorchCudaEngine
from fastclip.engines.torch_engine import TorchEngine
from fastclip.errors import EngineError
from fastclip.parity.base import TOLERANCE
from fastclip.parity.canary import Canary
from fastclip.parity.compare import relative_l2
from fastclip.parity.probe import probe, random_state
from fastclip.towers.recipes import pack

SHAPES = Shapes(image_batch=4, text_batch=4)
PRECISIONS = TorchCudaEngine.precisions
FC = "visual.transformer.resblocks.0.mlp.c_fc.weight"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Simulated(TorchCudaEngine):
    devices = ("cpu",)


class CompiledSimulated(TorchCudaCompiledEngine):
    devices = ("cpu",)
    backend = "aot_eager"


def pictures(n: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def prompts(n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(length).integers(1, 80, (n, length))
    eot = length - 1 - np.arange(n)
    ids[np.arange(n), eot] = 89
    return ids, eot


def load(engine: Engine, seed: int, kind: str = "vit", **changed: Any) -> dict[str, Any]:
    towers = tiny_towers(kind)
    state = random_state(towers, seed) | changed
    engine.load(pack(engine.manifest(towers), engine.upload(state)))
    return state


def embeddings(engine: Engine, shots: np.ndarray, length: int = 8) -> tuple[np.ndarray, ...]:
    """Every picture, batch by batch, and four prompts."""
    handle, batch = engine.place(shots), min(4, len(shots))
    outputs = [
        engine.encode_images(handle, lo, min(lo + batch, len(shots)))
        for lo in range(0, len(shots), batch)
    ]
    return engine.fetch(*outputs), engine.fetch(engine.encode_texts(*prompts(4, length)))


def opened(kind: str = "vit", cls: type[Engine] = Simulated, **settings: Any) -> Engine:
    engine = cls(threads=1, **settings)
    engine.open(tiny_towers(kind), SHAPES)
    return engine


@pytest.mark.parametrize("kind", ["vit", "resnet", "whole-context"])
def test_fp32_is_the_reference_engine(kind: str) -> None:
    shots = pictures(6, 64 if kind == "resnet" else 32)
    length = 20 if kind == "whole-context" else 8
    with opened(kind, TorchEngine) as reference, opened(kind) as engine:
        load(reference, 1, kind)
        load(engine, 1, kind)
        for found, expected in zip(
            embeddings(engine, shots, length), embeddings(reference, shots, length), strict=True
        ):
            assert found.dtype == np.float32
            assert relative_l2(found, expected) < 1e-6


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("kind", ["vit", "resnet", "whole-context"])
def test_half_precision_passes_probe_and_canary(kind: str, precision: str) -> None:
    towers = tiny_towers(kind)
    with opened(kind, precision=precision) as engine:
        found = probe(engine, towers, SHAPES)
        # A factor to spare: real towers are deeper.
        assert max(found.figures.values()) < TOLERANCE[precision] / 4, found.figures
        canary = Canary(towers, SHAPES, precision)
        for seed in (3, 4, 3):
            state = load(engine, seed, kind)
            report = canary.check(engine, pack(towers.module_manifest, state))
            assert report.passed, report.explain()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_come_and_go_whole(precision: str) -> None:
    """A, B, A: every tensor is copied, into the same memory, and the bytes of A return."""
    towers, shots = tiny_towers("vit"), pictures(7)
    with opened(precision=precision) as engine:
        where = {name: weight.data_ptr() for name, weight in engine._weights.items()}
        assert where.keys() == towers.module_manifest.recipes.keys()
        found = []
        for seed in (1, 2, 1):
            packed = pack(towers.module_manifest, load(engine, seed))
            for name, weight in engine._weights.items():
                copy = torch.from_numpy(np.asarray(packed[name])).to(weight.dtype)
                assert torch.equal(weight.detach(), copy), name
            found.append(embeddings(engine, shots))
        assert {name: weight.data_ptr() for name, weight in engine._weights.items()} == where
    for before, between, after in zip(*found, strict=True):
        np.testing.assert_array_equal(before, after)
        assert relative_l2(between, before) > 0.1


def test_an_engine_that_keeps_one_tensor_fails_the_probe() -> None:
    class KeepsOne(Simulated):
        def load(self, packed: Any) -> None:
            kept = self._weights[FC].clone()
            super().load(packed)
            with torch.no_grad():
                self._weights[FC].copy_(kept)

    with opened(cls=KeepsOne, precision="fp16") as engine:
        assert not probe(engine, tiny_towers("vit"), SHAPES).passed


@pytest.mark.parametrize("precision", PRECISIONS)
def test_attention_is_the_fused_one(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fused = functional.scaled_dot_product_attention
    dtypes = []

    def counted(q: Tensor, *others: Any, **settings: Any) -> Tensor:
        found = fused(q, *others, **settings)
        dtypes.append(found.dtype)
        return found

    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    with opened(precision=precision) as engine:
        load(engine, 1)
        embeddings(engine, pictures(4))
    expected = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    # Two blocks of the image tower and one of the text tower, to record and to run.
    assert dtypes == [expected] * 6


def test_pictures_that_stay_on_the_host_give_the_same_bytes() -> None:
    shots = pictures(7)
    with opened(precision="fp16") as engine:
        load(engine, 1)
        crossing = DevicePictures(shots, torch.device("cpu"), limit=0)
        assert not crossing.resident and engine.place(shots).resident
        for lo, hi in ((0, 4), (4, 7)):
            np.testing.assert_array_equal(
                engine.fetch(engine.encode_images(crossing, lo, hi)),
                engine.fetch(engine.encode_images(engine.place(shots), lo, hi)),
            )


@pytest.mark.parametrize("value", [7e4, -7e4])
def test_a_weight_beyond_float16_is_refused_with_the_way_out(value: float) -> None:
    large = random_state(tiny_towers("vit"), 1)[FC]
    large[3, 2] = value
    with opened(precision="fp16") as engine:
        with pytest.raises(EngineError, match=f"tensor '{FC}' holds 70000, beyond") as caught:
            load(engine, 1, **{FC: large})
        assert "--precision bf16" in str(caught.value)
        with pytest.raises(EngineError, match="no weights are loaded"):
            embeddings(engine, pictures(4))
        load(engine, 1)
        assert np.isfinite(embeddings(engine, pictures(4))[0]).all()
    with opened(precision="bf16") as engine:
        load(engine, 1, **{FC: large})


def test_what_is_not_a_product_may_be_beyond_float16() -> None:
    state = random_state(tiny_towers("vit"), 1)
    large = {
        name: state[name] * np.float32(1e6)
        for name in ("visual.proj", "text_projection", "positional_embedding")
    }
    with opened(precision="fp16") as engine:
        load(engine, 1, **large)
        for found in embeddings(engine, pictures(4)):
            assert np.isfinite(found).all() and np.abs(found).max() > 65504


def test_an_activation_beyond_float16_fails_the_canary() -> None:
    towers = tiny_towers("vit")
    name = "visual.transformer.resblocks.1.mlp.c_proj.weight"
    large = random_state(towers, 1)[name] * np.float32(1e5)
    large = np.clip(large, -60000, 60000)
    with opened(precision="fp16") as engine:
        state = load(engine, 1, **{name: large})
        canary = Canary(towers, SHAPES, "fp16", text=False)
        report = canary.check(engine, pack(towers.module_manifest, state))
    assert not report.passed
    assert "image_relative_l2 nan" in report.explain()


def test_texts_of_every_length() -> None:
    with opened(cls=TorchEngine) as reference, opened() as engine:
        load(reference, 1)
        load(engine, 1)
        for length in (20, 8, 12, 8):
            ids, eot = prompts(3, length)
            found = engine.fetch(engine.encode_texts(ids, eot))
            expected = reference.fetch(reference.encode_texts(ids, eot))
            assert found.shape == expected.shape
            assert relative_l2(found, expected) < 1e-6
        assert len(engine._calls) == 3


class OneOutput(Recorder):
    """Like a CUDA graph: every replay writes where the recording did; counts recordings."""

    recorded = 0

    def record(self, function: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], Tensor]:
        OneOutput.recorded += 1
        output = function(*inputs)
        return lambda: output.copy_(function(*inputs))


def test_outputs_outlive_the_next_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastclip.engines.torch_cuda_engine.Recorder", OneOutput)
    monkeypatch.setattr(OneOutput, "recorded", 0)
    shots = pictures(11)
    with opened() as engine, opened(cls=TorchEngine) as reference:
        for seed in (1, 2):
            load(engine, seed)
            load(reference, seed)
            for found, expected in zip(
                embeddings(engine, shots), embeddings(reference, shots), strict=True
            ):
                assert relative_l2(found, expected) < 1e-6
        # One for pictures, one for this length of text; a small set has its own.
        assert OneOutput.recorded == 2
        embeddings(engine, pictures(3))
        assert OneOutput.recorded == 3


def test_a_tower_that_cannot_be_recorded_is_an_engine_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with opened() as engine:
        load(engine, 1)
        monkeypatch.setattr(engine._recorder, "record", fails)
        with pytest.raises(EngineError, match="cannot run the image tower of vit: RuntimeError"):
            embeddings(engine, pictures(4))


def test_settings_of_the_process_return_when_it_closes() -> None:
    def settings() -> tuple[bool, ...]:
        return torch.backends.cudnn.allow_tf32, torch.backends.mha.get_fastpath_enabled()

    before = settings()
    engine = opened()
    assert settings() == (False, False)
    engine.open(tiny_towers("vit"), SHAPES)
    assert settings() == (False, False)
    engine.close()
    assert settings() == before == (True, True)
    engine.close()


def test_a_failed_open_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(towers: Any) -> None:
        raise EngineError("open_clip cannot build this architecture")

    before = torch.backends.cudnn.allow_tf32
    with CompiledSimulated(threads=1) as engine:
        with monkeypatch.context() as patched, pytest.raises(EngineError, match="cannot build"):
            patched.setattr("fastclip.towers.module.build_module", fails)
            engine.open(tiny_towers("vit"), SHAPES)
        engine.close()
        assert torch.backends.cudnn.allow_tf32 == before
        engine.open(tiny_towers("vit"), SHAPES)
        load(engine, 1)


def test_described_by_what_changes_bits() -> None:
    with opened(precision="bf16") as engine:
        described = engine.describe()
    assert described["torch"] == torch.__version__
    assert described["precision"] == "bf16"


@pytest.mark.parametrize("name", ["torch-cuda", "torch-cuda-compiled"])
def test_registered_for_cuda_with_fp16_first(name: str) -> None:
    engine = ENGINES.get(name)
    assert engine.name == engine.family == name
    assert engine.precisions == ("fp16", "bf16", "fp32") and engine.devices == ("cuda",)
    if not torch.cuda.is_available():
        assert "CUDA" in str(engine.unavailable("cuda"))


def test_one_compilation_for_all_checkpoints_and_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    compiler = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(CompiledSimulated, "backend", staticmethod(compiler))
    with (
        opened(cls=CompiledSimulated, precision="fp16") as compiled,
        opened(precision="fp16") as plain,
    ):
        for seed, count in ((1, 7), (2, 4), (1, 2)):
            load(compiled, seed)
            load(plain, seed)
            for found, expected in zip(
                embeddings(compiled, pictures(count)),
                embeddings(plain, pictures(count)),
                strict=True,
            ):
                assert relative_l2(found, expected) < TOLERANCE["fp16"] / 4
    assert compiler.frame_count == 1
    # Parameters are inputs of the graph, not constants in it.
    (graph,) = compiler.graphs
    assert not list(graph.named_parameters()) and not graph.state_dict()


def test_what_does_not_compile_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no such instruction")

    monkeypatch.setattr(CompiledSimulated, "backend", staticmethod(broken))
    with opened(cls=CompiledSimulated) as engine:
        load(engine, 1)
        with pytest.raises(EngineError, match="no such instruction") as caught:
            embeddings(engine, pictures(4))
    assert "--engine" in str(caught.value)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["vit", "resnet", "whole-context"])
@pytest.mark.parametrize("cls", [TorchCudaEngine, TorchCudaCompiledEngine])
def test_on_a_gpu_it_passes_the_probe(cls: type[Engine], kind: str, precision: str) -> None:
    towers = tiny_towers(kind)
    with opened(kind, cls, precision=precision, device="cuda") as engine:
        found = probe(engine, towers, SHAPES)
        assert found.passed, found.explain()
        canary = Canary(towers, SHAPES, precision, device="cuda")
        for seed in (3, 4, 3):
            load(engine, seed, kind)
            uploaded = engine.upload(random_state(towers, seed))
            report = canary.check(engine, pack(towers.module_manifest, uploaded))
            assert report.passed, report.explain()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cls", [TorchCudaEngine, TorchCudaCompiledEngine])
def test_on_a_gpu_replay_is_the_run_and_bytes_of_a_return(
    cls: type[Engine], precision: str
) -> None:
    """With a graph recorded under A: replays under B and A again equal runs without a graph."""
    shots = pictures(7)
    with opened(cls=cls, precision=precision, device="cuda") as engine:
        found = []
        for seed in (1, 2, 1):
            load(engine, seed)
            found.append(embeddings(engine, shots))
            handle = engine.place(shots)
            call = next(c for (kind, _), c in engine._calls.items() if kind == "image")
            handle.copy_batch(4, 7, call.inputs)
            eager = engine._runner("image")(call.inputs)[:3].cpu().numpy()
            np.testing.assert_array_equal(eager, found[-1][0][4:])
    for before, between, after in zip(*found, strict=True):
        np.testing.assert_array_equal(before, after)
        assert relative_l2(between, before) > 0.1
