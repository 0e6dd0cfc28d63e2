"""One deployment over our switch for all tests of OVN, and what was seen of it when it was new."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.ovn.deployment import Deployment
from tests.ovn.seen import Seen, look

NEEDS = (
    "root", "netns", "packet-socket", "tun", "command:ovn-northd", "command:ovn-controller",
    "command:ovsdb-server", "command:ovs-vswitchd", "command:socat", "command:ethtool", "command:udhcpc",
    "command:iperf3", "command:tcpdump",
)  # fmt: skip


@pytest.fixture(scope="package")
def ovn(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Tunnels by the host's own stack, no underlay bridge."""
    require(*NEEDS)
    deployment = Deployment(tmp_path_factory.mktemp("ovn"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture(scope="package")
def seen(ovn: Deployment) -> Seen:
    return look(ovn)
