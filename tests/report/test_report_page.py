from __future__ import annotations

import json
import re

import pytest
from browser import chromium, errors, needs_chromium, scroll_through, show
from made_analysis import made_analysis, made_rows

from fastclip.report.write import write_report

HOSTILE = """<img src=x onerror="document.title='x'"> & 'q' "d" </script>"""


pytestmark = needs_chromium


@pytest.fixture(scope="module")
def driver():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    rows = made_rows(12, runs=("first", "second"))
    return write_report(out, rows, made_analysis(rows), out / "report.html")


def report(tmp_path, rows):
    return write_report(tmp_path, rows, made_analysis(rows), tmp_path / "report.html")


def texts(driver, selector):
    return [node.text for node in driver.find_elements("css selector", selector)]


def curves(driver):
    """Path data of the lines drawn in the first figure."""
    script = (
        "return [...document.querySelectorAll('#curves .scatterlayer .js-line')]"
        ".map(n => n.getAttribute('d'))"
    )
    return driver.execute_script(script)


def press(driver, selector, key="\n"):
    node = driver.find_element("css selector", selector)
    driver.execute_script("arguments[0].focus()", node)
    driver.switch_to.active_element.send_keys(key)


@pytest.mark.parametrize("width", [400, 1600])
def test_everything_is_drawn_without_a_console_error_or_overflow(driver, page, width):
    show(driver, page, width)
    scroll_through(driver)
    assert errors(driver) == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    empty = driver.execute_script(
        "return [...document.querySelectorAll('.chart')].filter(c => !c.querySelector('svg'))"
    )
    assert empty == []


def test_the_first_screen_says_what_was_found_and_warns(driver, page):
    show(driver, page)
    rows = made_rows(12, runs=("first", "second"))
    analysis = made_analysis(rows)
    for line, sentence in zip(texts(driver, "#sentences li"), analysis.sentences, strict=True):
        assert line.endswith(sentence)
    assert texts(driver, "#sentences strong")[:2] == [
        "Image-quality alignment, 3 runs.",
        "first, Image-quality alignment: rises, then falls.",
    ]
    assert "2 checkpoints" in texts(driver, "#checks .warning")[0]
    assert len(texts(driver, "#checks .warning")) == 1
    bottom = driver.execute_script(
        "return document.getElementById('curves').getBoundingClientRect().bottom"
    )
    assert bottom <= 1000
    for title in ("Zero-shot accuracy", "Image-quality alignment", "Texture bias"):
        assert title in driver.find_element("id", "curves").text


def test_the_page_asks_for_nothing(driver, page):
    show(driver, page)
    scroll_through(driver)
    requests = driver.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in requests if not name.startswith("data:")] == []
    links = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page.read_text("utf-8"))
    assert links == []


def test_the_axis_switches_by_mouse_and_by_key(driver, page):
    show(driver, page)
    before = curves(driver)
    driver.find_element("css selector", "[data-axis=epoch]").click()
    assert curves(driver) != before
    assert (
        driver.find_element("css selector", "[data-axis=epoch]").get_attribute("aria-pressed")
        == "true"
    )
    assert "epoch" in driver.find_element("css selector", "#curves .xtitle").text
    press(driver, "[data-axis=samples_seen]")
    assert curves(driver) == before
    assert driver.switch_to.active_element.get_attribute("data-axis") == "samples_seen"
    press(driver, "#log", " ")
    assert curves(driver) != before
    assert errors(driver) == []


def test_the_legend_switches_runs_off_and_on(driver, page):
    show(driver, page)
    before = len(curves(driver))
    press(driver, "[data-run='1']")
    assert len(curves(driver)) == before / 2
    assert "second" not in driver.find_element("id", "readout").text
    driver.find_element("css selector", "[data-run='1']").click()
    assert len(curves(driver)) == before
    for run in ("0", "1"):
        driver.find_element("css selector", f"[data-run='{run}']").click()
    assert curves(driver) == []
    assert errors(driver) == []


def test_arrow_keys_read_values_out(driver, page):
    show(driver, page)
    rows = made_rows(12, runs=("first", "second"))
    last = rows[(rows["run"] == "first") & (rows["subset"] == "pooled")]["value"].iloc[-1]
    assert f"{last:.3f}" in driver.find_element("id", "readout").text
    press(driver, "#curves", "\ue011")  # Home
    assert "At 0 samples" in driver.find_element("id", "readout").text
    assert "at chance" in driver.find_element("id", "readout").text
    driver.switch_to.active_element.send_keys("\ue014")  # right
    assert "At 0 samples" not in driver.find_element("id", "readout").text


