"""Architecture, preprocessing, graphs and the manifest that packs weights into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastclip.stimuli.base import PixelSpec


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded picture to the tower's input: pixels here, mean and std in the graph."""

    pixels: PixelSpec
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Architecture:
    """An architecture with everything that weights do not show.

    Attributes:
        name: open_clip's name, or the JSON config's stem: the `arch` column.
        config: open_clip's model config (`embed_dim`, `vision_cfg`, `text_cfg`, ...).
        preprocessing: how pictures get to the tower.
        source: where it came from: "--model", "params.txt", "--model and params.txt",
            "open_clip_config.json", "config.json", "tensor names and shapes" or "open_clip's
            table of published weights".
        guessed: what the weights do not show and no file said, one sentence each.
        tokenizer: "simple" (open_clip's own), a hub name whose files are in the local cache, a
            path, or None where there is no tokenizer offline; then tasks with prompts are
            refused. `fastclip.towers.tokenizers` opens it and knows the reason for None.
        digest: hex digest of config and preprocessing: the identity of the graph.
    """

    name: str
    config: Mapping[str, Any]
    preprocessing: Preprocessing
    source: str
    guessed: tuple[str, ...]
    tokenizer: str | None
    digest: str


@dataclass(frozen=True)
class Recipe:
    """How one packed array is made of a checkpoint's tensors: a small expression.

    `op` is "tensor" (`name` says which), "transpose" (of one), "concat" (along axis 0),
    "reshape" (to `shape`), "part" (index and count in `numbers`), "patch_weight" and
    "patch_bias" (mean and std in `numbers`); `recipes` has a function for each. Recipes compose:
    a Hugging Face adapter replaces the leaves.
    """

    op: str
    name: str = ""
    of: tuple[Recipe, ...] = ()
    shape: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """`{packed name: recipe}`; `needed` is every tensor a checkpoint must have for it.

    `shapes` gives the shape that each packed array must come out with.
    """

    recipes: Mapping[str, Recipe]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the checkpoint tensors, sorted."""
        found: set[str] = set()
        stack = list(self.recipes.values())
        while stack:
            recipe = stack.pop()
            if recipe.op == "tensor":
                found.add(recipe.name)
            stack.extend(recipe.of)
        return tuple(sorted(found))


@dataclass(frozen=True)
class TowerGraph:
    """One exported tower; no weights inside.

    Attributes:
        path: ONNX file whose initializers are declared external; their data is not there.
        inputs: visual: `("pixels",)` uint8 `[B, H, W, 3]`; text: `("ids", "eot")` int64 `[B, L]`
            and `[B]` (`eot` absent where the tower does not pool at end-of-text).
        output: name of the raw (not normalised) float32 embeddings `[B, D]`.
        initializers: `{packed name: (shape, dtype)}` that `load` must supply, every one.
        digest: hex digest of the graph.
    """

    path: Path
    inputs: tuple[str, ...]
    output: str
    initializers: Mapping[str, tuple[tuple[int, ...], str]]
    digest: str


@dataclass(frozen=True)
class Towers:
    """Everything an engine needs to run one architecture, whatever the checkpoint.

    Attributes:
        visual, text: the graphs; `text` is None where only pictures are encoded.
        manifest: packs a checkpoint in open_clip's naming into both graphs' initializers.
            Packed names start with "visual/" or "text/"; "logit_scale" (and "logit_bias",
            where the model has one) are packed too, though no graph takes them.
        module_manifest: the same for open_clip's own module (the torch engine): packed names
            are the module's state-dict names.
        embed_dim: D.
        context_length: L of the full context.
        dynamic_text: the text tower is causal and pooled at end-of-text, so a batch may be cut
            to any length that holds its longest prompt (exact up to rounding).
    """

    architecture: Architecture
    visual: TowerGraph
    text: TowerGraph | None
    manifest: Manifest
    module_manifest: Manifest
    embed_dim: int
    context_length: int
    dynamic_text: bool

    @property
    def graphs(self) -> dict[str, TowerGraph]:
        """The graphs there are, by part: "visual", "text"."""
        both = {"visual": self.visual, "text": self.text}
        return {part: graph for part, graph in both.items() if graph is not None}
