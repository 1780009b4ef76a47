"""Exported towers against open_clip's own encode_image and encode_text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tower_helpers import (
    CONFIGS,
    example_ids,
    example_pixels,
    far_apart,
    info_of,
    run_graph,
    run_packed,
    shapes_of,
)

from fastclip.errors import EngineError
from fastclip.towers import Towers, get_towers, pack
from fastclip.towers.configs import is_dynamic_text
from fastclip.towers.identify import architecture_of
from fastclip.towers.manifest import adapt
from fastclip.towers.match import states_of
from fastclip.towers.module import TowerModule, build_module
from fastclip.towers.random_state import lively_state
from fastclip.towers.recipes import leaves

TowersOf = Callable[..., Towers]
ReferenceOf = Callable[[str], Any]


def open_clip_embeddings(
    model: Any, towers: Towers, pixels: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.transforms.functional import normalize, to_tensor

    preprocessing = towers.architecture.preprocessing
    x = torch.stack([to_tensor(picture) for picture in pixels])
    x = normalize(x, preprocessing.mean, preprocessing.std)
    with torch.no_grad():
        images = model.encode_image(x, normalize=False)
        texts = model.encode_text(torch.from_numpy(ids), normalize=False)
    return images.numpy(), texts.numpy()


@pytest.mark.parametrize("name", CONFIGS)
def test_two_states_through_one_export_equal_open_clip(
    name: str, towers_of: TowersOf, reference_of: ReferenceOf
) -> None:
    towers = towers_of(name, text=name != "resnet")
    model, module = reference_of(name), build_module(towers)
    pixels, (ids, eot) = example_pixels(towers), example_ids(towers)
    seen = []
    for seed in (1, 2):
        state = lively_state(shapes_of(model), seed)
        model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
        images, texts = open_clip_embeddings(model, towers, pixels, ids)
        own = adapt(towers, info_of(state), "open_clip")

        assert (
            far_apart(images, run_graph(towers.visual, own.manifest, state, pixels=pixels)) < 1e-6
        )
        if towers.text is not None:
            given = {key: {"ids": ids, "eot": eot}[key] for key in towers.text.inputs}
            assert far_apart(texts, run_graph(towers.text, own.manifest, state, **given)) < 1e-6

        module.load(pack(own.module_manifest, state))
        assert far_apart(images, module.encode_image(torch.from_numpy(pixels)).numpy()) < 1e-9
        texts_of_module = module.encode_text(torch.from_numpy(ids), torch.from_numpy(eot))
        assert far_apart(texts, texts_of_module.numpy()) < 1e-9
        seen.append(images)
    # The two states differ grossly, or the comparison would show nothing.
    assert far_apart(seen[0], seen[1]) > 0.1


@pytest.mark.parametrize("name", ["vit", "quickgelu", "coca", "siglip"])
def test_graph_holds_no_weights_and_names_them_all(name: str, towers_of: TowersOf) -> None:
    towers = towers_of(name)
    assert towers.text is not None
    states = {k for k in towers.module_manifest.recipes if not k.startswith("logit_")}
    packed = {*towers.visual.initializers, *towers.text.initializers}
    read = {leaf for name in packed for leaf in leaves(towers.manifest.recipes[name])}
    assert read == {towers.module_manifest.recipes[state].name for state in states}
    assert packed == {k for k in towers.manifest.recipes if not k.startswith("logit_")}
    for graph in (towers.visual, towers.text):
        data = graph.path.read_bytes()
        assert len(data) < 400_000
        assert b"site-packages" not in data
        model = onnx.load(graph.path, load_external_data=False)
        external = {
            i.name for i in model.graph.initializer if i.data_location == onnx.TensorProto.EXTERNAL
        }
        assert external == set(graph.initializers)
        assert [value.name for value in model.graph.input] == list(graph.inputs)
        assert not [node for node in model.graph.node if node.op_type == "ArgMax"]


def test_every_weight_matters(towers_of: TowersOf) -> None:
    towers = towers_of("vit")
    assert towers.text is not None
    state = lively_state(towers.module_manifest.shapes, 5)
    packed = pack(adapt(towers, info_of(state), "open_clip").manifest, state)
    ids, eot = example_ids(towers)
    for graph, feeds in (
        (towers.visual, {"pixels": example_pixels(towers)}),
        (towers.text, {"ids": ids, "eot": eot}),
    ):
        before = run_packed(graph, packed, **feeds)
        for name in graph.initializers:
            shifted = packed[name] + np.random.default_rng(1).normal(size=packed[name].shape)
            after = run_packed(graph, {**packed, name: shifted.astype(np.float32)}, **feeds)
            assert np.linalg.norm(after - before) / np.linalg.norm(before) > 1e-4, name


def test_prompts_are_cut_only_where_that_is_exact(towers_of: TowersOf) -> None:
    dynamic = {name: is_dynamic_text(config) for name, config in CONFIGS.items()}
    assert [name for name, is_so in dynamic.items() if is_so] == ["vit", "quickgelu", "resnet"]
    towers = towers_of("vit")
    assert towers.text is not None
    state = lively_state(towers.module_manifest.shapes, 5)
    manifest = adapt(towers, info_of(state), "open_clip").manifest
    module = build_module(towers)
    module.load(pack(adapt(towers, info_of(state), "open_clip").module_manifest, state))
    ids, eot = example_ids(towers)
    whole = run_graph(towers.text, manifest, state, ids=ids, eot=eot)
    for length in (7, 8, 12, 16):
        cut = ids[:, :length]
        got = run_graph(towers.text, manifest, state, ids=cut, eot=eot)
        np.testing.assert_allclose(got, whole, rtol=1e-4, atol=1e-5)
        by_module = module.encode_text(torch.from_numpy(cut), torch.from_numpy(eot)).numpy()
        np.testing.assert_allclose(by_module, whole, rtol=1e-4, atol=1e-5)


def test_batch_size_is_free(towers_of: TowersOf) -> None:
    towers = towers_of("vit")
    state = lively_state(towers.module_manifest.shapes, 5)
    manifest = adapt(towers, info_of(state), "open_clip").manifest
    pixels = example_pixels(towers, 5)
    whole = run_graph(towers.visual, manifest, state, pixels=pixels)
    one = run_graph(towers.visual, manifest, state, pixels=pixels[:1])
    np.testing.assert_allclose(one, whole[:1], rtol=1e-4, atol=1e-5)


def test_module_takes_arrays_without_a_copy(towers_of: TowersOf) -> None:
    module = build_module(towers_of("vit"))
    state = lively_state(module.state_names(), 1)
    module.load(state)
    name = "visual.conv1.weight"
    assert module.model.state_dict()[name].data_ptr() == state[name].ctypes.data
    del state[name]
    with pytest.raises(EngineError, match=r"visual\.conv1\.weight"):
        module.load(state)


def test_pictures_alone_need_no_text_graph(towers_of: TowersOf) -> None:
    whole, alone = towers_of("vit"), towers_of("vit", text=False)
    assert alone.text is None
    assert alone.visual == whole.visual
    assert all(not name.startswith("text/") for name in alone.manifest.recipes)
    # What a checkpoint is stays all its weights, whichever tasks run.
    assert alone.module_manifest == whole.module_manifest


def test_text_tower_of_the_hub_is_left_out_where_it_cannot_be_built(tmp_path: Path) -> None:
    config = {**CONFIGS["vit"], "text_cfg": {"hf_model_name": str(tmp_path / "nothing")}}
    path = tmp_path / "hub.json"
    path.write_text(json.dumps(config))
    architecture = architecture_of(str(path))
    assert architecture.tokenizer is None
    assert not [name for name in states_of(config) if name.startswith("text")]
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    module = TowerModule(architecture, text=False)
    assert module.encode_image(torch.from_numpy(pixels)).shape == (1, 24)
    with pytest.raises(EngineError, match="cannot build"):
        get_towers(architecture, cache_dir=tmp_path)


def test_cached_graph_needs_neither_torch_nor_open_clip(
    towers_of: TowersOf, config_path: Callable[[str], Any]
) -> None:
    towers = towers_of("vit")
    cache_dir = towers.visual.path.parents[2]
    script = (
        "import sys; from pathlib import Path\n"
        "from fastclip.towers import get_towers\n"
        "from fastclip.towers.identify import architecture_of\n"
        f"a = architecture_of({str(config_path('vit'))!r})\n"
        f"t = get_towers(a, cache_dir=Path({str(cache_dir)!r}))\n"
        "assert not {'torch', 'open_clip', 'onnx', 'onnx_ir'} & set(sys.modules)\n"
        "print(t.visual.digest)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == towers.visual.digest, done.stderr
