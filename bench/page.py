"""The live page in headless Chromium, with 1,000 ports and 100,000 flows: how long views take to open, what
the switch's CPU has to do for an open page, and how long a scrape of /metrics takes."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from bench.openflow import BR, FLOWS, write_flows
from bench.report import Row
from bench.stack import OURS, Stack, stack, until
from bench.topology import cpu_seconds, stop

PORTS = 1_000
WATCHED_S = 20.0
"""For how long the switch's CPU is looked at while a page is open."""
SCRAPES = 10


@final
class Page:
    """A page that Chromium shows."""

    def __init__(self, url: str) -> None:
        options = webdriver.ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(word)
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.url = url

    def opened(self, view: str, selector: str, words: str) -> float:
        """Seconds until `view` has `words` in `selector`, from an empty page."""
        self.driver.get("about:blank")
        script = "return document.querySelector(arguments[0])?.textContent.includes(arguments[1]) ?? false"
        begin = time.monotonic()
        self.driver.get(f"{self.url}#{view}")
        until(f"{view} with {words}", lambda: self.driver.execute_script(script, selector, words))
        return time.monotonic() - begin


@contextmanager
def served(switch: Stack) -> Iterator[str]:
    """The address of a page on `switch`, for as long as within."""
    command = (sys.executable, "-m", "vswitch", "web", "--listen", "127.0.0.1:0")
    with subprocess.Popen(command, env=switch.environment, stdout=subprocess.PIPE, text=True) as web:
        try:
            assert web.stdout is not None
            yield web.stdout.readline().split()[1]
        finally:
            stop(web)


def share(pid: int, seconds: float) -> float:
    """The CPU that a process takes, in percent of a core."""
    before, begin = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - begin)


def scrape(url: str) -> float:
    """Seconds of one scrape."""
    begin = time.monotonic()
    with urllib.request.urlopen(f"{url}metrics", timeout=60) as reply:
        reply.read()
    return time.monotonic() - begin


def bench() -> list[Row]:
    """Rows for the page and the metrics; nobody else has them to compare with."""
    with stack(OURS) as switch:
        flows = switch.directory / "flows"
        write_flows(flows)
        switch.add_bridge(BR, [f"p{n}" for n in range(1, PORTS + 1)])
        switch.ofctl("--bundle", "add-flows", BR, str(flows))
        alone = share(switch.pid(), WATCHED_S)
        with served(switch) as url:
            page = Page(url)
            try:
                topology = page.opened("topology", "#ports", f"p{PORTS}")
                watched = share(switch.pid(), WATCHED_S)
                table = page.opened(f"flows?bridge={BR}", "#flows", f"of {FLOWS:,}".replace(",", ""))
                table_watched = share(switch.pid(), WATCHED_S)
            finally:
                page.driver.quit()
            scrape(url)
            longest = max(scrape(url) for _ in range(SCRAPES))
    rest = f"{alone:.2f} without a page"
    return [
        Row(f"topology of {PORTS:,} ports opens", "s", topology, better="lower", goal="< 3"),
        Row(f"{FLOWS:,} flows open", "s", table, better="lower", goal="< 3"),
        Row("CPU of the switch, topology open", "% of a core", watched, better="lower", goal="< 2",
            note=rest),
        Row("CPU of the switch, flows open", "% of a core", table_watched, better="lower", goal="< 2",
            note=rest),
        Row(f"a scrape with {PORTS:,} ports, longest of {SCRAPES}", "ms", longest * 1000, better="lower",
            goal="< 100"),
    ]
