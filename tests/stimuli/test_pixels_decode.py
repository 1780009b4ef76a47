"""Decoding against Pillow's own open and convert."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fastclip.errors import DataError
from fastclip.stimuli.decode import decode_rgb, stored_mode


def encode(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_mode_becomes_rgb_as_pillow_converts(mode: str) -> None:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (9, 7), np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).convert(mode)
    encoded = encode(image, "TIFF" if mode == "CMYK" else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    assert np.array_equal(decode_rgb(encoded, "x"), expected)
    assert (stored_mode(encoded) == "RGB") == (mode == "RGB")


def test_exif_orientation_is_not_applied() -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 20, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_rgb(encode(image, "JPEG", exif=exif), "x").shape == (8, 20, 3)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "BMP"])
def test_truncated_pictures_are_named(format_: str) -> None:
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (40, 40, 3), np.uint8))
    encoded = encode(image, format_)
    with pytest.raises(DataError) as caught:
        decode_rgb(encoded[: len(encoded) // 2], "set/picture")
    assert caught.value.where == "set/picture"
    assert caught.value.exit_code == 3


def test_bytes_that_are_no_picture() -> None:
    with pytest.raises(DataError):
        decode_rgb(b"no picture at all", "x")
