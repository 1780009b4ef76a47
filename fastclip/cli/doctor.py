"""`fastclip doctor`: is this machine fit to measure?"""

from __future__ import annotations

import click


@click.command(name="doctor")
def command() -> int:
    """Check packages, native kernels, engines and the cache folder; exit code 3 on trouble."""
    from fastclip.sweeper.doctor import examine

    findings = examine()
    for finding in findings:
        click.echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.subject:22}{finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 3
