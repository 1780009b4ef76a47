"""Exact savings: work left out that changes no number beyond rounding (1e-6 in fp32)."""

from __future__ import annotations

from collections.abc import Mapping

SAVINGS: Mapping[str, str] = {
    "duplicates": "a reference, and any picture that comes twice, is encoded once",
    "shared-views": "a view that several tasks want is encoded once",
    "prompts": "a prompt that comes twice is encoded once, and none longer than it is",
    "last-block": "the last block computes the one token that is pooled",
    "patch-product": "patches are embedded by one matrix product, pixel normalisation folded in",
    "read-ahead": "the next checkpoint is read, packed and prepared while this one is encoded",
}
"""Name -> what is saved; `fastclip sweep --without NAME` does the work after all."""

ROUNDED = ("prompts", "last-block", "patch-product")
"""Those after which sums are rounded otherwise: at bf16 and int8 that is no longer nothing."""
