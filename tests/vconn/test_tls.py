"""TLS: both sides are checked, files are read again when they change, a CA certificate can be taken on
trust. Keys are made by openssl, and the clients are the real ovs-ofctl and Python's own ssl."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vconn.certificates import Authority
from tests.vconn.peer import Controller, Peer
from tests.vconn.running import Running
from vswitch.base.clock import Clock
from vswitch.openflow.messages.session import EchoRequest
from vswitch.vconn.client import Client, ClientError
from vswitch.vconn.settings import ControllerSettings
from vswitch.vconn.tls import Tls, TlsError, TlsSettings, self_signed

pytestmark = pytest.mark.system

TARGET = "pssl:0:127.0.0.1"


@pytest.fixture(scope="module")
def authority(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Authority:
    require("command:openssl")
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def switch(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("tls"))
    running.ofprotos.tls.configure(authority.sign("switch"))
    running.do(lambda: running.bridge.controllers.set_controllers([ControllerSettings(TARGET)]))
    try:
        yield running
    finally:
        running.close()


def port(switch: Running) -> int:
    return switch.do(lambda: switch.bridge.controllers.listening_port(TARGET))


def der(path: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(path).read_text())


def tls(settings: TlsSettings) -> Tls:
    return Tls(Clock(), settings)


def test_a_client_whom_the_authority_knows(switch: Running, authority: Authority) -> None:
    with Client(f"ssl:127.0.0.1:{port(switch)}", tls=tls(authority.sign("client"))) as client:
        assert client.version == 6
        client.barrier()
    switch.until(lambda: not switch.bridge.connmgr.conns)


def test_large_messages_both_ways(switch: Running, authority: Authority) -> None:
    body = bytes(range(256)) * 250
    with Client(f"ssl:127.0.0.1:{port(switch)}", tls=tls(authority.sign("client"))) as client:
        for _ in range(20):
            assert client.transact(EchoRequest(body))[0].data == body


def test_a_client_of_another_authority_is_refused(
    switch: Running, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "other").sign("stranger")
    target = f"ssl:127.0.0.1:{port(switch)}"
    for settings in (stranger, replace(stranger, ca_cert=str(authority.certificate))):
        with pytest.raises(ClientError):
            Client(target, tls=tls(settings))
    assert switch.do(lambda: len(switch.bridge.connmgr.conns)) == 0
    test_a_client_whom_the_authority_knows(switch, authority)


def test_a_client_without_a_certificate_is_refused(switch: Running, authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority.certificate)
    peer = Peer.tcp(port(switch))
    # In TLS 1.3 the client's own part of the handshake is over before the server refuses.
    with context.wrap_socket(peer.sock) as wrapped, pytest.raises((ssl.SSLError, ConnectionResetError)):
        wrapped.recv(100)


def test_plain_text_where_tls_is_spoken(switch: Running, authority: Authority) -> None:
    peer = Peer.tcp(port(switch))
    peer.send(b"\x04\x00\x00\x08\x00\x00\x00\x01")
    while peer.recv() is not None:
        pass
    test_a_client_whom_the_authority_knows(switch, authority)


def test_the_real_ovs_ofctl(switch: Running, authority: Authority, require: Callable[..., None]) -> None:
    require("command:ovs-ofctl")
    s = authority.sign("ofctl")
    keys = ("-p", s.private_key, "-c", s.certificate, "-C", s.ca_cert)
    target = f"ssl:127.0.0.1:{port(switch)}"
    switch.ofctl(*keys, "-O", "OpenFlow13", "add-flow", target, "priority=3,actions=drop")
    assert "priority=3 actions=drop" in switch.ofctl(*keys, "dump-flows", target).stdout
    without = switch.ofctl("-C", s.ca_cert, "dump-flows", target, check=False)
    assert without.returncode != 0


def test_the_real_ovs_testcontroller(
    switch: Running, authority: Authority, require: Callable[..., None]
) -> None:
    require("command:ovs-testcontroller")
    s = authority.sign("testcontroller")
    ctl = switch.directory / "tc.ctl"
    tester = subprocess.Popen(
        ["ovs-testcontroller", "-p", s.private_key, "-c", s.certificate, "-C", s.ca_cert,
         f"ssl:127.0.0.1:{port(switch)}", f"--unixctl={ctl}", "-O", "OpenFlow13"],
        env=switch.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # It adds the flow that sends what matches no other to it.
        switch.until(lambda: [rule for rule in switch.bridge.tables.rules() if rule.is_table_miss()])
    finally:
        tester.terminate()
        tester.wait(10)
    switch.until(lambda: not switch.bridge.connmgr.conns)


def test_a_controller_with_tls(switch: Running, authority: Authority) -> None:
    """The switch as the client: Python's ssl is the server."""
    s = authority.sign("controller")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(s.certificate, s.private_key)
    context.load_verify_locations(s.ca_cert)
    context.verify_mode = ssl.CERT_REQUIRED
    controller = Controller()
    settings = ControllerSettings(controller.target.replace("tcp", "ssl"), in_band=False)
    switch.do(lambda: switch.bridge.controllers.set_controllers([settings]))
    sock, _ = controller.sock.accept()
    peer = Peer(context.wrap_socket(sock, server_side=True)).hello()
    assert peer.echo(bytes(40_000))[8:] == bytes(40_000)
    switch.until(lambda: switch.bridge.controllers.status()[settings.target].is_connected)
    peer.close()
    controller.close()


