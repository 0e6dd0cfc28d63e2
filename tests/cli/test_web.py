"""`vswitch web` in headless Chromium beside a running switch: each view says what the tools say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.cli.place import FRAME, Place
from tests.cli.sandbox import VSWITCH
from vswitch.cli import processes
from vswitch.cli.web import trace
from vswitch.cli.web.pace import LEAST_S, SHARE, Paced

BRIDGES = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure -- add-br br1 -- set bridge br1 "
    "datapath_type=dummy -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 -- add-port br0 "
    "p2 -- set interface p2 type=dummy ofport_request=2 -- add-port br0 a -- set interface a type=patch "
    "options:peer=b -- add-port br1 b -- set interface b type=patch options:peer=a -- add-port br1 vx "
    "-- set interface vx type=vxlan options:remote_ip=192.0.2.9 -- set-controller br0 tcp:127.0.0.1:9"
)
FLOWS = (
    "table=0,priority=10,in_port=1,actions=resubmit(,3)",
    "table=3,priority=7,dl_type=0x88b5,actions=output:2",
    "table=3,priority=5,tcp,nw_dst=10.0.0.0/8,actions=drop",
)


class Browser:
    """A page in headless Chromium. What its scripts complain about is a failure."""

    def __init__(self, url: str) -> None:
        options = webdriver.ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1400,1000"):  # fmt: skip
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.url = url

    def open(self, view: str) -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}#{view}")

    def text(self, selector: str) -> str:
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.driver.execute_script(script, selector))

    def until(self, true: Callable[[], Any], what: str, seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{what}: {self.text('body')[:2000]}"
            time.sleep(0.05)

    def shows(self, selector: str, *words: str, seconds: float = 15) -> None:
        self.until(lambda: all(w in self.text(selector) for w in words), f"{words} in {selector}", seconds)

    def close(self) -> None:
        # Answers of 400 are entries of the network's: tests ask for them.
        said = [
            entry for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and entry["source"] != "network"
        ]  # fmt: skip
        self.driver.quit()
        assert not said


@pytest.fixture
def browse(require: Any) -> Iterator[Callable[[str], Browser]]:
    require("command:chromium", "command:chromedriver")
    opened: list[Browser] = []

    def new(url: str) -> Browser:
        opened.append(Browser(url))
        return opened[-1]

    yield new
    for browser in opened:
        browser.close()


def serve(place: Place, *args: str) -> str:
    """Start a page: its address."""
    return place.serve("web", "--listen", "127.0.0.1:0", *args)


def get(url: str, **headers: str) -> tuple[int, Any]:
    """(status, JSON or text) of a request that follows no redirection."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as reply:
            text = reply.read().decode()
            return reply.status, json.loads(text) if "json" in reply.headers["Content-Type"] else text
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(url: str, words: Any, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{url}api/control", json.dumps(words).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def bring_up(place: Place) -> None:
    place.run("vsctl", *BRIDGES.split())
    for flow in FLOWS:
        place.run("ofctl", "add-flow", "br0", flow)


@pytest.mark.system
def test_views_say_what_the_tools_say(place: Place, browse: Callable[[str], Browser]) -> None:
    bring_up(place)
    page = browse(serve(place))
    page.open("topology")
    ports = place.run("vsctl", "list-ports", "br0").split() + place.run("vsctl", "list-ports", "br1").split()
    page.shows("#ports", *ports, "patch, to b", "vxlan, to 192.0.2.9")
    page.shows("#aside", "tcp:127.0.0.1:9", "Connection refused")
    for _ in range(3):
        place.run("appctl", "netdev-dummy/receive", "p1", FRAME)
    place.run("appctl", "netdev-dummy/receive", "p2", FRAME)

    # What changes is there within two seconds; a busy machine may take longer to draw it.
    place.run("vsctl", "add-port", "br0", "late", "--", "set", "interface", "late", "type=dummy")
    page.shows("#ports", "late")
    place.run("ofctl", "mod-port", "br0", "p2", "down")
    page.until(
        lambda: "administratively down" in page.text("#ports tr[data-port=p2]"), "p2 is down and says why"
    )
    place.run("vsctl", "del-port", "late")
    page.until(lambda: "late" not in page.text("#ports"), "the port is gone")

    page.open("flows?bridge=br0")
    page.shows("#flows", "dl_type=0x88b5 actions=output:2", "nw_dst=10.0.0.0/8", "never hit")
    rows = page.driver.find_elements(By.CSS_SELECTOR, "#flows tbody tr")
    assert len(rows) == 3
    assert "never hit" in rows[-1].text
    field = page.driver.find_element(By.NAME, "match")
    field.send_keys("tcp", Keys.ENTER)
    page.until(lambda: "1 to 1 of 1" in page.text("#flows"), "the flows that match are shown")
    field.clear()
    field.send_keys("bogus=1", Keys.ENTER)
    page.shows("[role=alert]", "bogus")

    page.open("datapath")
    page.shows("#lookups", "dummy@ovs-dummy")
    place.run("appctl", "netdev-dummy/receive", "p1", FRAME)
    page.shows("#busiest", "0x88b5")
    page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#chart canvas"), "the plot is drawn")
    page.shows("#drops", "of pipeline")

    flow = "in_port=1,dl_type=0x88b5"
    page.open(f"trace?bridge=br0&flow={flow}")
    page.shows("#text", "Datapath actions:")
    assert page.text("#text").split() == place.run("appctl", "ofproto/trace", "br0", flow).split()
    page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#walk canvas"), "the walk is drawn")
    assert [li.text for li in page.driver.find_elements(By.CSS_SELECTOR, "ol.walk .rule")] == [
        "table 0: in_port=1, priority 10", "table 3: dl_type=0x88b5, priority 7",
    ]  # fmt: skip
    page.open("trace?bridge=br0&flow=nonsense=1")
    page.shows("[role=alert]", "nonsense")


@pytest.mark.system
def test_hostile_names_stay_text(place: Place, browse: Callable[[str], Browser]) -> None:
    bring_up(place)
    hostile = "<img src=x onerror=document.title=1>"
    place.run("vsctl", "add-port", "br0", hostile, "--", "set", "interface", hostile, "type=dummy")
    place.run("vsctl", "set", "controller", "br0", f'external_ids:x="{hostile}"')
    page = browse(serve(place))
    page.open("topology")
    page.shows("#ports", hostile)
    assert not page.driver.find_elements(By.TAG_NAME, "img")
    page.open(f"trace?bridge=br0&flow={hostile}")
    page.shows("[role=alert]", "<img")
    assert not page.driver.find_elements(By.TAG_NAME, "img")
    assert page.driver.title == "trace - vswitch"


@pytest.mark.system
def test_by_keyboard_and_on_a_narrow_screen(place: Place, browse: Callable[[str], Browser]) -> None:
    bring_up(place)
    page = browse(serve(place))
    page.driver.set_window_size(500, 900)
    page.open("topology")
    page.shows("#ports", "p1")
    wide = page.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "nothing sticks out"
    for _ in range(3):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert page.driver.switch_to.active_element.text == "Datapath"
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.shows("#lookups", "dummy@ovs-dummy")


@pytest.mark.system
def test_nothing_is_served_without_the_token(place: Place) -> None:
    bring_up(place)
    url = serve(place, "--token", "s3cret")
    url = url.partition("?")[0]
    for path in ("", "index.html", "js/main.js", "vendor/cytoscape.min.js", "api/topology", "metrics"):
        assert get(url + path)[0] == 401
        assert get(url + path, Authorization="Bearer wrong")[0] == 401
        assert get(url + path, Authorization="Bearer s3cret")[0] == 200
    assert get(url, Cookie="vswitch_token=s3cret")[0] == 200
    assert get(f"{url}?token=s3cre")[0] == 401
    assert post(url, {}, Authorization="Bearer s3cret")[0] == 403
    assert get(url, Host="evil.example", Authorization="Bearer s3cret")[0] == 421
    # Beyond loopback there is one, asked for or not.
    everywhere = place.serve("web", "--listen", "0.0.0.0:0")
    assert re.search(r"\?token=[\w-]{20,}$", everywhere)
    assert get(everywhere.partition("?")[0].replace("0.0.0.0", "127.0.0.1"))[0] == 401


@pytest.mark.system
def test_only_control_changes_anything(place: Place) -> None:
    bring_up(place)
    url = serve(place)
    down = {"action": "port", "bridge": "br0", "port": "p1", "state": "down"}
    assert post(url, down) == (403, {"error": "the header X-Vswitch: 1 is missing"})
    header = {"X-Vswitch": "1"}
    assert post(url, down, **header) == (400, {"error": "this page was started without --control"})
    url = serve(place, "--control")
    assert post(url, down, **header) == (200, {"said": "p1 is down"})
    assert "PORT_DOWN" in place.run("ofctl", "show", "br0").partition(" 1(p1)")[2].partition("2(p2)")[0]
    assert post(url, {**down, "port": "nosuch"}, **header)[0] == 400
    assert post(url, {**down, "bridge": "tcp:192.0.2.1:1"}, **header)[0] == 400
    assert post(url, {"action": "rm"}, **header)[0] == 400
    assert post(url, ["x"], **header)[0] == 400
    gone = {"action": "delete-flow", "bridge": "br0", "flow": "table=3,priority=7,dl_type=0x88b5"}
    assert post(url, gone, **header)[0] == 200
    assert place.run("ofctl", "dump-flows", "br0").count("actions=") == 2
    place.run("vsctl", "add-port", "br1", "q1", "--", "set", "interface", "q1", "type=dummy")
    place.run("appctl", "netdev-dummy/receive", "q1", FRAME)
    assert "0a:00:00:00:00:01" in place.run("appctl", "fdb/show", "br1")
    assert post(url, {"action": "flush-fdb", "bridge": "br1"}, **header)[0] == 200
    assert "0a:00:00:00:00:01" not in place.run("appctl", "fdb/show", "br1")


@pytest.mark.system
def test_bad_questions_are_answered_with_what_is_wrong(place: Place) -> None:
    bring_up(place)
    url = serve(place)
    for question, said in (
        ("flows?bridge=nobr", "nobr: no such bridge"),
        ("flows?bridge=tcp:192.0.2.1:1", "no such bridge"),
        ("flows?bridge=br0&table=x", "table=x: not a number"),
        ("flows?bridge=br0&offset=-1", "offset=-1: not a number"),
        ("flows?bridge=br0&sort=name", "sorted by rate"),
        ("flows?bridge=br0&match=bogus=1", "bogus"),
        ("trace?bridge=nobr&flow=tcp", "nobr"),
    ):
        status, body = get(f"{url}api/{question}")
        assert status == 400, question
        assert said in json.loads(body)["error"]
    metrics = list(text_string_to_metric_families(get(f"{url}metrics")[1]))
    assert any(family.name == "vswitch_up" for family in metrics)
    pid = processes.running(processes.SWITCH)
    os.kill(pid, signal.SIGKILL)
    assert processes.wait_gone(pid, 10)
    assert get(f"{url}api/datapath")[0] == 503
    assert "vswitch_up 0.0" in get(f"{url}metrics")[1]


@pytest.mark.system
def test_up_brings_the_page_and_down_ends_it(place: Place) -> None:
    place.run("down", "--wipe")
    said = place.run("up", "--web", "--switch-option=--enable-dummy=override")
    url = said.split()[1]
    assert get(f"{url}api/topology")[0] == 200
    pid = processes.running(processes.PAGE)
    assert pid
    assert "serving" not in place.run("up", "--web"), "it is up already"
    place.run("down", "--wipe")
    assert not processes.alive(pid)


@pytest.mark.system
def test_large_tables_come_by_pages(place: Place, browse: Callable[[str], Browser]) -> None:
    place.run("vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
    place.run("ofctl", "del-flows", "br0")
    n = 3000
    flows = "".join(
        f"priority={i % 50},ip,nw_dst=10.0.{i >> 8}.{i & 255},actions=drop\n" for i in range(n)
    )
    added = subprocess.run(
        [*VSWITCH, "ofctl", "add-flows", "br0", "-"], input=flows, text=True, capture_output=True, timeout=60
    )
    assert added.returncode == 0, added.stderr
    page = browse(serve(place))
    page.open("flows?bridge=br0")
    page.shows("#flows", f"1 to 100 of {n}")
    page.driver.find_element(By.ID, "forth").click()
    page.shows("#flows", f"101 to 200 of {n}")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#flows tbody tr")) == 100
    url = page.url
    seen = [
        f["text"] for at in range(0, n, 1000)
        for f in get(f"{url}api/flows?bridge=br0&sort=priority&limit=1000&offset={at}")[1]["flows"]
    ]  # fmt: skip
    assert len(seen) == len(set(seen)) == n


def test_what_is_expensive_is_asked_for_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    at = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    asked: list[float] = []
    cost = [0.5]

    def fn() -> int:
        asked.append(at[0])
        at[0] += cost[0]
        return len(asked)

    paced = Paced(fn)
    assert [paced(), paced()] == [1, 1]
    at[0] += cost[0] / SHARE - 0.01
    assert paced() == 1
    at[0] += 0.02
    cost[0] = 0.0
    assert paced() == 2
    at[0] += LEAST_S
    assert paced() == 3
    assert paced() == 3
    paced.forget()
    assert paced() == 4


@pytest.mark.parametrize("line", ["", "bridge(", " 0.", "Flow:", "\x00", "9" * 20 + ". x", "==="])
def test_any_text_is_a_trace(line: str) -> None:
    assert set(trace.steps(f"{line}\n{line}")) == {"flow", "final", "megaflow", "actions", "steps"}
