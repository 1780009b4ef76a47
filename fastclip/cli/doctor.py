"""`fastclip doctor`: is this machine fit to measure?"""

from __future__ import annotations

import click

_MARKS = {True: "ok ", False: "BAD", None: "-  "}


@click.command(name="doctor")
def command() -> int:
    """Check packages, native kernels, engines and the cache folder; exit code 3 on trouble."""
    from fastclip.sweeper.doctor import examine

    findings = examine()
    for finding in findings:
        click.echo(f"{_MARKS[finding.ok]}  {finding.subject:28}{finding.detail}")
    return 3 if any(finding.ok is False for finding in findings) else 0
