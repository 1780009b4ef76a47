"""DALI pipelines: the same definitions on the CPU (no driver needed) and with a GPU.

Decoding is set up for libjpeg-turbo's pixels: no rotation by EXIF, chroma interpolated. A GPU's
JPEG decoder of its own takes a share of each batch that depends on the batch, so it is left out:
a picture's pixels must not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastclip.distortions.base import KernelDistortion
from fastclip.stimuli.base import PixelSpec
from fastclip.stimuli.dali.operator import distort


@dataclass(frozen=True)
class Plan:
    """What a pipeline does.

    Attributes:
        batch: most pictures of one run.
        threads: of DALI's own.
        gpu: the device pictures are decoded and distorted on (JPEG by nvJPEG, in what DALI calls
            "mixed"); None for the CPU.
        raw: pictures are fed as pixels `[h, w, 3]`, not as files.
        distortion: drawn at the decoded size by `fn.fastclip.distort`.
        resize: DALI's own resampling to this size; None leaves pictures as they are.
    """

    batch: int
    threads: int
    gpu: int | None = None
    raw: bool = False
    distortion: KernelDistortion | None = None
    resize: PixelSpec | None = None


def fed(plan: Plan) -> Any:
    """A pipeline that is fed each batch by name.

    Feeds: `pictures` (uint8: a file's bytes `[n]` each, or `[h, w, 3]` each with `raw`); `keys`
    (uint64 `[batch]`) where there is a distortion; where DALI resizes, `sizes` (float32
    `[batch, 4]`: height and width after the first pass, then after the second) and `corners`
    (int32 `[batch, 2]`: top and left).

    Returns:
        A `nvidia.dali.Pipeline`, built, whose only output is pictures, uint8 `[h, w, 3]` each.
    """
    from nvidia.dali import fn, types

    pipeline = _pipeline(plan)
    with pipeline:
        layout = {"ndim": 3, "layout": "HWC"} if plan.raw else {"ndim": 1}
        pictures = fn.external_source(name="pictures", dtype=types.UINT8, **layout)
        pipeline.set_outputs(_made(pictures, plan))
    pipeline.build()
    return pipeline


def reading(files: Sequence[str | Path], plan: Plan) -> Any:
    """A pipeline that reads files itself, in order, and begins again at the end.

    The last batch of a pass repeats the last picture until it is full. What `plan` wants
    besides files is fed, as in `fed`.
    """
    from nvidia.dali import fn

    pipeline = _pipeline(plan)
    with pipeline:
        encoded, _ = fn.readers.file(files=[str(f) for f in files], pad_last_batch=True)
        pipeline.set_outputs(_made(encoded, plan))
    pipeline.build()
    return pipeline


def _pipeline(plan: Plan) -> Any:
    from nvidia.dali import Pipeline

    # One run at a time: what reads ahead is fastclip.stimuli.generated, for every decoder alike.
    return Pipeline(plan.batch, plan.threads, plan.gpu, prefetch_queue_depth=1)


def _made(pictures: Any, plan: Plan) -> Any:
    from nvidia.dali import fn, types

    if not plan.raw:
        pictures = fn.decoders.image(
            pictures,
            device="cpu" if plan.gpu is None else "mixed",
            output_type=types.RGB,
            adjust_orientation=False,
            jpeg_fancy_upsampling=True,
            hw_decoder_load=0.0,
            affine=False,  # several processes would tie their threads to the same cores
        )
    elif plan.gpu is not None:
        pictures = pictures.gpu()
    if plan.distortion is not None:
        keys = fn.external_source(name="keys", dtype=types.UINT64, ndim=0)
        pictures = distort(pictures, keys, plan.distortion)
    return pictures if plan.resize is None else _resized(pictures, plan.resize)


def _resized(pictures: Any, spec: PixelSpec) -> Any:
    """DALI's resampling nearest to fastclip's: width first, then height, 8 bits between.

    One call with both sizes would keep floats between; the sizes are explicit because DALI rounds
    them otherwise, and so are the corners, because no rounding of its crop is Python's.
    """
    from nvidia.dali import fn, types

    sizes = fn.external_source(name="sizes", dtype=types.FLOAT, ndim=1)
    corners = fn.external_source(name="corners", dtype=types.INT32, ndim=1)
    bicubic = spec.interpolation == "bicubic"
    how = {
        "interp_type": types.INTERP_CUBIC if bicubic else types.INTERP_LINEAR,
        "antialias": True,
        "subpixel_scale": False,
    }
    pictures = fn.resize(pictures, size=sizes[0:2], **how)
    pictures = fn.resize(pictures, size=sizes[2:4], **how)
    return fn.slice(
        pictures,
        start=corners,
        shape=[spec.height, spec.width],
        axes=[0, 1],
        out_of_bounds_policy="pad",
        fill_values=float(spec.fill if spec.resize_mode == "longest" else 0),
    )
