"""The decoders of DALI: on the CPU or the GPU, resizing with fastclip's kernels or DALI's own."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fastclip.distortions.base import Distortion, KernelDistortion
from fastclip.errors import RefusalError, UsageError
from fastclip.stimuli.base import PIXEL_DEFINITION, View
from fastclip.stimuli.dali import operator
from fastclip.stimuli.decoders import Decoder

if TYPE_CHECKING:
    from fastclip.evaluators.base import ViewRequest
    from fastclip.stimuli.dali.pipelines import Plan
    from fastclip.stimuli.maker import Counters, Maker
    from fastclip.stimuli.manifest import Manifest

BATCH = 64
"""Pictures of one run of a pipeline: their decoded bytes are in memory at the same time."""

RESIZE = PIXEL_DEFINITION.partition("/rgb/")[2]
"""fastclip's own resampling, as the reference's definition has it."""


class DaliDecoder(Decoder):
    """Decodes on the CPU.

    Its pixels were found equal to Pillow's (except of 16-bit grey, which it scales where Pillow
    clips), but another library's decoder defines them: the definition names DALI and its version.
    """

    name = "dali"
    device: ClassVar[str] = "cpu"
    resize: ClassVar[str] = RESIZE

    def __init__(self, threads: int, device: str, cache_dir: Path) -> None:
        super().__init__(threads, device, cache_dir)
        if find_spec("nvidia.dali") is None:
            raise RefusalError(
                f"decoder '{self.name}' needs NVIDIA DALI, which is not installed",
                where="--decoder",
                mend="pip install 'fastclip[dali]', or use --decoder pillow",
            )
        self._cache_dir = cache_dir
        self._gpu = self._find_gpu(device)

    @property
    def definition(self) -> str:
        """See `Decoder.definition`."""
        from nvidia.dali import __version__

        return f"dali-{__version__}-{self.device}/rgb/{self.resize}"

    def maker(
        self,
        request: ViewRequest,
        manifest: Manifest,
        counters: Counters,
        open_view: Callable[[ViewRequest], View],
    ) -> Maker:
        """See `Decoder.maker`.

        Raises:
            UsageError: DALI resizes, and the distortion cannot be drawn before that.
        """
        from fastclip.stimuli.dali.maker import DaliMaker

        plan = self._plan(request)
        return DaliMaker(plan, request, manifest, counters, open_view, self.threads)

    def _find_gpu(self, device: str) -> int | None:
        return None

    def _plan(self, request: ViewRequest) -> Plan:
        from fastclip.stimuli.dali.pipelines import Plan

        native = request.distortion if request.noise_at == "native" else None
        drawn = self._drawn(native)
        resizes = self.resize != RESIZE
        if resizes and native is not None and drawn is None:
            raise UsageError(
                f"decoder '{self.name}' resizes at once and cannot apply {native.kind} before",
                where="--decoder",
                mend=f"use --decoder {self.name.removesuffix('-resize')}, or --noise-at input",
            )
        raw = request.dataset.pictures.raw
        spec = request.pixels if resizes else None
        return Plan(BATCH, self.threads, self._gpu, raw, drawn, spec)

    def _drawn(self, distortion: Distortion | None) -> KernelDistortion | None:
        """The distortion, if the pipeline can draw it; what it yields is distorted otherwise."""
        if not isinstance(distortion, KernelDistortion):
            return None
        try:
            operator.load(self._cache_dir)
        except RefusalError:  # no compiler: the bytes are the same, one copy later
            return None
        return distortion if operator.registered(gpu=self._gpu is not None) else None


class MixedDecoder(DaliDecoder):
    """Decodes JPEG files on the GPU (other formats on the CPU), and stays there.

    nvJPEG is not libjpeg: `fastclip data decoders` shows what it changes.
    """

    name = "dali-mixed"
    device = "mixed"

    def _find_gpu(self, device: str) -> int | None:
        import torch

        index = torch.device(device if device.startswith("cuda") else "cuda").index or 0
        if index >= torch.cuda.device_count():
            raise RefusalError(
                f"decoder '{self.name}' needs a CUDA device, and torch finds "
                f"{torch.cuda.device_count()}",
                where="--decoder",
                mend="use --decoder dali or pillow",
            )
        return index


class ResizingDecoder(DaliDecoder):
    """Decodes on the CPU and resizes with DALI's own resampling."""

    name = "dali-resize"
    resize = "dali-width-then-height/1"


class MixedResizingDecoder(MixedDecoder):
    """Decodes JPEG files on the GPU and resizes there with DALI's own resampling."""

    name = "dali-mixed-resize"
    resize = ResizingDecoder.resize
