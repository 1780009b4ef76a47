"""Engines: compiled towers whose weights are swapped per checkpoint."""

from __future__ import annotations

from fastclip.engines.base import Engine
from fastclip.registry import Registry

ENGINES: Registry[type[Engine]] = Registry(
    "engine",
    {
        "onnxruntime": "fastclip.engines.onnxruntime_engine:OnnxRuntimeEngine",
        "openvino": "fastclip.engines.openvino_engine:OpenVinoEngine",
        "torch": "fastclip.engines.torch_engine:TorchEngine",
        "torch-cuda": "fastclip.engines.torch_cuda_engine:TorchCudaEngine",
        "torch-cuda-compiled": (
            "fastclip.engines.torch_cuda_compiled_engine:TorchCudaCompiledEngine"
        ),
        "onnxruntime-cuda": "fastclip.engines.onnxruntime_cuda_engine:OnnxRuntimeCudaEngine",
        "tensorrt": "fastclip.engines.tensorrt.engine:TensorRTEngine",
    },
)

CANDIDATES = {
    "cpu": ("onnxruntime", "openvino", "torch"),
    "cuda": ("torch-cuda", "torch-cuda-compiled", "onnxruntime-cuda", "tensorrt"),
}
"""What `--engine auto` chooses from, by kind of device, in order of preference."""


def engine_name(name: str, device: str) -> str:
    """The engine that `name` means on a device: "torch" on "cuda" is "torch-cuda"."""
    kin = f"{name}-{device.split(':')[0]}"
    return kin if kin in ENGINES else name
