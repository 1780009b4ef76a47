from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from make_run import make_run
from make_sets import make_cifar100, make_cue_conflict, make_tid2013

from fastclip.cli.report import command
from fastclip.errors import UsageError


@pytest.mark.slow
def test_a_sweep_becomes_a_report(tmp_path):
    import fastclip

    data = [
        f"tid2013:tid={make_tid2013(tmp_path / 'tid')}",
        f"cue-conflict:cue={make_cue_conflict(tmp_path / 'cue')}",
        f"cifar100:cifar={make_cifar100(tmp_path / 'cifar')}",
    ]
    out = tmp_path / "out"
    fastclip.sweep(make_run(tmp_path, epochs=2), out, data=data, engine="torch", workers=1)
    said = CliRunner().invoke(
        command, [str(out), "--resamples", "100", "--no-figures"], catch_exceptions=False
    )
    assert f"report: {out / 'report.html'}" in said.output
    page = (out / "report.html").read_text("utf-8")
    sentences = re.search(r'"sentences":\[(.*?)\],"checks"', page)[1]
    assert "on tid" in sentences and "on cue" in sentences and "on cifar" in sentences
    assert "data:image/webp;base64," in page
    assert not (out / "figures").exists()


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(UsageError):
        CliRunner().invoke(command, [str(tmp_path)], catch_exceptions=False)
    assert list(tmp_path.glob("*.html")) == []
