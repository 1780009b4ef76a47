"""The CUDA kernels: run by Numba's simulator, compiled for sm_90, and run where there is a GPU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastclip.errors import RefusalError
from fastclip.statistics.batched import METRICS, correlate

pytest.importorskip("numba_cuda")
from numba import cuda, types

from fastclip.statistics.batched import cuda_kernels

needs_gpu = pytest.mark.skipif(not cuda.is_available(), reason="no CUDA device")


def batch():
    """Score vectors with and without ties, groups, and clusters: small enough to simulate."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 5, 11), rng.normal(size=11), np.ones(11)])
    y = rng.integers(0, 6, 11)
    return x, y, [range(11), [1, 3, 5, 7, 8], [0, 1], [4]], rng.integers(0, 6, 11)


def batched(metric, device):
    x, y, groups, clusters = batch()
    count = len(set(clusters))
    parts = [
        correlate(
            metric, x, y, groups, resamples=drawn, clusters=labels, seed=2**40 + 7, device=device
        )
        for labels, drawn in ((None, count), (clusters, count), (clusters, "jackknife"))
    ]
    return np.stack([part.values for part in parts]), np.stack([part.reasons for part in parts])


SIMULATION = """
import sys
import numpy as np
from fastclip.statistics.batched import METRICS, numba_cuda
from test_batched_cuda import batched
numba_cuda.STEPS = 1
np.savez(sys.argv[1], **{metric: batched(metric, "cuda")[0] for metric in METRICS})
"""


def test_simulated_kernels_equal_the_cpus(tmp_path):
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-W", "error", "-c", SIMULATION, str(tmp_path / "simulated.npz")]
    subprocess.run(command, env=environment, check=True)
    simulated = np.load(tmp_path / "simulated.npz")
    for metric in METRICS:
        expected, reasons = batched(metric, "cpu")
        assert np.isfinite(expected).any() and (reasons == "constant").any()
        if metric == "plcc":
            np.testing.assert_allclose(simulated[metric], expected, rtol=0, atol=1e-14)
        else:
            np.testing.assert_array_equal(simulated[metric], expected)


def signatures():
    indices, entries = types.uint32[::1], types.uint32[:, ::1]
    weights, target, sums = types.uint16[:, ::1], types.float64[:, ::1], types.float64[:, :, ::1]
    floats, first = types.float64[::1], types.int32[::1]
    return {
        "draw": (types.uint64, types.uint64, weights, types.int64[::1]),
        "members_drawn": (indices, weights, target),
        "rank_target": (indices, indices, weights, types.int32[:, ::1], target),
        "spearman_sums": (entries, indices, weights, types.int32[:, ::1], sums),
        "centre_target": (floats, indices, weights, target, first, target),
        "pearson_sums": (target, indices, weights, target, first, sums),
        "square_target": (indices, indices, weights, target),
        "kendall_sums": (entries, entries, indices, indices, weights, sums),
    }


def ptxas():
    """nvcc's assembler, or None where it is missing or too old for CUDA 13.0's PTX."""
    found = shutil.which("ptxas") or shutil.which("ptxas", path="/usr/local/cuda/bin")
    if found is None:
        return None
    version = re.search(r"release (\d+)", subprocess.check_output([found, "--version"], text=True))
    return found if version and int(version[1]) >= 13 else None


@pytest.mark.parametrize("name", signatures())
def test_every_kernel_compiles_for_compute_capability_9_0(name, tmp_path):
    kernel = getattr(cuda_kernels, name).py_func
    ptx, _ = cuda.compile(
        kernel, signatures()[name], device=False, abi="numba", cc=(9, 0), output="ptx"
    )
    assert ".target sm_90" in ptx and ".visible .entry" in ptx
    assert ".version 9.0" in ptx  # what drivers for CUDA 13.0 accept
    assembler = ptxas()
    if assembler is not None:
        source = tmp_path / "kernel.ptx"
        source.write_text(ptx)
        command = [assembler, "-arch=sm_90", "-v", str(source), "-o", str(tmp_path / "cubin")]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert "warning" not in report and " 0 bytes spill stores" in report


def test_every_kernel_is_compiled_above():
    kernels = {name for name, value in vars(cuda_kernels).items() if hasattr(value, "py_func")}
    assert kernels - {"_philox"} == set(signatures())


@pytest.mark.skipif(cuda.is_available(), reason="there is a CUDA device")
def test_a_machine_without_a_gpu_is_told_so():
    with pytest.raises(RefusalError, match="no CUDA device") as refused:
        correlate("srcc", [[1, 2]], [1, 2], device="cuda")
    assert refused.value.mend == "take device='cpu'"


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [2, 129, 3000])
def test_a_gpus_coefficients_equal_the_cpus(metric, size):
    rng = np.random.default_rng(size)
    x, y = np.round(rng.normal(size=(40, size)), 2), np.round(rng.normal(size=size), 1)
    groups = [range(size), rng.permutation(size)[: size // 2 + 1]]
    for clusters in (None, np.arange(size) % 25):
        options = {"resamples": 300, "clusters": clusters, "seed": 11}
        on_cpu = correlate(metric, x, y, groups, **options)
        on_gpu = correlate(metric, x, y, groups, device="cuda", **options)
        np.testing.assert_array_equal(on_gpu.reasons, on_cpu.reasons)
        atol = 1e-12 if metric == "plcc" else 0
        np.testing.assert_allclose(on_gpu.values, on_cpu.values, rtol=0, atol=atol)


@pytest.mark.gpu
@needs_gpu
def test_scores_may_lie_on_the_gpu():
    torch = pytest.importorskip("torch")
    x, y, groups, _ = batch()
    on_gpu = correlate(
        "srcc", torch.tensor(x, device="cuda"), torch.tensor(y, device="cuda"), groups
    )
    np.testing.assert_array_equal(on_gpu.values, correlate("srcc", x, y, groups).values)
