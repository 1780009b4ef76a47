"""Making a view's pictures with DALI, batch by batch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from fastclip.errors import DataError, RefusalError
from fastclip.stimuli.base import Int64Array, Pixels, UInt8Array
from fastclip.stimuli.dali.pipelines import Plan
from fastclip.stimuli.dali.runner import Runner, reason
from fastclip.stimuli.maker import Maker
from fastclip.stimuli.manifest import in_order
from fastclip.stimuli.pixels import Geometry, geometry, preprocess


class DaliMaker(Maker):
    """Makes pictures of a view in batches, on the CPU or on a GPU.

    Args:
        plan: of the pipeline that decodes, and distorts and resizes where `plan` says so; what it
            leaves out is done to its pictures.
        *arguments: as for `Maker`.
    """

    def __init__(self, plan: Plan, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.plan = plan
        self._runner = Runner(plan)

    def pictures(self, rows: Sequence[int]) -> Iterator[UInt8Array]:
        """See `Maker.pictures`."""
        remaining = iter(rows)
        batches = iter(lambda: list(islice(remaining, self.plan.batch)), [])
        # Two at a time: the next files are read while this batch is decoded.
        for batch in in_order(self.batch, batches, 2):
            yield from batch if self.plan.gpu is None else batch.cpu().numpy()

    def batch(self, rows: Sequence[int]) -> Any:
        """See `Maker.batch`; with a GPU, a tensor there, queued on the caller's current stream."""
        most = self.plan.batch
        parts = [self._part(rows[lo : lo + most]) for lo in range(0, len(rows), most)]
        if self.plan.gpu is None:
            return np.concatenate(parts)
        import torch

        return torch.cat(parts)

    def generated(self, index: Int64Array, shape: tuple[int, ...]) -> Pixels:
        """See `Maker.generated`."""
        if self.plan.gpu is None:
            return super().generated(index, shape)
        import torch

        from fastclip.stimuli.dali.streaming import StreamedPixels

        return StreamedPixels(self.batch, index, shape, torch.device("cuda", self.plan.gpu))

    def _part(self, rows: Sequence[int]) -> Any:
        keys = self.manifest.keys[list(rows)]
        made = self._resized(rows, keys) if self._clean is None else self._from_clean(rows)
        distortion = self.request.distortion
        if distortion is not None and self.request.noise_at == "input":
            made = distortion.apply(made, keys, self.threads)
        return made

    def _from_clean(self, rows: Sequence[int]) -> Any:
        assert self._clean is not None
        pixels, places = self._clean.pixels, self._clean.index[list(rows)].tolist()
        clean = np.concatenate([pixels[place : place + 1] for place in places])
        if self.plan.gpu is None:
            return clean
        import torch

        return torch.from_numpy(clean).to(torch.device("cuda", self.plan.gpu))

    def decoded(self, rows: Sequence[int]) -> list[Any]:
        """What one run of the pipeline yields: uint8 `[h, w, 3]` each, arrays or GPU tensors.

        Args:
            rows: at most a batch of them.

        Raises:
            DataError: one cannot be decoded; names it.
        """
        encoded = list(in_order(self._encoded, rows, self.threads))
        pictures = self._run(rows, self._feeds(rows, encoded))
        self._counters.add(decoded=len(rows))
        return pictures

    def _resized(self, rows: Sequence[int], keys: npt.NDArray[np.uint64]) -> Any:
        pictures = self.decoded(rows)
        if self.plan.resize is not None:
            return self._stacked(pictures)
        native = self.request.distortion if self.request.noise_at == "native" else None
        if native is not None and self.plan.distortion is None:
            pictures = [
                native.apply(picture[None], keys[i : i + 1], self.threads)[0]
                for i, picture in enumerate(pictures)
            ]
        for row, picture in zip(rows, pictures, strict=True):
            self._geometry(row, *picture.shape[:2])
        return preprocess(pictures, self.request.pixels, self.threads)

    def _run(self, rows: Sequence[int], feeds: dict[str, Any]) -> list[Any]:
        """Run the pipeline; where it fails, find out why.

        Raises:
            DataError: it cannot decode a picture; names the first.
            RefusalError: it fails on a batch of which it can decode every picture alone.
        """
        try:
            return self._runner.run(**feeds)
        except RuntimeError as error:
            for place, row in enumerate(rows):
                try:
                    self._runner.run(**{k: feed[place : place + 1] for k, feed in feeds.items()})
                except RuntimeError as own:
                    raise DataError(
                        f"DALI cannot decode a picture: {reason(own)}",
                        where=self._source.stat(row)[0],
                        mend="fetch it again, or try --decoder pillow, which knows more formats",
                    ) from own
            raise RefusalError(
                f"DALI failed on {len(rows)} pictures, each of which it can decode alone: "
                f"{reason(error)}",
                mend="give it fewer threads (--workers), or use --decoder pillow",
            ) from error

    def _feeds(self, rows: Sequence[int], encoded: Sequence[bytes]) -> dict[str, Any]:
        if self.plan.raw:
            decode = self._source.decode
            pictures = [decode(row, data) for row, data in zip(rows, encoded, strict=True)]
            shapes = [picture.shape[:2] for picture in pictures]
        else:
            pictures = [np.frombuffer(data, np.uint8) for data in encoded]
            shapes = [_size(data) for data in encoded] if self.plan.resize is not None else []
        feeds: dict[str, Any] = {"pictures": pictures}
        if self.plan.distortion is not None:
            feeds["keys"] = self.manifest.keys[list(rows)]
        if self.plan.resize is not None:
            places = [self._geometry(row, *shape) for row, shape in zip(rows, shapes, strict=True)]
            sizes = [
                (h, p.width, p.height, p.width) for (h, _), p in zip(shapes, places, strict=True)
            ]
            feeds["sizes"] = np.array(sizes, np.float32)
            feeds["corners"] = np.array([(p.top, p.left) for p in places], np.int32)
        return feeds

    def _geometry(self, row: int, height: int, width: int) -> Geometry:
        try:
            return geometry(height, width, self.request.pixels)
        except DataError as error:
            raise DataError(error.what, where=self._source.name(row), mend=error.mend) from error

    def _stacked(self, pictures: Sequence[Any]) -> Any:
        if self.plan.gpu is None:
            return np.stack(pictures)
        import torch

        return torch.stack(tuple(pictures))


def _size(encoded: bytes) -> tuple[int, int]:
    """Height and width as the file's head has them; decodes nothing."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.height, image.width
    except Exception:  # the pipeline will say what is wrong, and of which picture
        return 1, 1
