"""Train a tiny CLIP on the toy world, with open_clip's own model, loss and schedule."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastclip.demo import world
from fastclip.files import atomic_path, write_atomic

if TYPE_CHECKING:
    import torch

ARCHITECTURE = "toy-clip"
RUN = "toy"

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    # open_clip's residual network: it learns shapes and textures from few pictures.
    "vision_cfg": {
        "image_size": 32,
        "layers": [1, 1, 1, 1],
        "width": 12,
        "head_width": 64,
        "patch_size": None,
    },
    # The width keeps a checkpoint small: 49,408 token vectors are nearly all of its weights.
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 24,
        "heads": 2,
        "layers": 1,
    },
}


@dataclass(frozen=True)
class Training:
    """The settings of a training run; equal settings give the same run on one machine.

    Attributes:
        pictures: distinct training pictures; one pass over them is an epoch.
        steps, batch_size: updates, and picture-caption pairs in each.
        lr, wd, warmup: of AdamW and its cosine schedule, as in open_clip's training.
        checkpoints: about how many are saved, step 0 and the last among them.
    """

    seed: int = 0
    pictures: int = 8192
    steps: int = 384
    batch_size: int = 128
    lr: float = 2e-3
    wd: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-6
    warmup: int = 30
    checkpoints: int = 24


def checkpoint_steps(last: int, count: int) -> tuple[int, ...]:
    """Steps to save after: 0, then log-spaced over the first sixth, then linear to `last`."""
    early = np.geomspace(1, max(last / 6, 1), count // 2 - 1)
    late = np.linspace(max(last / 6, 1), last, count - len(early))
    return tuple(
        sorted({0, *np.rint(early).astype(int).tolist(), *np.rint(late).astype(int).tolist()})
    )


def checkpoint_paths(folder: Path, training: Training) -> tuple[Path, ...]:
    """The files that `train` leaves, in the order of training."""
    steps = checkpoint_steps(training.steps, training.checkpoints)
    return tuple(folder / "checkpoints" / f"step_{step:04d}.pt" for step in steps)


def train(
    folder: Path,
    training: Training,
    *,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> tuple[Path, ...]:
    """Draw the pictures, train, and save checkpoints as open_clip's training does.

    Writes `folder/checkpoints/step_XXXX.pt` (`epoch`, `global_step`, `samples_seen`, `name`,
    `state_dict`; `optimizer` in the last one only, it is two thirds of a file), `params.txt` and
    the model's config.

    Args:
        report: called after every step with its number and loss.

    Returns:
        The checkpoints, in the order of training.
    """
    import torch
    from open_clip import CLIP, ClipLoss
    from open_clip_train.scheduler import cosine_lr  # type: ignore[import-untyped]

    pictures, tokens = training_data(training)
    write_run(folder, training)
    previous = torch.get_num_threads()
    # More threads than one only wait for each other in a model this small, and the weights
    # would depend on their number.
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        model = CLIP(**MODEL_CONFIG, output_dict=True).train()
    optimizer = make_optimizer(model, training)
    adjust_rate = cosine_lr(optimizer, training.lr, training.warmup, training.steps)
    loss_of = ClipLoss()
    order = batches(training)
    wanted = checkpoint_steps(training.steps, training.checkpoints)
    save(folder, training, model, 0)
    try:
        for step in range(training.steps):
            rows = torch.from_numpy(next(order))
            adjust_rate(step)
            optimizer.zero_grad()
            outputs = model(normalise(pictures[rows]), tokens[rows])
            loss = loss_of(**outputs)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                # open_clip's training keeps the logit scale at 100 or below, too.
                model.logit_scale.clamp_(0, np.log(100))
            report(step + 1, float(loss.detach()))
            if step + 1 in wanted:
                last = optimizer if step + 1 == training.steps else None
                save(folder, training, model, step + 1, last)
    finally:
        torch.set_num_threads(previous)
    return checkpoint_paths(folder, training)


def training_data(training: Training) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures uint8 `[N, 3, 32, 32]` and token ids int64 `[N, 16]` of their captions."""
    import torch
    from open_clip import SimpleTokenizer

    rng = np.random.default_rng([training.seed, 0])
    labels = rng.integers(0, len(world.CLASSES), training.pictures)
    scenes = world.everyday(rng, labels)
    size = MODEL_CONFIG["vision_cfg"]["image_size"]
    pictures = world.draw(scenes, (size, size))
    tokenizer = SimpleTokenizer(context_length=MODEL_CONFIG["text_cfg"]["context_length"])
    tokens = tokenizer(world.caption(scenes, rng))
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), tokens


def batches(training: Training) -> Any:
    """Rows of each batch: every epoch in another order, a short last batch left out."""
    rng = np.random.default_rng([training.seed, 1])
    whole = training.pictures - training.pictures % training.batch_size
    while True:
        order = rng.permutation(training.pictures)[:whole]
        yield from order.reshape(-1, training.batch_size)


def normalise(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 `[B, 3, H, W]` to the tower's float32 input, with open_clip's mean and std."""
    import torch
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean = torch.tensor(OPENAI_DATASET_MEAN).view(3, 1, 1)
    std = torch.tensor(OPENAI_DATASET_STD).view(3, 1, 1)
    return (pictures.float() / 255 - mean) / std


def make_optimizer(model: torch.nn.Module, training: Training) -> torch.optim.Optimizer:
    """AdamW with open_clip's two groups: gains, biases and the logit scale do not decay."""
    import torch

    gains: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias"))
        (gains if plain else rest).append(parameter)
    return torch.optim.AdamW(
        [{"params": gains, "weight_decay": 0.0}, {"params": rest, "weight_decay": training.wd}],
        lr=training.lr,
        betas=(training.beta1, training.beta2),
        eps=training.eps,
        fused=True,
    )


def save(
    folder: Path,
    training: Training,
    model: torch.nn.Module,
    step: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Save a checkpoint in open_clip's own format; half-written files are never seen."""
    import torch

    samples = step * training.batch_size
    checkpoint: dict[str, Any] = {
        "epoch": samples // training.pictures,
        "global_step": step,
        "samples_seen": samples,
        "name": RUN,
        "state_dict": model.state_dict(),
    }
    if optimizer is not None:
        checkpoint["optimizer"] = optimizer.state_dict()
    path = folder / "checkpoints" / f"step_{step:04d}.pt"
    with atomic_path(path) as temporary:
        torch.save(checkpoint, temporary)


def write_run(folder: Path, training: Training) -> None:
    """`params.txt` as open_clip's training writes it, and beside it the model's JSON config."""
    params: dict[str, Any] = {
        **{key: value for key, value in asdict(training).items() if key != "pictures"},
        "model": ARCHITECTURE,
        "name": RUN,
        "precision": "fp32",
        "pretrained": "",
        "opt": "adamw",
        "lr_scheduler": "cosine",
        "epochs": training.steps * training.batch_size // training.pictures,
        "train_num_samples": training.pictures,
        "world_size": 1,
        "accum_freq": 1,
        "force_quick_gelu": False,
        "image_interpolation": None,
        "image_mean": None,
        "image_resize_mode": None,
        "image_std": None,
    }
    text = "".join(f"{key}: {params[key]}\n" for key in sorted(params))
    config = json.dumps(MODEL_CONFIG, indent=1) + "\n"
    write_atomic(folder / "params.txt", text.encode())
    write_atomic(folder / f"{ARCHITECTURE}.json", config.encode())
