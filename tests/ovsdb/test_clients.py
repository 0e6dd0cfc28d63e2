"""Real clients against our server: ovs-vsctl, ovsdb-client, the official IDL; and bad ones."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.ovsdb.pair import Client, our_server, real_server
from vswitch.ovsdb.vswitch_schema import VSWITCH

pytestmark = pytest.mark.system

SCRIPT = """
--no-wait init
--no-wait add-br br0 -- set bridge br0 datapath_type=netdev other_config:hwaddr=02:00:00:00:00:01
--no-wait add-port br0 p1 tag=10 -- set interface p1 type=dummy options:x=y
--no-wait add-port br0 p2 trunks=1,2,3 vlan_mode=native-tagged
--no-wait add-bond br0 bond0 b1 b2 bond_mode=active-backup
--no-wait set-controller br0 tcp:127.0.0.1:6653 unix:/tmp/x
--no-wait -- --id=@m create mirror name=m0 select-all=true -- add bridge br0 mirrors @m
--no-wait br-set-external-id br0 a b
list-br
list-ports br0
list-ifaces br0
iface-to-br b1
get-controller br0
get port p1 tag
get interface p1 options:x
br-get-external-id br0
--columns=name,vlan_mode,trunks find port vlan_mode=native-tagged
--no-wait remove port p2 trunks 2
get port p2 trunks
--no-wait add-port br0 p1
--may-exist --no-wait add-port br0 p1
--no-wait del-port br0 nope
--if-exists --no-wait del-port br0 nope
--no-wait clear port p1 tag
--no-wait set port p1 tag=5000
--no-wait set bridge br0 nosuch=1
--no-wait del-port p2
list-ports br0
--no-wait emer-reset
get-controller br0
show
--no-wait del-br br0
list-br
"""


def vsctl(sock: str, line: str) -> str:
    done = subprocess.run(
        ["ovs-vsctl", f"--db=unix:{sock}", "--timeout=10", *line.split()],
        text=True,
        capture_output=True,
        check=False,
    )
    return f"$ {line}\n{done.stdout}{done.stderr}[{done.returncode}]\n"


def without_uuids(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)


def test_ovs_vsctl_says_the_same_against_ours_and_the_real_one(require: Any, tmp_path: Path) -> None:
    require("command:ovs-vsctl")
    with (
        our_server(tmp_path / "ours.db", VSWITCH) as (ours, _),
        real_server(tmp_path / "real.db", VSWITCH) as real,
    ):
        for line in SCRIPT.strip().splitlines():
            mine, theirs = without_uuids(vsctl(ours, line)), without_uuids(vsctl(real, line))
            if "5000" in line:
                assert "not in the valid range 0 to 4095" in mine
            assert sorted(mine.splitlines()) == sorted(theirs.splitlines()), line


def test_ovsdb_client_dumps_backs_up_and_restores(require: Any, tmp_path: Path) -> None:
    require("command:ovsdb-client")
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, _):
        vsctl(sock, "--no-wait add-br br7")
        target = f"unix:{sock}"
        backup = subprocess.check_output(["ovsdb-client", "backup", target, "Open_vSwitch"])
        dump = subprocess.check_output(
            ["ovsdb-client", "-f", "csv", "dump", target, "Open_vSwitch", "Bridge", "name"], text=True
        )
        assert dump.splitlines()[-1] == "br7"
        assert (
            subprocess.check_output(["ovsdb-client", "list-dbs", target], text=True)
            == "Open_vSwitch\n_Server\n"
        )
        columns = subprocess.check_output(
            ["ovsdb-client", "list-columns", target, "Open_vSwitch", "SSL"], text=True
        )
        assert "bootstrap_ca_cert" in columns
        vsctl(sock, "--no-wait del-br br7")
        (tmp_path / "backup").write_bytes(backup)
        with (tmp_path / "backup").open("rb") as stdin:
            subprocess.run(["ovsdb-client", "restore", target, "Open_vSwitch"], stdin=stdin, check=True)
        assert vsctl(sock, "list-br") == "$ list-br\nbr7\n[0]\n"


def test_monitors_tell_the_same_as_the_real_servers(require: Any, tmp_path: Path) -> None:
    require("command:ovsdb-server")
    requests: list[tuple[str, Any]] = [
        ("monitor", {"Port": {"columns": ["name", "tag", "trunks"]}}),
        ("monitor", {"Port": [{"columns": ["name"], "select": {"initial": False, "insert": False}},
                              {"columns": ["tag"], "select": {"modify": False}}]}),
        ("monitor_cond", {"Port": {"columns": ["name", "trunks", "external_ids"]}}),
        ("monitor_cond", {"Port": {"columns": ["name", "tag"],
                                   "where": [["tag", "==", 5], ["tag", "==", 6]]}}),
        ("monitor_cond_since", {"Port": {}}),
    ]  # fmt: skip
    uuids = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)]

    def ports(mutator: str, n: int) -> Any:
        return {"op": "mutate", "table": "Bridge", "where": [],
                "mutations": [["ports", mutator, ["uuid", uuids[n]]]]}  # fmt: skip

    def port(n: int, **row: Any) -> list[Any]:
        return [
            {"op": "insert", "table": "Interface", "row": {"name": f"i{n}"}, "uuid": uuids[n][:-2] + f"f{n}"},
            {"op": "insert", "table": "Port", "uuid": uuids[n],
             "row": {"name": f"p{n}", "interfaces": ["uuid", uuids[n][:-2] + f"f{n}"], **row}},
            ports("insert", n),
        ]  # fmt: skip

    steps: list[list[Any]] = [
        [{"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}},
         {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br"}}],
        port(1, tag=5, trunks=["set", [1, 2]]),
        port(2, external_ids=["map", [["a", "b"], ["c", "d"]]]),
        [{"op": "update", "table": "Port", "where": [["name", "==", "p1"]],
          "row": {"trunks": ["set", [2, 3, 4]], "tag": 6}}],
        [{"op": "update", "table": "Port", "where": [["name", "==", "p2"]],
          "row": {"external_ids": ["map", [["a", "x"], ["e", "f"]]], "tag": 5}}],
        [{"op": "update", "table": "Port", "where": [["name", "==", "p1"]], "row": {"tag": 9}}],
        [ports("delete", 1)],
        [ports("delete", 2)],
    ]  # fmt: skip
    told: list[str] = []
    with (
        our_server(tmp_path / "ours.db", VSWITCH) as (ours, _),
        real_server(tmp_path / "real.db", VSWITCH) as real,
    ):
        for sock in (ours, real):
            client = Client(sock)
            client.call("transact", "Open_vSwitch", *steps[0])
            lines: list[Any] = [client.call("transact", "Open_vSwitch", *steps[1])[2]]
            for n, (method, request) in enumerate(requests):
                since = ["00000000-0000-0000-0000-000000000000"] if method.endswith("since") else []
                lines.append(client.call(method, "Open_vSwitch", n, request, *since))
            for ops in steps[2:]:
                client.call("transact", "Open_vSwitch", *ops)
                lines.append(sorted(client.notified, key=lambda m: json.dumps(m["params"][0])))
                client.notified = []
            changed = client.call("monitor_cond_change", 3, 33, {"Port": [{"where": [["name", "==", "p1"]]}]})
            lines.append([changed, client.call("monitor_cancel", 0), client.call("monitor_cancel", 0)])
            text = json.dumps(lines, sort_keys=True, indent=1)
            told.append(re.sub(r'("_version": \[\s+"uuid",\s+)"[^"]*"', r"\1any", text))
            client.close()
    assert told[0].splitlines() == told[1].splitlines()


def test_a_client_that_sends_nonsense_costs_only_itself(tmp_path: Path) -> None:
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, server):
        good = Client(sock)
        for junk in (
            b"hello",
            b"{]",
            b'{"method":1}',
            b"[" * 300,
            b'{"method":"transact","params":5,"id":1}',
            b"[]",
        ):
            bad = socket.socket(socket.AF_UNIX)
            bad.settimeout(10)
            bad.connect(sock)
            bad.sendall(junk)
            assert bad.recv(100) == b""
            bad.close()
        half = socket.socket(socket.AF_UNIX)
        half.connect(sock)
        half.sendall(b'{"method":"echo","par')
        half.close()
        assert good.call("echo", "still", "here") == ["still", "here"]
        for wrong in (
            [],
            [1],
            ["Open_vSwitch", 7],
            ["Open_vSwitch", {"op": 5}],
            ["Open_vSwitch", {}],
            ["Open_vSwitch", {"op": "insert", "table": "Bridge", "row": {"name": 1}}],
        ):
            assert "error" in json.dumps(good.call("transact", *wrong))
        assert good.call("list_dbs") == ["Open_vSwitch", "_Server"]
        good.close()
        assert len(server.databases["Open_vSwitch"].tables["Bridge"]) == 0


def test_locks_pass_on_are_stolen_and_end_with_the_connection(tmp_path: Path) -> None:
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, _):
        first, second = Client(sock), Client(sock)
        guarded = [{"op": "assert", "lock": "l"}, {"op": "comment", "comment": "mine"}]
        assert first.call("lock", "l") == {"locked": True}
        assert second.call("lock", "l") == {"locked": False}
        assert second.call("transact", "Open_vSwitch", *guarded)[0]["error"] == "not owner"
        assert first.call("transact", "Open_vSwitch", *guarded) == [{}, {}]
        assert second.call("unlock", "l") == {}
        assert second.call("steal", "l") == {"locked": True}
        assert first.receive() == {"method": "stolen", "params": ["l"], "id": None}
        second.close()
        assert first.receive() == {"method": "locked", "params": ["l"], "id": None}
        first.close()


def test_a_wait_goes_on_when_another_client_commits(tmp_path: Path) -> None:
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, _):
        waiter, writer = Client(sock), Client(sock)
        writer.call("transact", "Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}})
        wait = {"op": "wait", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"], "until": "==",
                "rows": [{"next_cfg": 7}]}  # fmt: skip
        bump = {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"cur_cfg": 7}}
        waiter.send({"method": "transact", "params": ["Open_vSwitch", wait, bump], "id": "w"})
        writer.call("echo")
        writer.call(
            "transact",
            "Open_vSwitch",
            {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"next_cfg": 7}},
        )
        assert waiter.receive() == {"id": "w", "result": [{}, {"count": 1}], "error": None}
        timed = {**wait, "rows": [{"next_cfg": 8}], "timeout": 50}
        assert waiter.call("transact", "Open_vSwitch", timed)[0]["error"] == "timed out"
        for client in (waiter, writer):
            client.close()
