"""The embedded server as a process, and the real tools on its sockets, its file and its commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ovsdb.pair import Client, real_server
from vswitch.ovsdb.log import DatabaseFile
from vswitch.ovsdb.vswitch_schema import VSWITCH

pytestmark = pytest.mark.system

REAL_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def eventually(condition: Callable[[], object], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Process:
    """`vswitch ovsdb-server` in a directory of its own."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.path = home / "conf.db"
        self.sock = f"{home}/db.sock"
        self.target = f"unix:{self.sock}"
        self.env = dict(os.environ, OVS_RUNDIR=str(home), OVS_LOGDIR=str(home), OVS_DBDIR=str(home))
        if path := os.environ.get("PYTHONPATH"):
            # Commands run in another directory than this process.
            self.env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in path.split(os.pathsep))
        if not self.path.exists():
            DatabaseFile.open(self.path, VSWITCH).close()
        self.run(
            sys.executable, "-m", "vswitch", "ovsdb-server", str(self.path), f"--remote=punix:{self.sock}",
            "--detach", "--pidfile", "-vconsole:emer", f"--log-file={home}/log", *options,
        )  # fmt: skip
        self.pid = int((home / "ovsdb-server.pid").read_text())

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=60, check=False, cwd=self.home
        )
        assert not check or ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        return ran

    def out(self, *command: str) -> str:
        return self.run(*command).stdout

    def vsctl(self, *words: str, db: str = "") -> str:
        return self.out("ovs-vsctl", f"--db={db or self.target}", "-t", "20", "--no-wait", *words)

    def appctl(self, *words: str) -> str:
        return self.out("ovs-appctl", "-t", "ovsdb-server", *words)

    def refused(self, *words: str) -> str:
        ran = self.run("ovs-appctl", "-t", "ovsdb-server", *words, check=False)
        assert ran.returncode == 2
        return ran.stderr.splitlines()[0]

    def end(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.fixture
def server(tmp_path: Path, require: Any) -> Iterator[Process]:
    require("command:ovs-vsctl", "command:ovsdb-client")
    made = Process(tmp_path, "--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
    try:
        yield made
    finally:
        made.end()


def test_runtime_commands_say_what_the_real_servers_say(server: Process, tmp_path: Path) -> None:
    assert "vswitch" in server.appctl("version")
    assert server.appctl("ovsdb-server/list-dbs") == "Open_vSwitch\n_Server\n"
    assert server.appctl("ovsdb-server/add-remote", "ptcp:0:127.0.0.1") == ""
    assert server.appctl("ovsdb-server/list-remotes") == (
        f"db:Open_vSwitch,Open_vSwitch,manager_options\nptcp:0:127.0.0.1\npunix:{server.sock}\n"
    )
    assert server.appctl("ovsdb-server/remove-remote", "ptcp:0:127.0.0.1") == ""
    assert server.refused("ovsdb-server/remove-remote", "ptcp:0:127.0.0.1") == "no such remote"
    assert server.refused("ovsdb-server/add-remote", "db:x") == '"db:x": invalid syntax'
    assert server.refused("ovsdb-server/add-remote", "db:Open_vSwitch,Open_vSwitch,nope") == (
        '"db:Open_vSwitch,Open_vSwitch,nope": table "Open_vSwitch" has no column "nope"'
    )
    assert "remotes are" in server.refused("ovsdb-server/add-remote", "foo")
    assert server.refused("ovsdb-server/compact", "nodb") == "no database by that name"
    assert server.refused("ovsdb-server/remove-db", "nope") == "Failed to find the database."
    assert "already open" in server.refused("ovsdb-server/add-db", str(server.path))
    assert "No such file" in server.refused("ovsdb-server/add-db", f"{tmp_path}/nofile")
    server.vsctl("add-br", "br0")
    for n in range(50):
        server.vsctl("set", "bridge", "br0", f"external_ids:n={n}") if n % 10 == 0 else None
    size = server.path.stat().st_size
    server.appctl("ovsdb-server/compact")
    assert server.path.stat().st_size < size
    assert server.vsctl("get", "bridge", "br0", "external_ids:n") == '"40"\n'
    server.appctl("ovsdb-server/remove-db", "Open_vSwitch")
    assert server.out("ovsdb-client", "list-dbs", server.target) == "_Server\n"
    server.appctl("ovsdb-server/add-db", str(server.path))
    assert server.vsctl("list-br") == "br0\n"
    assert re.match(r"cells:\d+ monitors:0 sessions:\d+ triggers:0\n", server.appctl("memory/show"))
    server.appctl("exit")
    assert eventually(lambda: not Path(server.sock).exists() and not (tmp_path / "ovsdb-server.pid").exists())


def test_ovsdb_client_knows_the_schema_and_converts(server: Process) -> None:
    client = ["ovsdb-client", "-t", "20"]
    server.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "external_ids:a=b")
    assert server.out(*client, "get-schema-version", server.target, "Open_vSwitch") == "8.3.3\n"
    schema = json.loads(Path(REAL_SCHEMA).read_text())
    told = json.loads(server.out(*client, "get-schema", server.target, "Open_vSwitch"))
    # All that Open vSwitch 3.1 has, and columns of later versions.
    for name, table in schema["tables"].items():
        more = told["tables"][name]["columns"].keys() - table["columns"].keys()
        later = {"Mirror": {"filter"}, "Flow_Sample_Collector_Set": {"local_group_id"}}
        assert more == later.get(name, set())
    # A schema with a column less and one more.
    del schema["tables"]["Bridge"]["columns"]["external_ids"]
    schema["tables"]["Bridge"]["columns"]["colour"] = {"type": "string"}
    schema["version"] = "8.4.0"
    (server.home / "new.ovsschema").write_text(json.dumps(schema))
    unaware, aware = Client(server.sock), Client(server.sock)
    for watcher in (unaware, aware):
        watcher.call("monitor", "Open_vSwitch", "m", {"Bridge": {"columns": ["name"]}})
    assert aware.call("set_db_change_aware", True) == {}
    assert server.out(*client, "needs-conversion", server.target, "new.ovsschema") == "yes\n"
    server.run(*client, "convert", server.target, "new.ovsschema")
    assert aware.receive() == {"method": "monitor_canceled", "params": ["m"], "id": None}
    with pytest.raises(ConnectionError):
        unaware.receive()
    aware.close()
    dump = [*client, "-f", "csv", "dump", server.target, "Open_vSwitch", "Bridge", "name", "colour"]
    assert server.out(*dump) == 'Bridge table\ncolour,name\n"""""",br0\n'
    server.appctl("exit")
    assert eventually(lambda: not Path(server.sock).exists())
    file = DatabaseFile.open(server.path)
    assert file.db.schema.version == "8.4.0"
    file.close()


def test_ovsdb_client_locks_and_steals(server: Process) -> None:
    def holder(command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ovsdb-client", "-vconsole:off", command, server.target, "mine"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    first = holder("lock")
    try:
        assert first.stdout is not None
        assert first.stdout.readline().strip() == '{"locked":true}'
        second = holder("steal")
        try:
            assert second.stdout is not None
            assert second.stdout.readline().strip() == '{"locked":true}'
            assert "stolen" in "".join(first.stdout.readline() for _ in range(2))
        finally:
            second.kill()
            second.wait()
        assert "locked" in "".join(first.stdout.readline() for _ in range(2))
    finally:
        first.kill()
        first.wait()


def test_the_real_tool_and_the_real_server_take_over_our_file_and_we_theirs(
    server: Process, tmp_path: Path
) -> None:
    server.vsctl("add-br", "br0", "--", "add-port", "br0", "p1", "tag=5")
    server.vsctl("set", "port", "p1", "external_ids:x=y")
    assert "locked by pid" in server.run("ovsdb-tool", "compact", "conf.db", check=False).stderr
    server.appctl("exit")
    assert eventually(lambda: not Path(server.sock).exists())
    tool = ["ovsdb-tool"]
    assert server.out(*tool, "db-name", "conf.db") == "Open_vSwitch\n"
    assert server.out(*tool, "db-version", "conf.db") == "8.3.3\n"
    assert server.out(*tool, "needs-conversion", "conf.db", REAL_SCHEMA) == "yes\n"
    assert server.run(*tool, "db-is-standalone", "conf.db").returncode == 0
    log = server.out(*tool, "-m", "show-log", "conf.db")
    assert 'insert row "p1"' in log
    assert "ovs-vsctl" in log
    query = '["Open_vSwitch",{"op":"select","table":"Port","where":[["name","==","p1"]],"columns":["tag"]}]'
    assert json.loads(server.out(*tool, "query", "conf.db", query)) == [{"rows": [{"tag": 5}]}]
    server.run(*tool, "compact", "conf.db")
    with real_server(server.path, VSWITCH) as sock:
        assert server.vsctl("get", "port", "p1", "external_ids", db=f"unix:{sock}") == "{x=y}\n"
        server.vsctl("add-port", "br0", "p2", "trunks=1,2", db=f"unix:{sock}")
        server.vsctl("set", "port", "p2", "trunks=2,3", db=f"unix:{sock}")
    again = Process(tmp_path)
    try:
        assert again.vsctl("list-ports", "br0") == "p1\np2\n"
        assert again.vsctl("get", "port", "p2", "trunks") == "[2, 3]\n"
    finally:
        again.end()


def test_managers_open_listeners_and_connections_and_tell_of_them(server: Process) -> None:
    server.vsctl("set-manager", "ptcp:0:127.0.0.1")

    def status(key: str) -> str:
        return server.vsctl("--if-exists", "get", "manager", "ptcp:0:127.0.0.1", f"status:{key}").strip('"\n')

    assert eventually(lambda: status("bound_port"))
    watcher = subprocess.Popen(
        ["ovsdb-client", "-vconsole:off", "monitor", f"tcp:127.0.0.1:{status('bound_port')}", "Open_vSwitch",
         "Bridge", "name"], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert eventually(
            lambda: server.vsctl("get", "manager", "ptcp:0:127.0.0.1", "is_connected") == "true\n"
        )
        server.vsctl("del-manager")
        assert eventually(lambda: server.appctl("ovsdb-server/list-remotes").count("\n") == 2)
    finally:
        watcher.kill()
        watcher.wait()
    # The other way round: the server connects to whoever listens.
    listener = f"{server.home}/manager.sock"
    server.vsctl("set-manager", f"unix:{listener}")
    ran = server.out("ovs-vsctl", f"--db=punix:{listener}", "-t", "30", "--no-wait", "add-br", "br7")
    assert ran == ""
    assert server.vsctl("list-br") == "br7\n"


def test_over_tls_with_keys_that_the_database_names(server: Process) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2",
         "-keyout", f"{server.home}/key.pem", "-out", f"{server.home}/cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    server.end()
    assert eventually(lambda: not Path(f"/proc/{server.pid}").exists())
    names = ("private-key=db:Open_vSwitch,SSL,private_key", "certificate=db:Open_vSwitch,SSL,certificate",
             "ca-cert=db:Open_vSwitch,SSL,ca_cert")  # fmt: skip
    again = Process(
        server.home, "--remote=db:Open_vSwitch,Open_vSwitch,manager_options", *(f"--{n}" for n in names)
    )
    try:
        again.vsctl("set-manager", "pssl:0:127.0.0.1")
        again.vsctl("set-ssl", f"{server.home}/key.pem", f"{server.home}/cert.pem", f"{server.home}/cert.pem")
        get = ["--if-exists", "get", "manager", "pssl:0:127.0.0.1", "status:bound_port"]
        assert eventually(lambda: again.vsctl(*get).strip())
        db = f"ssl:127.0.0.1:{again.vsctl(*get).strip().strip(chr(34))}"
        keys = [
            "-p",
            f"{server.home}/key.pem",
            "-c",
            f"{server.home}/cert.pem",
            "-C",
            f"{server.home}/cert.pem",
        ]
        assert again.vsctl(*keys, "add-br", "br0", db=db) == ""
        assert again.vsctl("list-br") == "br0\n"
    finally:
        again.end()


def test_the_official_idl_follows_and_changes(server: Process) -> None:
    code = """
import sys
import vswitch.ovsdb
import ovs.db.idl, ovs.poller
schema = ovs.db.idl.SchemaHelper(location=sys.argv[2])
schema.register_all()
idl = ovs.db.idl.Idl(sys.argv[1], schema)
def until(ready):
    while not ready():
        poller = ovs.poller.Poller()
        if not idl.run():
            idl.wait(poller)
            poller.timer_wait(10000)
            poller.block()
until(lambda: idl.has_ever_connected())
txn = ovs.db.idl.Transaction(idl)
root = next(iter(idl.tables["Open_vSwitch"].rows.values()), None) or txn.insert(idl.tables["Open_vSwitch"])
bridge = txn.insert(idl.tables["Bridge"])
bridge.name = "idl"
bridge.external_ids = {"by": "idl"}
root.bridges = [bridge]
print(txn.commit_block())
until(lambda: any(r.name == "idl" for r in idl.tables["Bridge"].rows.values()))
until(lambda: any(r.external_ids.get("by") == "vsctl" for r in idl.tables["Bridge"].rows.values()))
print("followed")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, server.target, REAL_SCHEMA], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "success\n"
        server.vsctl("set", "bridge", "idl", "external_ids:by=vsctl")
        assert process.stdout.readline() == "followed\n"
    finally:
        process.kill()
        process.wait()


def test_ovn_controller_is_a_client(server: Process, require: Any) -> None:
    """OVN's agent makes its integration bridge through the C IDL, and takes notice of changes."""
    require("command:ovn-controller")
    server.vsctl("init")
    server.vsctl(
        "set", "open", ".", "external_ids:system-id=here", "external_ids:ovn-remote=unix:/nonexistent",
        "external_ids:ovn-encap-type=geneve", "external_ids:ovn-encap-ip=127.0.0.1",
    )  # fmt: skip
    command = ["ovn-controller", "--no-chdir", "-vconsole:off",
               f"--log-file={server.home}/ovn.log", server.target]  # fmt: skip
    process = subprocess.Popen(command, env=dict(server.env, OVN_RUNDIR=str(server.home)))
    try:
        assert eventually(lambda: server.vsctl("list-br") == "br-int\n", 30)
        assert server.vsctl("get-fail-mode", "br-int") == "secure\n"
    finally:
        process.terminate()
        process.wait(20)


def test_a_file_that_a_link_names_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "conf.db"
    link.symlink_to(tmp_path / "elsewhere" / "conf.db")
    file = DatabaseFile.open(link, VSWITCH)
    file.compact(0)
    file.close()
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "conf.db").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--remote=foo", "DB"], "remotes are punix:PATH"),
        (["/nonexistent/db"], "there is no such database"),
        (["--nosuch"], "unrecognized option '--nosuch'"),
        (["--remote=db:Open_vSwitch,X,y", "DB"], "no table named X"),
        (["--remote=punix:/nonexistent/x", "DB"], "listen failed: No such file or directory"),
    ],
)
def test_what_can_not_be_is_an_error_and_no_server(tmp_path: Path, arguments: list[str], text: str) -> None:
    path = tmp_path / "conf.db"
    DatabaseFile.open(path, VSWITCH).close()
    words = [str(path) if word == "DB" else word for word in arguments]
    command = [sys.executable, "-m", "vswitch", "ovsdb-server", "--unixctl=none", "-vconsole:off", "--detach"]
    ran = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=30, check=False,
        env=dict(os.environ, OVS_RUNDIR=str(tmp_path)),
    )  # fmt: skip
    assert ran.returncode == 1
    assert text in ran.stderr
