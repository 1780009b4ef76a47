"""ONNX Runtime's CUDA engine: the same code on a CPU, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny_towers import tiny_towers

from fastclip.engines import onnxruntime_cuda_engine, onnxruntime_session
from fastclip.engines.base import Engine, Shapes
from fastclip.engines.onnxruntime_cuda_engine import OnnxRuntimeCudaEngine
from fastclip.engines.onnxruntime_session import CPU, Target, operations_on_cpu, smallest_model
from fastclip.engines.torch_engine import TorchEngine
from fastclip.errors import EngineError, UsageError
from fastclip.parity.canary import Canary
from fastclip.parity.compare import relative_l2
from fastclip.parity.probe import probe, random_state
from fastclip.towers.lowering import lowered
from fastclip.towers.recipes import pack

CUDA = "CUDAExecutionProvider"
SHAPES = Shapes(image_batch=4, text_batch=4)
KINDS = ("vit", "resnet", "whole-context")
ON_CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or CUDA not in onnxruntime.get_available_providers(),
    reason="no CUDA device, or no onnxruntime-gpu",
)


class Simulated(OnnxRuntimeCudaEngine):
    devices = ("cpu",)
    provider = CPU


class FallsBack(OnnxRuntimeCudaEngine):
    """Asks for CUDA where onnxruntime finds none: what a missing cuDNN does on a GPU machine."""

    devices = ("cpu",)


def opened(kind: str = "vit", cls: type[Engine] = Simulated, **settings: Any) -> Engine:
    engine = cls(threads=1, **settings)
    engine.open(tiny_towers(kind), SHAPES)
    return engine


def load(engine: Engine, seed: int, kind: str = "vit", **changed: np.ndarray) -> dict[str, Any]:
    state = random_state(tiny_towers(kind), seed) | changed
    engine.load(pack(engine.manifest(tiny_towers(kind)), engine.upload(state)))
    return state


def pictures(n: int, kind: str = "vit") -> np.ndarray:
    spec = tiny_towers(kind).architecture.preprocessing.pixels
    shape = (n, spec.height, spec.width, 3)
    return np.random.default_rng(n).integers(0, 256, shape, dtype=np.uint8)


def prompts(n: int = 3, length: int = 20) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(length).integers(1, 80, (n, length))
    eot = length - 1 - np.arange(n)
    ids[np.arange(n), eot] = 89
    return ids, eot


def embeddings(engine: Engine, shots: np.ndarray, length: int = 20) -> list[np.ndarray]:
    """Every picture, batch by batch, and three prompts."""
    handle, batch = engine.place(shots), min(SHAPES.image_batch, len(shots))
    starts = range(0, len(shots), batch)
    outputs = [engine.encode_images(handle, lo, min(lo + batch, len(shots))) for lo in starts]
    return [engine.fetch(*outputs), engine.fetch(engine.encode_texts(*prompts(3, length)))]


@pytest.mark.parametrize("kind", KINDS)
def test_fp32_is_the_reference_engine(kind: str) -> None:
    shots = pictures(6, kind)
    with opened(kind, TorchEngine) as reference, opened(kind) as engine:
        for made in (reference, engine):
            load(made, 1, kind)
        expected, found = embeddings(reference, shots), embeddings(engine, shots)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == np.float32
        assert relative_l2(mine, theirs) < 2e-6


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_probe_and_canary(kind: str, precision: str) -> None:
    towers = tiny_towers(kind)
    with opened(kind, precision=precision) as engine:
        found = probe(engine, towers, SHAPES)
        assert found.passed, found.explain()
        canary = Canary(towers, SHAPES, precision)
        for seed in (3, 4, 3):
            state = load(engine, seed, kind)
            report = canary.check(engine, pack(towers.module_manifest, state))
            assert report.passed, report.explain()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_come_and_go_where_they_lie(precision: str) -> None:
    """A, B, A: the bytes of A return, B's differ, and no memory is taken or session made anew."""
    shots = pictures(7)
    with opened(precision=precision) as engine:
        addresses = {name: weight.data_ptr() for name, weight in engine._weights.items()}
        found, sessions = [], []
        for seed in (1, 2, 1):
            load(engine, seed)
            found.append(embeddings(engine, shots))
            sessions.append(dict(engine._sessions))
        assert {name: weight.data_ptr() for name, weight in engine._weights.items()} == addresses
    for before, between, after in zip(*found, strict=True):
        np.testing.assert_array_equal(before, after)
        assert relative_l2(between, before) > 0.1
    assert sessions[0] == sessions[2]
    assert {key[0] for key in sessions[0]} == {"visual", "text"}


def test_every_tensor_shows() -> None:
    towers = tiny_towers("vit")
    packed = pack(towers.manifest, random_state(towers, 1))
    with opened() as engine:
        engine.load(packed)
        before = embeddings(engine, pictures(4), 8)
        for name in packed.keys() - {"logit_scale"}:
            # Not by the same amount everywhere: norms would not see that.
            change = np.random.default_rng(0).normal(0, 0.3, packed[name].shape)
            engine.load(packed | {name: packed[name] + change.astype(np.float32)})
            after = embeddings(engine, pictures(4), 8)
            tower = ("visual/", "text/").index(name.split("/")[0] + "/")
            assert relative_l2(after[tower], before[tower]) > 1e-4, name
            np.testing.assert_array_equal(after[1 - tower], before[1 - tower])


