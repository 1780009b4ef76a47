"""Find checkpoints, order them, and read only the tensors that are needed, safely."""

from __future__ import annotations

from fastclip.checkpoints.base import Reader
from fastclip.registry import Registry

FORMATS: Registry[type[Reader]] = Registry(
    "checkpoint format",
    {
        "torch": "fastclip.checkpoints.torch_zip:TorchReader",
        "safetensors": "fastclip.checkpoints.safetensors_file:SafetensorsReader",
        "huggingface": "fastclip.checkpoints.huggingface:HuggingFaceReader",
    },
)
