from __future__ import annotations

from fastclip.report.write import CLOSING, OPENING, chart_library, unwrapped


def test_the_charts_library_keeps_its_licence_and_loses_its_wrapper():
    library = chart_library()
    assert "Plotly, Inc." in library[:300] and "MIT license" in library[:300]
    assert "root.moduleName" not in library
    assert library.count("*/", 0, 400) == 1


def test_a_library_that_is_wrapped_otherwise_stays_as_it_is():
    for text in ("var Plotly = 1;", f"/* a */ x {OPENING}var Plotly;", f"y{CLOSING}"):
        assert unwrapped(text) == text
    assert unwrapped(f"/* a */ x {OPENING}var Plotly = 1;{CLOSING}\n") == (
        "/* a */\nvar Plotly = 1;\n"
    )
