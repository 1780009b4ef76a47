"""The documented snippets run as they stand, and find what the table says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from shared_data import ROOT

from fastclip.exports.run import export

SNIPPETS = ROOT / "docs" / "snippets"


def has_lme4() -> bool:
    if shutil.which("Rscript") is None:
        return False
    asked = ["Rscript", "-e", 'quit(status = !requireNamespace("lme4", quietly = TRUE))']
    return subprocess.run(asked, capture_output=True).returncode == 0


def run_snippet(swept: Path, tmp_path: Path, program: str, name: str, suffix: str) -> str:
    files = [tmp_path / f"items-{task}{suffix}" for task in ("shape-bias", "iqa")]
    for file, task in zip(files, ("shape-bias", "iqa"), strict=True):
        export(swept, "items", file, task=task)
    found = subprocess.run(
        [program, str(SNIPPETS / name), *map(str, files)], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def within_reference(rows: pd.DataFrame) -> list[float]:
    chosen = rows[(rows["subset"] == "within-reference") & (rows["distance"] == "cosine")]
    return chosen.loc[chosen["metric"] == "srcc", "value"].tolist()


def last_numbers(text: str, pattern: str) -> list[float]:
    return [float(line.split()[-1]) for line in text.splitlines() if re.search(pattern, line)]


def test_pandas(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    printed = run_snippet(swept, tmp_path, sys.executable, "items.py", ".parquet")
    first, second = printed.split("changed their decision")
    whole = rows[(rows["metric"] == "shape_bias") & rows["category"].isna()]
    biases = [float(line.split()[-2]) for line in first.splitlines() if "epoch_" in line]
    assert biases == pytest.approx(whole["value"].dropna().tolist(), abs=1e-5)
    assert last_numbers(second, "epoch_") == pytest.approx(within_reference(rows), abs=1e-5)


@pytest.mark.skipif(not has_lme4(), reason="needs Rscript with lme4")
def test_r(swept: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    printed = run_snippet(swept, tmp_path, "Rscript", "items.R", ".csv")
    assert re.search(r"doublings +-?\d", printed)
    assert "texture_exemplar" in printed
    assert re.search(r"log2\(samples_seen\) +-?\d", printed)
    assert last_numbers(printed, r"epoch_\d") == pytest.approx(within_reference(rows), abs=1e-5)


@pytest.mark.parametrize("name", ["items.py", "items.R"])
def test_the_document_shows_them(name: str) -> None:
    assert (SNIPPETS / name).read_text() in (ROOT / "docs" / "exports.md").read_text()
