"""Distortions by name, thin over the native kernels."""

from __future__ import annotations

from fastclip.distortions.base import Distortion
from fastclip.registry import Registry

DISTORTIONS: Registry[type[Distortion]] = Registry(
    "distortion",
    {
        "gaussian_noise": "fastclip.distortions.noise:GaussianNoise",
        "speckle_noise": "fastclip.distortions.noise:SpeckleNoise",
        "uniform_noise": "fastclip.distortions.noise:UniformNoise",
        "impulse_noise": "fastclip.distortions.noise:ImpulseNoise",
        "shot_noise": "fastclip.distortions.noise:ShotNoise",
        "gaussian_blur": "fastclip.distortions.blur:GaussianBlur",
        "brightness": "fastclip.distortions.colour:Brightness",
        "contrast": "fastclip.distortions.colour:Contrast",
        "saturate": "fastclip.distortions.colour:Saturate",
        "jpeg_compression": "fastclip.distortions.jpeg:JpegCompression",
        "pixelate": "fastclip.distortions.pixelate:Pixelate",
    },
)
