"""bf16 and int8 on a CPU: near the reference, repeatable, and each weight where it belongs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tiny_towers import tiny_towers

from fastclip.engines import ENGINES
from fastclip.engines.base import Engine, Shapes
from fastclip.engines.int8.graph import quantised
from fastclip.engines.int8.quantise import quantise_matrix
from fastclip.engines.onnxruntime_engine import OnnxRuntimeEngine
from fastclip.engines.torch_engine import TorchEngine
from fastclip.parity.base import TOLERANCE
from fastclip.parity.canary import Canary
from fastclip.parity.compare import relative_l2
from fastclip.parity.probe import probe, random_state
from fastclip.towers.recipes import pack

SCREENING_ON_CPU = (("openvino", "bf16"), ("torch", "bf16"), ("onnxruntime", "int8"))
SHAPES = Shapes(image_batch=4, text_batch=4)
DRAWN = np.random.default_rng(0)
PICTURES = DRAWN.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
IDS = DRAWN.integers(1, 80, (3, 20))
EOT = np.array([19, 5, 11])
IDS[np.arange(3), EOT] = 89


@pytest.fixture(params=SCREENING_ON_CPU, ids="-".join)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name, precision = request.param
    with ENGINES.get(name)(threads=2, precision=precision) as made:
        made.open(tiny_towers("vit"), SHAPES)
        yield made


def embeddings(engine: Engine, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    towers = tiny_towers("vit")
    if seed is not None:
        engine.load(pack(engine.manifest(towers), random_state(towers, seed)))
    handle = engine.place(PICTURES)
    images = engine.fetch(*(engine.encode_images(handle, lo, min(lo + 4, 7)) for lo in (0, 4)))
    return images, engine.fetch(engine.encode_texts(IDS, EOT))


def test_near_the_reference_and_not_equal_to_it(engine: Engine) -> None:
    with TorchEngine(threads=1) as reference:
        reference.open(tiny_towers("vit"), SHAPES)
        expected = embeddings(reference, 1)
    for found, exact in zip(embeddings(engine, 1), expected, strict=True):
        assert found.dtype == np.float32
        assert 1e-4 < relative_l2(found, exact) < TOLERANCE[engine.precision] / 2


def test_lower_precision_comes_and_goes_with_its_weights(engine: Engine) -> None:
    """A, B, A, and A prepared while B is in: the bytes of A return."""
    first, second, third = (embeddings(engine, seed) for seed in (1, 2, 1))
    towers = tiny_towers("vit")
    prepared = engine.prepare(pack(engine.manifest(towers), random_state(towers, 2)))
    engine.load(prepared)
    fourth = embeddings(engine)
    for a, b, again, b_again in zip(first, second, third, fourth, strict=True):
        np.testing.assert_array_equal(a, again)
        np.testing.assert_array_equal(b, b_again)
        assert relative_l2(b, a) > 0.1


def test_probe_and_canary_pass(engine: Engine) -> None:
    towers = tiny_towers("vit")
    found = probe(engine, towers, SHAPES)
    assert found.passed, found.explain()
    canary = Canary(towers, SHAPES, engine.precision)
    state = random_state(towers, 3)
    engine.load(pack(engine.manifest(towers), state))
    checked = canary.check(engine, pack(towers.module_manifest, state))
    assert checked.passed, checked.explain()


def test_the_probe_sees_a_matrix_that_is_not_there(engine: Engine) -> None:
    """The last block's, which matters least."""
    towers = tiny_towers("vit")
    name = next(n for n in engine.manifest(towers).recipes if n.endswith("1.mlp.c_proj.weight"))
    honest = engine.prepare

    def drop(packed: dict[str, np.ndarray]) -> object:
        return honest({**packed, name: np.zeros_like(packed[name])})

    engine.prepare = drop  # type: ignore[method-assign]
    assert not probe(engine, towers, SHAPES).passed


def test_int8_rounds_a_picture_whatever_pictures_are_beside_it() -> None:
    towers = tiny_towers("vit")
    with OnnxRuntimeEngine(threads=1, precision="int8") as engine:
        engine.open(towers, SHAPES)
        images, texts = embeddings(engine, 1)
        turned = engine.fetch(engine.encode_images(engine.place(PICTURES[::-1]), 3, 7))
        np.testing.assert_array_equal(turned[::-1], images[:4])
        np.testing.assert_array_equal(
            engine.fetch(engine.encode_texts(IDS[1:], EOT[1:])), texts[1:]
        )


def test_int8_covers_every_matrix_of_the_blocks() -> None:
    for graph in tiny_towers("vit").graphs.values():
        found = quantised(graph)
        matrices = {matrix.source for matrix in found.matrices}
        assert not matrices & set(found.kept)
        assert matrices | set(found.kept) == set(graph.initializers)
        for name, (shape, _) in graph.initializers.items():
            assert name in matrices or len(shape) < 2 or not (".attn." in name or ".mlp." in name)
        # The file has what is supplied from outside, and declares nothing else without data.
        declared = onnx.load(found.path, load_external_data=False).graph.initializer
        outside = {v.name for v in declared if v.data_location == TensorProto.EXTERNAL}
        supplied = {name for m in found.matrices for name in (m.weights, m.scale)}
        assert outside == supplied | set(found.kept)


@pytest.mark.parametrize("shape", [(7, 5), (96, 33), (513, 256)])
def test_weights_are_quantised_as_onnxruntime_does(shape: tuple[int, int], tmp_path: Path) -> None:
    matrix = DRAWN.standard_normal(shape).astype(np.float32)
    matrix[:, 1] *= 1e-20
    matrix[:, 2] = 0
    matrix[:, 3] = DRAWN.integers(-127, 128, shape[0]) / 2  # ties between two integers
    matrix[0, 3] = 127 / 2
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(matrix, "w")])
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    quantize_dynamic(model, tmp_path / "q.onnx", weight_type=QuantType.QInt8, per_channel=True)
    made = onnx.load(tmp_path / "q.onnx").graph.initializer
    theirs = {tensor.name: numpy_helper.to_array(tensor) for tensor in made}
    weights, scale = quantise_matrix(matrix)
    np.testing.assert_array_equal(weights, theirs["w_quantized"])
    np.testing.assert_array_equal(scale, theirs["w_scale"])
    assert not theirs["w_zero_point"].any()
