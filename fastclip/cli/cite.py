"""`fastclip cite OUT`: what to cite, and a methods paragraph."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="cite")
@click.argument("out", type=click.Path(path_type=Path))
def command(out: Path) -> int:
    """Print a methods paragraph and BibTeX for the sweep in OUT."""
    from fastclip.results.cite import bibliography, methods

    click.echo(methods(out))
    click.echo()
    click.echo(bibliography(out))
    return 0
