"""The report: one HTML file that needs nothing else, and the figures as files."""

from __future__ import annotations

import html
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastclip.analysis.base import Analysis
from fastclip.errors import RefusalError
from fastclip.files import write_atomic
from fastclip.report.panels import of_curves
from fastclip.report.payload import as_script, page_data

if TYPE_CHECKING:
    import pandas as pd

STYLE = "page.css"
SCRIPTS = (
    "base.js",
    "words.js",
    "charts.js",
    "training.js",
    "readout.js",
    "links.js",
    "sections.js",
    "pictures.js",
    "notes.js",
)
"""In the order they are put into the page; the library of charts comes after `words.js`, so that
all that is text stands before it is read."""


def write_report(
    out: Path,
    rows: pd.DataFrame,
    analysis: Analysis,
    target: Path,
    *,
    stamp: str | None = None,
    figures: Path | None = None,
) -> Path:
    """Write the report of a sweep; returns `target`.

    Args:
        out: the output folder: its records' items, timings and settings are read.
        rows: its table (`fastclip.results.table.COLUMNS`).
        analysis: what was found in it (`fastclip.analysis`).
        target: the HTML file; it opens from disk and asks for nothing from the network.
        stamp: a sentence that must stay with the figures ("synthetic, no human data").
        figures: folder for the same figures as PNG and SVG; None writes none.

    Raises:
        RefusalError: a record or its items cannot be read.
    """
    rows = of_curves(rows, analysis)
    data = page_data(out, rows, analysis, stamp)
    write_atomic(target, page_of(str(data["title"]), as_script(data)).encode())
    if figures is not None:
        from fastclip.report.plates import write_plates

        write_plates(figures, rows, analysis, stamp)
    return target


def page_of(title: str, data: str) -> str:
    """The page around its data; every part stands in a file of its own."""
    page = resources.files("fastclip.report") / "page"
    parts = {name: (page / name).read_text("utf-8") for name in ("page.html", STYLE, *SCRIPTS)}
    early, late = (SCRIPTS[:2], SCRIPTS[2:])
    slots = {
        "{{title}}": html.escape(title),
        "{{style}}": parts[STYLE],
        "{{early}}": "\n".join(parts[name] for name in early),
        # Inside a script element only this would end it.
        "{{library}}": chart_library().replace("</script", "<\\/script"),
        "{{late}}": "\n".join(parts[name] for name in late),
        "{{data}}": data,
    }
    head, *rest = parts["page.html"].split("{{")
    text = [head]
    for piece in rest:
        name, after = piece.split("}}", 1)
        text.extend((slots["{{" + name + "}}"], after))
    return "".join(text)


def chart_library() -> str:
    """Plotly's script, out of the installed package, which is not imported for it.

    Raises:
        RefusalError: the package is not there, or has no script.
    """
    found = find_spec("plotly")
    origin = found.origin if found else None
    path = Path(origin or "plotly").parent / "package_data" / "plotly.min.js"
    if not path.is_file():
        raise RefusalError(
            "the script that draws the report's charts is not installed",
            where=path,
            mend="pip install plotly",
        )
    return unwrapped(path.read_text("utf-8"))


OPENING = '(typeof self !== "undefined" ? self : this, () => {\n'
CLOSING = "\nreturn Plotly;\n}));"


def unwrapped(library: str) -> str:
    """The library without the function around it, which browsers would read twice.

    A third of the time that a page takes to open is saved. A library that is wrapped otherwise
    stays as it is; its licence stays in either case.
    """
    head, opening, rest = library.partition(OPENING)
    body, closing, tail = rest.rpartition(CLOSING)
    if not (opening and closing) or tail.strip():
        return library
    licence = head[: head.find("*/") + 2]
    return f"{licence}\n{body}\n"