def test_points_at_chance_are_hollow(driver, page):
    show(driver, page)
    fills = driver.execute_script(
        "return [...document.querySelectorAll('#curves .points path.point')].map(n => n.style.fill)"
    )
    rows = made_rows(12, runs=("first", "second"))
    unusable = sum((not ok) for curve in made_analysis(rows).curves for ok in curve.usable)
    undefined = int(rows["value"].isna().sum())
    assert fills.count("rgb(255, 255, 255)") == unusable - undefined > 0


def test_names_are_shown_as_they_are(driver, tmp_path):
    rows = made_rows(5, runs=(HOSTILE, "plain"), categories=(HOSTILE, "a & b"))
    show(driver, report(tmp_path, rows))
    scroll_through(driver)
    assert driver.find_elements("css selector", "img[src=x]") == []
    assert texts(driver, "#sentences li")[1].startswith(f"{HOSTILE}, Image-quality alignment")
    assert texts(driver, "#runs button")[0] == HOSTILE
    labels = driver.execute_script(
        "return [...document.querySelectorAll('.ytick')].map(n => n.textContent)"
    )
    assert "a & b" in labels
    assert any(label.startswith("<img src=x") for label in labels)
    assert errors(driver) == []


@pytest.mark.parametrize("task", ["iqa", "shape-bias", "robustness", "embedding-diagnostics"])
def test_one_task_alone_is_a_report(driver, tmp_path, task):
    rows = made_rows(5, tasks=(task,))
    target = report(tmp_path, rows)
    if task == "embedding-diagnostics":
        driver.get(target.as_uri())
        assert "No task has a curve" in driver.find_element("id", "curves").text
    else:
        show(driver, target)
        assert ("image-quality alignment" in driver.find_element("id", "key").text) == (
            task != "iqa"
        )
    scroll_through(driver)
    assert errors(driver) == []


def test_one_checkpoint_is_a_report(driver, tmp_path):
    show(driver, report(tmp_path, made_rows(1)))
    scroll_through(driver)
    assert errors(driver) == []
    assert "1 checkpoint" in driver.find_element("id", "title").text


def test_axes_that_are_not_known_are_not_offered(driver, tmp_path):
    rows = made_rows(5, samples=False)
    show(driver, report(tmp_path, rows))
    assert texts(driver, "[data-axis]") == ["step", "epoch"]
    rows["step"] = rows["epoch"] = None
    show(driver, report(tmp_path, rows))
    scroll_through(driver)
    assert texts(driver, "[data-axis]") == ["order of checkpoints"]
    assert errors(driver) == []


def test_numbers_in_the_page_are_those_of_the_table(page):
    rows = made_rows(12, runs=("first", "second"))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.S)[1])
    (panel,) = [p for p in data["panels"] if p["key"] == "iqa"]
    first = rows[(rows["run"] == "first") & (rows["subset"] == "pooled")]
    assert panel["lines"][0]["value"] == pytest.approx(first["value"].tolist(), rel=1e-4)
    (texture,) = [p for p in data["panels"] if p["key"] == "texture"]
    bias = rows[
        (rows["run"] == "first") & (rows["metric"] == "shape_bias") & rows["category"].isna()
    ]
    line = texture["lines"][0]
    assert line["value"] == pytest.approx((1 - bias["value"]).tolist(), rel=1e-4)
    assert line["low"] == pytest.approx((1 - bias["ci_high"]).tolist(), rel=1e-4)
    assert min(c["low"] for c in texture["context"] if c["low"] is not None) == pytest.approx(0.013)


@pytest.mark.alone
def test_three_hundred_checkpoints_open_within_two_seconds(driver, tmp_path):
    rows = made_rows(300, categories=[f"category {k}" for k in range(16)])
    target = report(tmp_path, rows)
    assert target.stat().st_size < 8e6
    took = []
    for _ in range(3):
        show(driver, target)
        took.append(
            driver.execute_script("return performance.getEntriesByName('curves')[0].startTime")
        )
    assert min(took) < 2000
