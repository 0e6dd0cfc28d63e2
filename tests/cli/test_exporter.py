"""`vswitch exporter` beside a running switch, read with Prometheus' own parser."""

from __future__ import annotations

import os
import signal
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.place import FRAME, Place
from vswitch.cli import processes
from vswitch.cli.exporter import parse_listen


class Metrics:
    """What one scrape said: name and labels -> value."""

    def __init__(self, url: str) -> None:
        with urllib.request.urlopen(url, timeout=20) as reply:
            assert reply.headers["Content-Type"].startswith("text/plain")
            text = reply.read().decode()
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def named(self, name: str) -> list[tuple[tuple[str, str], ...]]:
        return [labels for found, labels in self.samples if found == name]


@pytest.mark.system
def test_metrics_say_what_the_switch_says(place: Place) -> None:
    words = "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure"
    for n in (1, 2, 3):
        words += f" -- add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}"
    place.run("vsctl", *words.split())
    place.run("vsctl", "set-controller", "br0", "tcp:127.0.0.1:9")
    place.run("ofctl", "add-flow", "br0", "in_port=1,actions=output:2")
    url = place.export()
    before = Metrics(url)
    assert before("vswitch_up") == before("vswitch_database_up") == 1
    for _ in range(5):
        place.run("appctl", "netdev-dummy/receive", "p1", FRAME)
    place.run("appctl", "netdev-dummy/receive", "p3", FRAME)
    after = Metrics(url)
    assert after("vswitch_port_receive_packets_total", bridge="br0", port="p1") == 5
    assert after("vswitch_port_transmit_packets_total", bridge="br0", port="p2") == 5
    assert after("vswitch_port_transmit_bytes_total", bridge="br0", port="p2") == 300
    hits = {r: after("vswitch_datapath_lookups_total", result=r) for r in ("hit", "missed", "lost")}
    assert hits["lost"] == 0
    assert hits["hit"] + hits["missed"] == 6
    assert after("vswitch_datapath_flows", datapath="dummy@ovs-dummy") == 2
    assert after("vswitch_datapath_flow_limit", datapath="dummy@ovs-dummy") > 0
    assert after("vswitch_drops_total", reason="action_of_pipeline") == 1
    assert after("vswitch_events_total", event="dpif_flow_put") >= 2
    assert after("vswitch_conntrack_connections") == 0
    assert after("vswitch_controller_connected", bridge="br0", target="tcp:127.0.0.1:9") == 0
    version = place.run("appctl", "version").partition("\n")[0]
    assert after("vswitch_info", version=version) == 1
    assert all(name.startswith("vswitch_") for name, _ in after.samples)

    few = Metrics(place.export("--max-ports", "2"))
    assert len(few.named("vswitch_port_receive_packets_total")) == 2
    assert few("vswitch_ports_omitted") == 2

    pid = processes.running(processes.SWITCH)
    assert pid
    os.kill(pid, signal.SIGKILL)
    gone = Metrics(url)
    assert gone("vswitch_up") == 0
    assert gone("vswitch_database_up") == 1
    assert gone.named("vswitch_port_receive_packets_total") == []

    place.servers[0].terminate()
    assert place.servers[0].wait(10) == 0


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9475", ("127.0.0.1", 9475)), ("[::1]:0", ("::1", 0)), ("0.0.0.0:65535", ("0.0.0.0", 65535))],
)
def test_where_it_listens(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "9475", ":9475", "localhost:9475", "127.0.0.1:", "127.0.0.1:65536", "::1:x"]
)
def test_a_wrong_address_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no IP address|not IP:PORT"):
        parse_listen(text)