def test_outputs_stay_when_the_next_batch_comes() -> None:
    with opened() as engine:
        load(engine, 1)
        handle = engine.place(pictures(8))
        first = engine.encode_images(handle, 0, 4)
        kept = first.clone()
        second = engine.encode_images(handle, 4, 8)
        assert torch.equal(first, kept)
        np.testing.assert_array_equal(engine.fetch(first, second), np.concatenate([kept, second]))


def test_short_batches_and_small_sets() -> None:
    shots = pictures(7)
    with opened(cls=TorchEngine) as reference, opened() as engine:
        for made in (reference, engine):
            load(made, 1)
        handle = engine.place(shots)
        full = engine.fetch(engine.encode_images(handle, 0, 4))
        np.testing.assert_array_equal(engine.fetch(engine.encode_images(handle, 0, 3)), full[:3])
        for length in (8, 20):
            mine, theirs = (embeddings(made, shots[:2], length) for made in (engine, reference))
            for a, b in zip(mine, theirs, strict=True):
                assert relative_l2(a, b) < 2e-6


def test_packed_arrays_do_as_well_as_uploaded_tensors() -> None:
    towers, shots = tiny_towers("vit"), pictures(4)
    with opened(precision="fp16") as engine:
        state = load(engine, 1)
        expected = embeddings(engine, shots)
        load(engine, 2)
        engine.load(pack(towers.manifest, state))
        for found, wanted in zip(embeddings(engine, shots), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_shape_is_computed_while_it_runs(kind: str, precision: str) -> None:
    """Such operations would be placed on the CPU, and every one of them is refused there."""
    towers = tiny_towers(kind)
    spec = towers.architecture.preprocessing.pixels
    assert towers.text is not None
    for graph, shape in (
        (towers.visual, (4, spec.height, spec.width, 3)),
        (towers.text, (4, 20)),
    ):
        data = onnxruntime_cuda_engine._model(lowered(graph, precision), shape)
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(data), strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        assert not model.graph.initializer or all(
            value.name not in graph.initializers for value in model.graph.initializer
        )
        types = {value.name: value.type.tensor_type for value in model.graph.value_info}
        computed = [node for node in model.graph.node if node.op_type != "Constant"]
        inner = [name for node in computed for name in node.output if name in types]
        integers = {
            node.op_type
            for node in computed
            if node.output[0] in types and types[node.output[0]].elem_type == onnx.TensorProto.INT64
        }
        assert integers <= {"Unsqueeze", "Concat"}  # of the end of text's place
        assert len(inner) > 30
        assert all(dim.HasField("dim_value") for name in inner for dim in types[name].shape.dim)


def test_a_session_that_falls_back_to_the_cpu_is_refused() -> None:
    with pytest.raises(EngineError, match=f"on the CPU, though it was told {CUDA}") as caught:
        opened(cls=FallsBack)
    assert "onnxruntime-gpu" in str(caught.value)


def pretend(monkeypatch: pytest.MonkeyPatch, providers: Sequence[str], kernels: bool) -> None:
    """An onnxruntime that says it runs on these providers; without `kernels` it leaves
    everything to the CPU, and says so when it may not."""

    def session(model: bytes, options: Any, **_: Any) -> Any:
        strict = options.get_session_config_entry
        try:
            refuses = strict("session.disable_cpu_ep_fallback") == "1" and not kernels
        except RuntimeError:
            refuses = False
        if refuses:
            raise RuntimeError("fallback to CPU EP has been explicitly disabled")
        plain = onnxruntime.SessionOptions()
        plain.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        found = onnxruntime.InferenceSession(model, plain, providers=[CPU])
        monkeypatch.setattr(found, "get_providers", lambda: list(providers))
        return found

    fake = SimpleNamespace(
        InferenceSession=session,
        SessionOptions=onnxruntime.SessionOptions,
        __file__=onnxruntime.__file__,
    )
    monkeypatch.setattr(onnxruntime_session, "library", lambda: fake)


def test_a_missing_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, [CUDA, CPU], kernels=False)
    with pytest.raises(EngineError, match=f"no {CUDA} kernel for the visual tower's 1 Add"):
        Target(CUDA, ON_CPU, 0, 1).new_session(smallest_model(), "the visual tower")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded is onnxruntime's; which of its dependencies is missing, the system says."""
    pretend(monkeypatch, [CPU], kernels=True)
    with pytest.raises(EngineError, match=r"libonnxruntime_providers_cuda\.so: cannot open"):
        Target(CUDA, ON_CPU, 0, 1).new_session(smallest_model(), "the visual tower")


