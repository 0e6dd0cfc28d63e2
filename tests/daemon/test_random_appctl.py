"""`ovs-appctl` with random words beside the real daemon: the same answers and the same errors."""

from __future__ import annotations

import difflib
import itertools
import random
import re
from collections.abc import Callable, Iterator

import pytest

from tests.daemon.appctl_words import SETUP, Line, excused, lines
from tests.daemon.vswitchd import Stack
from tests.oracle.real import OracleError, RealSwitch, UnixctlClient
from tests.whole import ALL

pytestmark = pytest.mark.system

N_LINES = 20_000 if ALL else 1_500
UNORDERED = re.compile(r".*(show|dump|list|features).*")
"""Commands whose lines come in the order of somebody's hash table."""
PASSING = re.compile(
    r"-?\d+ ?ms|(?<=mac: )[0-9a-f:]+|(?<=duration=)\d+s|(?<=Discriminator: )0x[0-9a-f]+"
    r"|(?<=aggregation key: )\d+|(?<=actor key: )\d+|(?<= )\d+(?=: \(keys)|(?<=128\.)\d+|(?<=Recirc-ID : )\d+"
    r"|(?<=balance-slb\t)\d+|(?<=Designated )\w+"
    r"|(?<=designated )(listening|learning|forwarding)|Unknown error -2|Invalid argument"
    r"|(?<=limit )\d+|max_vlan_headers .*"
)
"""What time, chance or the order of a hash table decides; the numbers of parse-actions' errors; the limit of
flows, which the real switch sets again at once; and what is said of VLAN headers that are set."""


def normalised(line: Line, reply: str) -> str:
    """A reply without what need not be the same."""
    text = PASSING.sub("N", reply.strip())
    said = [" ".join(sorted(re.split(r"[,\t ]+", row))) for row in text.splitlines()]
    return "\n".join(sorted(said) if UNORDERED.fullmatch(line[0]) else said)


@pytest.fixture(scope="module")
def both(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[UnixctlClient, UnixctlClient]]:
    """The real daemon and ours, each with what `SETUP` says."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl")
    real = RealSwitch(tmp_path_factory.mktemp("real"), ("ovs-vswitchd", "--disable-system-route"))
    ours = Stack(tmp_path_factory.mktemp("ours"))
    try:
        real.start()
        ours.environment["OVS_SYSLOG_METHOD"] = "libc"
        ours.start_database()
        ours.detach("--disable-system-route")
        for line in SETUP.strip().splitlines():
            real.run("ovs-vsctl", "-t", "15", *line.split())
            ours.run("ovs-vsctl", "-t", "15", *line.split())
        assert real.client is not None
        client = ours.client()
        for switch in (real.client, client):
            switch.call("bond/set-active-member", "bond0", "p11")
        yield real.client, client
        client.close()
    finally:
        ours.close()
        real.close()


def answer(client: UnixctlClient, line: Line) -> str:
    """The reply, an error with "error: " in front."""
    try:
        return client.call(*line)
    except OracleError as e:
        return f"error: {e}"
    except OSError as e:
        raise AssertionError(f"{line}: {e}") from e


def test_answers_are_the_real_ones(both: tuple[UnixctlClient, UnixctlClient]) -> None:
    real, _ = both
    asked = itertools.islice(lines(random.Random(21), real.call("list-commands")), N_LINES)
    different = []
    for line in asked:
        theirs, own = (normalised(line, answer(client, line)) for client in both)
        if own != theirs and not excused(line):
            delta = difflib.unified_diff(theirs.splitlines(), own.splitlines(), "real", "ours", n=0)
            different.append("\n".join([f"$ {line}", *delta]))
    assert not different, "\n\n".join(different[:50])
