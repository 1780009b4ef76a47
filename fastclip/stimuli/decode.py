"""Encoded pictures to RGB, exactly as `PIL.Image.open(...).convert("RGB")` has it."""

from __future__ import annotations

import io

import numpy as np

from fastclip.errors import DataError
from fastclip.stimuli.base import UInt8Array


def decode_rgb(encoded: bytes, name: str) -> UInt8Array:
    """Decode a picture file to RGB.

    EXIF orientation is not applied, as in CLIP's own preprocessing. Grey, palette, CMYK, RGBA
    (alpha dropped) and 16-bit pictures become RGB as Pillow's `convert` does it. The first frame
    of an animation is taken.

    Args:
        encoded: the file's bytes.
        name: the file's path, for the error message.

    Returns:
        uint8 `[height, width, 3]`, C-contiguous.

    Raises:
        DataError: truncated, corrupt, or no picture; names it.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            rgb = image if image.mode == "RGB" else image.convert("RGB")
            return np.ascontiguousarray(rgb, dtype=np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # on corrupt bytes Pillow's decoders raise whatever they hit
        raise DataError(
            f"a picture cannot be decoded: {error or type(error).__name__}",
            where=name,
            mend="fetch it again, or leave such pictures out with --skip-bad-pictures",
        ) from error


def stored_mode(encoded: bytes) -> str:
    """Pillow's mode of the stored picture ("RGB", "L", "P", "RGBA", ...); decodes nothing.

    open_clip resizes in this mode and converts after; fastclip converts first. For any mode but
    "RGB" that is a deviation, which the sweep counts.

    Args:
        encoded: a picture file that can be decoded.
    """
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        return image.mode
