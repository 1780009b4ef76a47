"""Decoders by name: what makes a model's input pixels of encoded pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fastclip.registry import Registry
from fastclip.stimuli.base import PIXEL_DEFINITION, View

if TYPE_CHECKING:
    from fastclip.evaluators.base import ViewRequest
    from fastclip.stimuli.maker import Counters, Maker
    from fastclip.stimuli.manifest import Manifest

DEFAULT = "pillow"


class Decoder(ABC):
    """Makes the makers of views.

    Args:
        threads: for reading, decoding and resizing.
        device: where one that uses a GPU finds it ("cuda:1"); others take no notice.
        cache_dir: the cache folder.

    Raises:
        RefusalError: it cannot run here; says why.
    """

    name: ClassVar[str]

    def __init__(self, threads: int, device: str, cache_dir: Path) -> None:
        self.threads = threads

    @property
    @abstractmethod
    def definition(self) -> str:
        """Identity of decode, resize and crop: in every view's key and every protocol."""

    @abstractmethod
    def maker(
        self,
        request: ViewRequest,
        manifest: Manifest,
        counters: Counters,
        open_view: Callable[[ViewRequest], View],
    ) -> Maker:
        """What makes this view's pictures; see `fastclip.stimuli.maker.Maker`."""


class PillowDecoder(Decoder):
    """Pillow and the native kernels, picture by picture: the reference."""

    name = "pillow"
    definition = PIXEL_DEFINITION

    def maker(
        self,
        request: ViewRequest,
        manifest: Manifest,
        counters: Counters,
        open_view: Callable[[ViewRequest], View],
    ) -> Maker:
        """See `Decoder.maker`."""
        from fastclip.stimuli.maker import Maker

        return Maker(request, manifest, counters, open_view, self.threads)


DECODERS: Registry[type[Decoder]] = Registry(
    "decoder",
    {
        "pillow": "fastclip.stimuli.decoders:PillowDecoder",
        "dali": "fastclip.stimuli.dali.decoder:DaliDecoder",
        "dali-mixed": "fastclip.stimuli.dali.decoder:MixedDecoder",
        "dali-resize": "fastclip.stimuli.dali.decoder:ResizingDecoder",
        "dali-mixed-resize": "fastclip.stimuli.dali.decoder:MixedResizingDecoder",
    },
)
"""`pillow` is the reference. `dali` decodes on the CPU, `dali-mixed` JPEG files on the GPU; both
resize with fastclip's kernels, the other two with DALI's own resampling."""
