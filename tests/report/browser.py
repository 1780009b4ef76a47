"""Debian's headless Chromium for tests of pages; tests are skipped where it is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on this machine"
)

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1600,1000",
    # No name resolves: what the page does not carry it cannot get.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that keeps its console's messages and reaches no network."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: Any, page: Path, width: int = 1600, height: int = 1000) -> None:
    """Open a page at this size and wait until its first curves are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page.as_uri())
    WebDriverWait(driver, 30, 0.05).until(
        lambda d: d.execute_script("return performance.getEntriesByName('curves').length")
    )


def scroll_through(driver: Any) -> None:
    """Scroll to the end, so that everything is drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    for node in driver.find_elements("css selector", ".below"):
        driver.execute_script("arguments[0].scrollIntoView()", node)
        for chart in node.find_elements("css selector", ".chart"):
            WebDriverWait(driver, 20, 0.05).until(
                lambda d, c=chart: d.execute_script(
                    "return arguments[0].closest('[hidden]') || arguments[0].querySelector('svg')",
                    c,
                )
            )


def errors(driver: Any) -> list[str]:
    """What the console said since the last call, but for plain information."""
    return [e["message"] for e in driver.get_log("browser") if e["level"] != "INFO"]
