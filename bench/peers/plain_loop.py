"""The loop that people write: open_clip in eager mode, scipy, everything anew per checkpoint.

Each checkpoint: `open_clip.create_model_and_transforms` with its file, pictures through a
DataLoader with open_clip's own transform, noise drawn on the fly, references encoded once, class
weights by `open_clip.build_zero_shot_classifier` (77 tokens), scipy's correlations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from peers import common
from peers.common import Numbers, Request
from PIL import Image
from torch.utils.data import DataLoader, Dataset

LOOKS = ("", "blurry ", "black and white ", "low contrast ", "high contrast ", "bad ", "good ")
CIFAR_TEMPLATES = [
    template
    for article in ("a", "the")
    for template in (
        *(f"a {look}photo of {article} {{}}." for look in LOOKS),
        f"a photo of {article} small {{}}.",
        f"a photo of {article} big {{}}.",
    )
]
"""The 18 of OpenAI's notebook for CIFAR-100."""


class Pictures(Dataset[Any]):
    """Opens, or takes, a picture; changes it; transforms it."""

    def __init__(
        self,
        pictures: Sequence[Path] | npt.NDArray[np.uint8],
        transform: Callable[[Image.Image], Any],
        sigma: float = 0.0,
    ) -> None:
        self.pictures, self.transform, self.sigma = pictures, transform, sigma

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int) -> Any:
        picture = self.pictures[row]
        image = Image.open(picture) if isinstance(picture, Path) else Image.fromarray(picture)
        return self.transform(add_noise(image, self.sigma) if self.sigma else image)


def add_noise(image: Image.Image, sigma: float) -> Image.Image:
    """Gaussian noise on [0, 1], another draw every time."""
    pixels = np.asarray(image) / 255.0
    pixels = np.clip(pixels + np.random.normal(0, sigma, pixels.shape), 0, 1)  # noqa: NPY002
    return Image.fromarray((255 * pixels).round().astype(np.uint8))


class Model:
    """A checkpoint in open_clip's module, eager."""

    def __init__(self, request: Request, checkpoint: str) -> None:
        self.request = request
        name = register(request.model)
        self.module, _, self.transform = open_clip.create_model_and_transforms(
            name, pretrained=checkpoint, precision=request.precision
        )
        self.module.eval()
        self.tokenizer = open_clip.get_tokenizer(name)
        self.dtype = torch.bfloat16 if request.precision == "bf16" else torch.float32

    def images(self, pictures: Sequence[Path] | npt.NDArray[np.uint8], sigma: float = 0.0) -> Any:
        """Raw embeddings, float32 tensor `[N, D]`."""
        loader = DataLoader(
            Pictures(pictures, self.transform, sigma),
            batch_size=self.request.batch_size,
            num_workers=self.request.workers,
        )
        return torch.cat([self.encode_batch(batch.to(self.dtype)).float() for batch in loader])

    def encode_batch(self, batch: Any) -> Any:
        """Raw embeddings of one batch."""
        return self.module.encode_image(batch)

    def classifier(self, names: Sequence[str], templates: Sequence[Any]) -> Any:
        """Class weights `[D, K]`, float32."""
        return open_clip.build_zero_shot_classifier(
            self.text_tower, self.tokenizer, names, templates
        ).float()

    @property
    def text_tower(self) -> Any:
        """What has `encode_text`."""
        return self.module


def register(model: str) -> str:
    """open_clip's name of an architecture, after telling open_clip of a JSON config."""
    if model.endswith(".json"):
        open_clip.add_model_config(model)
    return Path(model).stem if model.endswith(".json") else model


def measure(request: Request, make: Callable[[Request, str], Any] = Model) -> list[Numbers]:
    """Scores of each checkpoint.

    Args:
        make: of a request and a checkpoint, what encodes.
    """
    with torch.inference_mode():
        return list(common.each(request, lambda path: measure_one(make(request, path))))


def measure_one(model: Any) -> Numbers:
    """All tasks of one checkpoint."""
    request: Request = model.request
    numbers: Numbers = {}
    if request.tid:
        quality = common.read_tid(request.tid)
        references, distorted = model.images(quality.references), model.images(quality.distorted)
        paired = references[torch.tensor(quality.reference_of)]
        numbers |= common.correlations(paired, distorted, quality.scores)
        if request.diagnostics:
            numbers |= common.diagnostics(references, torch.cat([references, distorted]))
    if request.cue:
        files, classes = common.read_cue(request.cue)
        weights = model.classifier(classes, open_clip.OPENAI_IMAGENET_TEMPLATES)
        decided = similarities(model.images(files), weights).argmax(dim=1)
        numbers |= common.shape_bias([classes[row] for row in decided], files)
    if request.cifar:
        pictures, labels, classes = common.read_cifar(request.cifar)
        weights = model.classifier(classes, CIFAR_TEMPLATES)
        for sigma in (0.0, *request.sigmas):
            found = similarities(model.images(pictures, sigma), weights)
            condition = f"noise {sigma:g}" if sigma else "clean"
            numbers |= common.accuracy(found, labels, condition)
    return numbers


def similarities(embeddings: Any, weights: Any) -> Any:
    """Cosines `[N, K]`."""
    return torch.nn.functional.normalize(embeddings, dim=-1) @ weights
