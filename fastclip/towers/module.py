"""open_clip's own module, wrapped: uint8 pictures in, raw embeddings out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fastclip.errors import CheckpointError, EngineError
from fastclip.towers.base import Architecture, Towers
from fastclip.towers.configs import is_dynamic_text, text_pooling, without_text


class ImageTower(nn.Module):
    """Pixel normalisation and open_clip's visual tower: uint8 `[B, H, W, 3]` to `[B, D]`."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, visual: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.visual = visual
        self.register_buffer("pixel_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        # The same three operations, in the same order, as torchvision's ToTensor and Normalize.
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) / 255 - self.pixel_mean) / self.pixel_std
        return _embedding(self.visual(x))


class TextTower(nn.Module):
    """open_clip's text tower: token ids int64 `[B, L]` to `[B, D]`."""

    def __init__(self, text: nn.Module) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids: Tensor) -> Tensor:
        return _embedding(self.text(ids))


class TowerModule(nn.Module):
    """One architecture in fp32 eval mode on the CPU; its weights are whatever was in memory.

    Its state-dict names (`state_names`) are those of open_clip's CustomTextCLIP: text tensors
    start with `text.` also where open_clip itself would build a plain CLIP, because only the
    separate text tower takes prompts shorter than its context.

    Raises:
        EngineError: open_clip cannot build it here (the message says why).
    """

    def __init__(self, architecture: Architecture, *, text: bool = True) -> None:
        super().__init__()
        config = architecture.config
        self.with_text = text
        self.model = build_open_clip(config if text else without_text(config))
        preprocessing = architecture.preprocessing
        self.image_size = (preprocessing.pixels.height, preprocessing.pixels.width)
        self.embed_dim = int(config["embed_dim"])
        self.context_length = int(config["text_cfg"].get("context_length", 77))
        self.vocab_size = int(config["text_cfg"].get("vocab_size", 49408))
        self.pools_at_eot = text_pooling(config) in ("argmax", "eos")
        self.eot_id = (
            int(config["text_cfg"].get("eos_id", 2))
            if text_pooling(config) == "eos"
            else self.vocab_size - 1
        )
        self.dynamic_text = is_dynamic_text(config)
        self.image = ImageTower(self.model.visual, preprocessing.mean, preprocessing.std)
        self.text = TextTower(self.model.text)
        if text and self.dynamic_text:
            self.model.text.transformer.register_forward_pre_hook(_cut_mask, with_kwargs=True)
        self.eval().requires_grad_(False)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Raw embeddings, float32 `[B, D]`, of uint8 `[B, H, W, 3]`."""
        embeddings: Tensor = self.image(pixels)
        return embeddings

    def encode_text(self, ids: Tensor, eot: Tensor | None = None) -> Tensor:
        """Raw embeddings, float32 `[B, D]`, of int64 `[B, L]`.

        `eot` is ignored: open_clip finds the end of text itself, which makes this module the
        reference for graphs that are told.
        """
        embeddings: Tensor = self.text(ids)
        return embeddings

    def state_names(self) -> dict[str, tuple[int, ...]]:
        """`{name: shape}` of every floating tensor that a checkpoint supplies."""
        return floating_states(self.model, with_text=self.with_text)

    def load(self, packed: Mapping[str, Any]) -> None:
        """Take float32 arrays or torch tensors by `state_names` name, without a copy.

        The caller must not change the arrays as long as the module uses them.

        Raises:
            EngineError: a name is missing or unexpected.
        """
        names = self.state_names()
        # No tower takes the logit scale and bias, and not every checkpoint has them.
        heads = {"logit_scale", "logit_bias"}
        wrong = sorted((names.keys() ^ packed.keys()) - heads)
        if wrong:
            raise EngineError(
                f"{len(wrong)} packed tensors are missing or unexpected: {', '.join(wrong[:5])}",
                mend="pack with the module manifest of the same architecture",
            )
        state = {name: as_tensor(packed[name]) for name in names.keys() & packed.keys()}
        try:
            self.model.load_state_dict(state, strict=False, assign=True)
        except RuntimeError as error:
            raise CheckpointError(f"weights do not fit the module: {error}") from error
        self.requires_grad_(False)

    def forget(self) -> None:
        """Let the weights go: views of one zero take their place until the next `load`."""
        zero = torch.zeros((), device=next(self.parameters()).device)
        nothing = {name: zero.expand(shape) for name, shape in self.state_names().items()}
        self.model.load_state_dict(nothing, strict=False, assign=True)


def build_open_clip(config: Mapping[str, Any]) -> Any:
    """open_clip's module for a model config, weights not initialised, nothing downloaded.

    Raises:
        EngineError: open_clip or timm refuses the config, or it needs files of the hub.
    """
    from open_clip.coca_model import CoCa
    from open_clip.model import CustomTextCLIP

    settings = copy.deepcopy(dict(config))
    settings.pop("custom_text", None)
    forced_size = settings.pop("force_image_size", None)
    if settings["vision_cfg"].get("timm_model_name"):
        settings["vision_cfg"]["timm_model_pretrained"] = False
    if settings["text_cfg"].get("hf_model_name"):
        settings["text_cfg"]["hf_model_pretrained"] = False
    kind = CoCa if "multimodal_cfg" in settings else CustomTextCLIP
    try:
        with _Uninitialised():
            model = kind(**settings)
        if forced_size is not None:
            model.visual.set_input_size(forced_size)
        return model
    except Exception as error:
        raise EngineError(
            f"open_clip cannot build this architecture: {type(error).__name__}: {error}",
            mend="check the model config; text towers of Hugging Face models need their "
            "config.json in the local hub cache",
        ) from error


class _Uninitialised(TorchFunctionMode):
    """Leaves out what `torch.nn.init` would draw: most of the time a module takes to be made."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def floating_states(model: nn.Module, *, with_text: bool) -> dict[str, tuple[int, ...]]:
    """`{name: shape}` of the towers' floating tensors, logit scale and bias among them.

    CoCa's caption decoder is no part of either tower.
    """
    left_out = ("text_decoder.",) if with_text else ("text_decoder.", "text.")
    return {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not name.startswith(left_out)
    }


def _cut_mask(
    module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    """open_clip cuts the positional embedding to the batch's length, but not the causal mask."""
    length = args[0].shape[1]
    return args, {**kwargs, "attn_mask": kwargs["attn_mask"][:length, :length]}


def _embedding(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Towers with `output_tokens` return (embedding, tokens)."""
    return output[0] if isinstance(output, tuple) else output


def as_tensor(value: Any) -> Tensor:
    """A numpy array or torch tensor as a torch tensor, sharing its memory."""
    if isinstance(value, Tensor):
        return value
    with warnings.catch_warnings():
        # torch warns of read-only memory, which mapped files are; nothing here writes to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(value).reshape(np.shape(value)))


def build_module(towers: Towers) -> TowerModule:
    """open_clip's own module of these towers, fp32, in eval mode, weights not initialised."""
    with_text = any(name.startswith("text.") for name in towers.module_manifest.recipes)
    return TowerModule(towers.architecture, text=with_text)
