"""Telling a file that is still being written from one that never will be whole."""

from __future__ import annotations

import os
import time

CUT_SHORT = "cut short"
_RECENT = 600.0  # seconds without a write after which nobody is writing any more


def unfinished(stat: os.stat_result) -> str:
    """What to say of a file whose end is missing."""
    recent = time.time() - stat.st_mtime < _RECENT
    return "still being written" if recent else f"the file is {CUT_SHORT}"
