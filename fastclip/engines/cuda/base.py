"""What every engine on CUDA is: where its tensors lie, and how rows get in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastclip.engines.base import Engine, Shapes, pad_rows
from fastclip.engines.cuda.device import describe_device
from fastclip.engines.cuda.weights import upload


class CudaEngine(Engine):
    """An engine whose weights, pictures and embeddings are torch tensors on a CUDA device.

    fp16 is the default precision: it was seen to agree with fp32 where bf16 did not (SRCC off by
    .015 on an early checkpoint). float16 ends at 65504: `load` refuses a weight beyond it; an
    activation beyond it shows as NaN or infinity, which the canary and the evaluators refuse.
    Such a checkpoint is measured with `--precision bf16` into an output folder of its own. fp32
    is without TF32.
    """

    precisions = ("fp16", "bf16", "fp32")
    devices = ("cuda",)
    # 512 pictures of ViT-B-32 are 25,600 tokens: five waves of 128 x 256 tiles on 132
    # multiprocessors for the narrowest product, 14 to 19 for the others. 1024 would fill the
    # waves no better, and padding of each view's last batch would cost 5 % of the standard
    # views' 24,305 pictures instead of 3 %. 256 prompts of 16 tokens are 4,096 tokens.
    default_shapes = Shapes(image_batch=512, text_batch=256)

    def upload(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        return upload(tensors, torch.device(self.device))

    def fetch(self, *outputs: Tensor) -> npt.NDArray[np.float32]:
        embeddings: npt.NDArray[np.float32] = torch.cat(outputs).cpu().numpy()
        return embeddings

    def describe(self) -> dict[str, str]:
        # torch is named because CUDA's libraries are those it loaded.
        return super().describe() | {"torch": str(torch.__version__)} | describe_device(self.device)


def copy_rows(rows: npt.NDArray[Any], out: Tensor) -> None:
    """Copy host rows into `out` on its device, the last row again where there are too few."""
    padded = torch.from_numpy(pad_rows(rows, len(out)))
    # From pageable memory the copy would wait for all that is queued on the device.
    out.copy_(padded.pin_memory() if out.is_cuda else padded, non_blocking=True)
