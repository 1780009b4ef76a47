"""What the tests of DALI share: one compiled operator for all of them."""

from __future__ import annotations

from functools import cache as once
from pathlib import Path

import pytest

from fastclip import _kernels
from fastclip.errors import RefusalError
from fastclip.stimuli.dali import build


def cache() -> Path:
    """Where the operator is kept from run to run: it takes a while to compile."""
    return Path(__file__).resolve().parents[1] / "build" / "dali"


def gpus() -> int:
    return _kernels.cuda_devices()[0]


@once
def _problem() -> str:
    """Why the operator cannot be compiled here: no compiler, or no CUDA headers."""
    try:
        build._headers()
    except RefusalError as error:
        return error.what
    return ""


compiled_operator = pytest.mark.skipif(bool(_problem()), reason=_problem() or "-")