def test_keys_that_change_are_used_by_the_next_connection(
    switch: Running, authority: Authority, tmp_path: Path
) -> None:
    new = Authority(tmp_path, "new")
    old = switch.ofprotos.tls.settings
    client = new.sign("client")
    target = f"ssl:127.0.0.1:{port(switch)}"
    with pytest.raises(ClientError):
        Client(target, tls=tls(client))
    copies = TlsSettings(*(str(tmp_path / f"in-use-{n}") for n in range(3)))
    for source, copy in zip(
        (old.private_key, old.certificate, old.ca_cert),
        (copies.private_key, copies.certificate, copies.ca_cert),
        strict=True,
    ):
        shutil.copy(source, copy)
    switch.do(lambda: switch.ofprotos.tls.configure(copies))
    with Client(target, tls=tls(authority.sign("client"))) as still:
        ours = new.sign("switch")
        shutil.copy(ours.private_key, copies.private_key)
        shutil.copy(ours.certificate, copies.certificate)
        shutil.copy(ours.ca_cert, copies.ca_cert)
        with Client(target, tls=tls(client)) as fresh:
            fresh.barrier()
        still.barrier()


def test_the_ca_certificate_is_taken_from_the_first_peer(
    authority: Authority, switch: Running, tmp_path: Path
) -> None:
    switch.do(lambda: switch.ofprotos.tls.configure(authority.sign("with-chain", chain=True)))
    own = authority.sign("client")
    trusting = replace(own, ca_cert=str(tmp_path / "taken.pem"), bootstrap_ca_cert=True)
    target = f"ssl:127.0.0.1:{port(switch)}"
    with pytest.raises(ClientError, match="Protocol error"):
        Client(target, tls=tls(trusting))
    taken = (tmp_path / "taken.pem").read_text()
    assert ssl.PEM_cert_to_DER_cert(taken) == ssl.PEM_cert_to_DER_cert(authority.certificate.read_text())
    with Client(target, tls=tls(trusting)) as client:
        client.barrier()


def test_a_peer_without_a_ca_certificate_in_its_chain_is_not_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    """A server that knows no authority sends none along."""
    own = authority.sign("client")
    trusting = replace(own, ca_cert=str(tmp_path / "taken.pem"), bootstrap_ca_cert=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.private_key)
    server = Controller()

    def serve() -> None:
        with context.wrap_socket(server.sock.accept()[0], server_side=True) as sock:
            sock.recv(100)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(ClientError, match="Protocol error"):
            Client(server.target.replace("tcp", "ssl"), tls=tls(trusting))
    finally:
        thread.join(10)
        server.close()
    assert not (tmp_path / "taken.pem").exists()


def test_what_is_self_signed(authority: Authority) -> None:
    certificate = der(str(authority.certificate))
    assert self_signed(certificate)
    assert not self_signed(der(authority.sign("somebody").certificate))
    assert not any(self_signed(certificate[:n]) for n in range(0, len(certificate) - 1, 7))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (TlsSettings(), "Private key must be configured"),
        (TlsSettings("/nosuch", "/nosuch", "/nosuch"), "No such file"),
    ],
)
def test_settings_that_do_not_work(settings: TlsSettings, error: str, authority: Authority) -> None:
    with pytest.raises(TlsError, match=error):
        tls(settings).context(server=True)
    good = authority.sign("good")
    for bad, said in (
        (replace(good, protocols="TLSv9"), "TLSv9: SSL protocol not recognized"),
        (replace(good, ciphers="ROT13"), "SSL ciphers ROT13"),
        (replace(good, private_key=good.certificate), "cert"),
    ):
        with pytest.raises(TlsError, match=said):
            tls(bad).context(server=False)
    assert tls(replace(good, protocols="TLSv1.2,TLSv1.3")).context(server=False)
