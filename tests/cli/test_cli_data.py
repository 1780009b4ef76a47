"""`fastclip data`, as typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from make_sets import make_cue_conflict, make_tid2013

from fastclip.cli.data import command
from fastclip.errors import UsageError


def run(*arguments: str | Path, text: str | None = None) -> tuple[int | None, str]:
    """Return value and output, as `fastclip.cli.main` sees them."""
    result = CliRunner().invoke(
        command,
        [str(a) for a in arguments],
        input=text,
        standalone_mode=False,
        catch_exceptions=False,
    )
    return result.return_value, result.output


def test_verify_by_path_and_by_name(tmp_path: Path) -> None:
    make_tid2013(tmp_path / "tid")
    make_cue_conflict(tmp_path / "cue-conflict")
    code, output = run("verify", f"tid2013:toy={tmp_path}/tid")
    assert code == 0
    assert "RGB PSNR with the scores" in output and "cue-conflict" not in output
    code, output = run("verify", "cue-conflict", "--data-dir", tmp_path, "--partial")
    assert code == 0 and "cue-conflict[16/1280]" in output
    code, output = run("verify", "--data-dir", tmp_path, "--data", f"tid2013:toy={tmp_path}/tid")
    assert code == 3 and "cue-conflict' is incomplete" in output and "PSNR" in output


def test_verify_names_the_bad_picture(tmp_path: Path) -> None:
    root = make_cue_conflict(tmp_path / "cue")
    (root / "bird" / "bird1-bear1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, output = run("verify", f"cue-conflict:toy={root}")
    assert code == 3 and "BAD 1 picture cannot be decoded: bird/bird1-bear1.png" in output


def test_verify_own_table_needs_polarity(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    root = make_tid2013(tmp_path / "set")
    files = [
        f"{root}/reference_images/I01.BMP,{root}/distorted_images/i01_01_{n}.bmp,{n}"
        for n in (1, 2, 3)
    ]
    table.write_text("\n".join(["reference,distorted,score", *files]))
    with pytest.raises(UsageError, match="high score"):
        run("verify", f"iqa:mine={table}")
    code, output = run("verify", f"iqa:mine={table}", "--lower-is-better")
    assert code == 0 and "SRCC 1.0000" in output and "lower is better" in output
    _, output = run("verify", f"iqa:mine={table}", "--higher-is-better")
    assert "SRCC -1.0000" in output


def test_verify_unknown_set(tmp_path: Path) -> None:
    (tmp_path / "tid2013").mkdir()
    with pytest.raises(UsageError, match="no data set 'kadid10k' here") as caught:
        run("verify", "kadid10k", "--data-dir", tmp_path)
    assert "sets found: tid2013" in str(caught.value)
    with pytest.raises(UsageError, match="no data set found"):
        run("verify")


def test_prepare_shows_the_licence_and_takes_no_for_an_answer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has not been accepted"):
        run("prepare", "cue-conflict", "--data-dir", tmp_path / "d", text="n\n")
    assert not (tmp_path / "d").exists()
    result = CliRunner().invoke(command, ["prepare", "cifar100"], input="n\n")
    assert "no formal licence" in result.output and "Do you accept this licence?" in result.output


def test_exit_codes_of_the_program(tmp_path: Path) -> None:
    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from fastclip.cli import main; main()", "data", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    assert program("verify", "tid2013").returncode == 2
    done = program("verify", f"tid2013:toy={tmp_path}")
    assert done.returncode == 3 and "no 'mos_with_names.txt' here" in done.stdout
    assert program("prepare", "imagenet").returncode == 2
