"""Noise: the same bytes however it is computed, and the right moments."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fastclip import _kernels

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
KINDS = {
    "gaussian": {"scale": 25.5},
    "speckle": {"scale": 0.2},
    "uniform": {"scale": 51.0},
    "impulse": {"threshold": 2**28},
    "shot": {},
}


@pytest.fixture(scope="module")
def pictures() -> npt.NDArray[np.uint8]:
    """64 pictures whose size is no multiple of a vector."""
    return np.random.default_rng(0).integers(0, 256, (64, 37, 29, 3), np.uint8)


@pytest.fixture(scope="module")
def keys() -> npt.NDArray[np.uint64]:
    return np.random.default_rng(1).integers(0, 2**64, 64, np.uint64)


def draw(kind: str, pictures, keys, **more):  # type: ignore[no-untyped-def]
    out = np.empty_like(pictures)
    table = None
    if kind == "shot":
        table = np.sort(np.random.default_rng(2).integers(0, 2**31, (256, 255), np.uint32), axis=1)
    _kernels.noise(kind, pictures, out, keys, 7, 0, table=table, **KINDS[kind], **more)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_same_bytes_for_batches_threads_and_instruction_sets(kind, pictures, keys) -> None:  # type: ignore[no-untyped-def]
    whole = draw(kind, pictures, keys, threads=1)
    for size in (1, 7, 64):
        parts = [draw(kind, pictures[i : i + size], keys[i : i + size]) for i in range(0, 64, size)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(draw(kind, pictures, keys, threads=2), whole)
    for isa in _kernels.instruction_sets():
        assert np.array_equal(draw(kind, pictures, keys, isa=isa), whole)
    assert not np.array_equal(whole, pictures)
    assert not np.array_equal(draw(kind, pictures, keys[::-1].copy()), whole)


def test_one_big_picture_is_split_over_threads_without_a_trace() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (1, 300, 211, 3), np.uint8)
    key = np.array([5], np.uint64)
    one, four = (draw("gaussian", picture, key, threads=n) for n in (1, 4))
    assert np.array_equal(one, four)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_same_bytes_for_compilers_optimisation_and_contraction_off(tmp_path: Path) -> None:
    """The loops built apart, at -O0 and for a processor with fused multiply-add."""
    program = tmp_path / "program.cpp"
    program.write_text(
        '#include "loops.cpp"\n#include <cstdio>\n#include <initializer_list>\n'
        "int main() { using namespace fastclip; static unsigned char in[3001], out[3001];\n"
        "for (int i = 0; i < 3001; ++i) in[i] = i * 37;\n"
        "for (auto kind : {Kind::gaussian, Kind::speckle, Kind::uniform, Kind::impulse}) {\n"
        "Level level; level.scale = kind == Kind::speckle ? 0.2f : 25.5f;\n"
        "level.threshold = 1u << 28;\n"
        "loops_t.noise(kind, level, 7, 123456789, 0, 0, 3001, in, out);\n"
        "fwrite(out, 1, 3001, stdout); } }\n"
    )
    pictures = (np.arange(3001) * 37).astype(np.uint8).reshape(1, 1, 3001, 1)
    key = np.array([123456789], np.uint64)
    expected = b"".join(
        draw(kind, pictures, key).tobytes()
        if kind != "uniform"
        else _uniform(pictures, key).tobytes()
        for kind in ("gaussian", "speckle", "uniform", "impulse")
    )
    variants = ["-O0"]
    if "x86_64_v3" in _kernels.instruction_sets():
        variants.append("-O3 -march=x86-64-v3 -ffp-contract=off")
    for flags in variants:
        built = tmp_path / "program"
        subprocess.run(
            [
                "g++",
                "-std=c++17",
                *flags.split(),
                "-DFASTCLIP_ISA=t",
                f"-I{KERNELS}",
                str(program),
                "-o",
                str(built),
            ],
            check=True,
        )
        assert subprocess.run([built], check=True, capture_output=True).stdout == expected, flags


def _uniform(pictures, key):  # type: ignore[no-untyped-def]
    out = np.empty_like(pictures)
    _kernels.noise("uniform", pictures, out, key, 7, 0, 25.5)
    return out


def test_cuda_is_reported_and_never_fails_the_import() -> None:
    count, reason = _kernels.cuda_devices()
    assert isinstance(_kernels.built_with_cuda, bool)
    assert count > 0 or reason


def test_wrong_arguments_are_refused(pictures, keys) -> None:  # type: ignore[no-untyped-def]
    out = np.empty_like(pictures)
    with pytest.raises(ValueError, match="one key"):
        _kernels.noise("gaussian", pictures, out, keys[:3], 0, 0)
    with pytest.raises(ValueError, match="needs its table"):
        _kernels.noise("shot", pictures, out, keys, 0, 0)
    with pytest.raises(ValueError, match="unknown kind"):
        _kernels.noise("pink", pictures, out, keys, 0, 0)