def test_operations_on_the_cpu_are_counted() -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(smallest_model(), options, providers=[CPU])
    assert operations_on_cpu(session) == "1 Add"
    assert operations_on_cpu(SimpleNamespace()) == ""


def test_what_the_provider_is_told() -> None:
    options = Target(CUDA, torch.device("cuda:1"), 4711, 1)._options()
    assert options["device_id"] == "1"
    assert options["user_compute_stream"] == "4711"
    assert options["use_tf32"] == "0"
    assert "user_compute_stream" not in Target(CUDA, torch.device("cuda"), 0, 1)._options()


def test_unavailable_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Simulated.unavailable("cpu") is None
    assert "not on cpu" in str(OnnxRuntimeCudaEngine.unavailable("cpu"))
    if not torch.cuda.is_available():
        assert "CUDA" in str(OnnxRuntimeCudaEngine.unavailable("cuda"))
    monkeypatch.setattr(onnxruntime_cuda_engine, "no_device", lambda _: None)
    if CUDA not in onnxruntime.get_available_providers():
        assert "onnxruntime-gpu" in str(OnnxRuntimeCudaEngine.unavailable("cuda"))
    providers = SimpleNamespace(get_available_providers=lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime_cuda_engine, "library", lambda: providers)
    if not torch.cuda.is_available():
        assert "though it was told" in str(OnnxRuntimeCudaEngine.unavailable("cuda"))

    def broken() -> Any:
        raise ImportError("libonnxruntime.so.1: file too short")

    monkeypatch.setattr(onnxruntime_cuda_engine, "library", broken)
    assert "file too short" in str(OnnxRuntimeCudaEngine.unavailable("cuda"))


def test_bf16_is_refused_where_there_are_no_kernels() -> None:
    """onnxruntime has none on a CPU: it says so when the engine is opened, not later."""
    with pytest.raises(EngineError, match=r"refuses the visual tower.*implementation for") as said:
        opened(precision="bf16")
    assert "--precision" in str(said.value)


def test_a_weight_beyond_float16_is_refused() -> None:
    name = "visual.transformer.resblocks.0.mlp.c_fc.weight"
    large = random_state(tiny_towers("vit"), 1)[name] * 1e6
    with opened(precision="fp16") as engine:
        with pytest.raises(EngineError, match=r"mlp\.c_fc\.weight.*float16"):
            load(engine, 1, **{name: large})
        with pytest.raises(EngineError, match="no weights are loaded"):
            embeddings(engine, pictures(4))
        load(engine, 1)
        assert np.isfinite(embeddings(engine, pictures(4))[0]).all()


def test_every_tensor_must_be_supplied() -> None:
    towers = tiny_towers("vit")
    packed = pack(towers.manifest, random_state(towers, 1))
    with opened() as engine:
        with pytest.raises(EngineError, match="no weights are loaded"):
            embeddings(engine, pictures(4))
        del packed["text/ln_final.bias"]
        with pytest.raises(EngineError, match=r"1 packed tensors are missing: text/ln_final\.bias"):
            engine.load(packed)


def test_settings_are_described_and_unknown_ones_refused() -> None:
    with opened(precision="fp16") as engine:
        described = engine.describe()
    assert described["engine"] == "onnxruntime-cuda"
    assert described["precision"] == "fp16"
    assert described["onnxruntime"] == onnxruntime.__version__
    with pytest.raises(UsageError, match="'int8'"):
        Simulated(precision="int8")
    with pytest.raises(UsageError, match="'cpu'"):
        OnnxRuntimeCudaEngine(device="cpu")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", OnnxRuntimeCudaEngine.precisions)
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_it_passes_probe_and_canary(kind: str, precision: str) -> None:
    """In bf16 kernels may be missing; then the refusal names them."""
    towers = tiny_towers(kind)
    engine = OnnxRuntimeCudaEngine(precision=precision, device="cuda")
    try:
        engine.open(towers, SHAPES)
    except EngineError as error:
        if precision != "bf16":
            raise
        pytest.skip(error.what)
    with engine:
        found = probe(engine, towers, SHAPES)
        assert found.passed, found.explain()
        canary = Canary(towers, SHAPES, precision, device="cuda")
        for seed in (3, 4, 3):
            state = load(engine, seed, kind)
            packed = pack(towers.module_manifest, engine.upload(state))
            report = canary.check(engine, packed)
            assert report.passed, report.explain()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu_bytes_return_and_nothing_overtakes(precision: str) -> None:
    """Batches and swaps are queued without waiting, and fetched at the end."""
    shots = pictures(64)
    with OnnxRuntimeCudaEngine(precision=precision, device="cuda") as engine:
        engine.open(tiny_towers("vit"), SHAPES)
        handle = engine.place(shots)
        found = []
        for seed in (1, 2, 1):
            load(engine, seed)
            found.append([engine.encode_images(handle, lo, lo + 4) for lo in range(0, 64, 4)])
        before, between, after = (engine.fetch(*outputs) for outputs in found)
    np.testing.assert_array_equal(before, after)
    assert relative_l2(between, before) > 0.1
