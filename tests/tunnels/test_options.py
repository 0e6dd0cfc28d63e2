"""Every option of every kind of tunnel, with values that are right, at the limits and wrong, beside the real
switch: columns, `dpif/show`, listeners, what is logged, and traces of packets that leave by the port or come.

`VSWITCH_TEST_ALL=1` tries all of them, and a thousand settings of several at random.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bridge.pair import Side
from tests.tunnels.test_against_real import V4, trace_or_error
from tests.whole import ALL, sample

pytestmark = pytest.mark.system

NUMBERS = (
    "0", "1", "7", "255", "256", "0x10", "010", "-1", "x", "5x", "", "16777215", "16777216", "4294967296",
    "18446744073709551615", "18446744073709551616", " 7",
)  # fmt: skip
TRUTHS = ("true", "false", "TRUE", "yes", "0", "")
KEYS = ("flow", *NUMBERS)
BYTES = ("inherit", "0", "1", "3", "4", "0x48", "64", "255", "256", "-1", "x", "")
VALUES = {
    "remote_ip": ("flow", "1.1.2.92", "2001:cafe::92", "224.0.0.1", "ff02::1", "foo", "1.1.2", "1.1.2.92:1",
                  "", "::", "::ffff:1.1.2.92"),
    "local_ip": ("flow", "1.1.2.88", "2001:cafe::88", "1.1.2.77", "224.0.0.1", "foo", "", "0.0.0.0"),
    "key": KEYS, "in_key": KEYS, "out_key": KEYS,
    "dst_port": ("0", "1", "4789", "65535", "65536", "-1", "x", "", "0x100"),
    "tos": BYTES, "ttl": BYTES,
    "df_default": TRUTHS, "csum": TRUTHS, "seq": TRUTHS,
    "egress_pkt_mark": ("0", "4", "0x4", "-1", "x", "4294967295", "4294967296", ""),
    "packet_type": ("legacy_l2", "legacy_l3", "ptap", "x", ""),
    "exts": ("gbp", "gpe", "gbp,gpe", "x", "", "gbp,x", "gbp, gpe"),
    "erspan_ver": ("0", "1", "2", "3", "flow", "x", ""),
    "erspan_idx": ("0", "3", "abc", "fffff", "100000", "0x5", "flow", "x", ""),
    "erspan_dir": ("0", "1", "2", "flow", "x", ""),
    "erspan_hwid": ("0", "7", "3f", "40", "flow", "x", ""),
    "psk": ("secret",), "foo": ("bar",),
}  # fmt: skip
KINDS = ("vxlan", "geneve", "gre", "ip6gre", "erspan", "ip6erspan", "gtpu")
REMOTE = {"ip6gre": "2001:cafe::92", "ip6erspan": "2001:cafe::92", "gre": "1.1.2.94"}
CARRIED = ("geneve", "ip6gre")
"""Kinds that carry packets without Ethernet here only."""
LEVELS = re.compile(r"\|(?:WARN|ERR)\|")
ELSEWHERE = re.compile("is not a valid IP|could not set configuration|could not add|attempting to|Dropped")
"""What the real one's other modules say of the same; the port's error says it, too, and rates are limited."""
NUMBER = 90
PACKET = "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=33,nw_tos=0x48,nw_ecn=1"
OUT = f"in_port=LOCAL,metadata=900,{PACKET}"

Case = tuple[str, dict[str, str]]


def each() -> Iterator[Case]:
    for kind in KINDS:
        for option, values in VALUES.items():
            for value in values:
                if value == "legacy_l3" and kind in CARRIED:
                    continue
                yield kind, {"remote_ip": REMOTE.get(kind, "1.1.2.92"), option: value}
        yield kind, {}


def at_random(rng: random.Random) -> Case:
    kind = rng.choice(KINDS)
    options = {"remote_ip": REMOTE.get(kind, "1.1.2.92")}
    for option in rng.sample(sorted(VALUES), rng.randrange(1, 6)):
        options[option] = rng.choice(VALUES[option])
    if kind in CARRIED and options.get("packet_type") == "legacy_l3":
        del options["packet_type"]
    return kind, options


def seen(side: Side, case: Case) -> dict[str, str]:
    """Add the tunnel, and what shows of it; then it is gone again."""
    kind, options = case
    before = len(side.log("ovs-vswitchd"))
    words = [f'options:{option}="{value}"' for option, value in options.items()]
    code, out, _ = side.try_run(
        "ovs-vsctl", "-t", "10", "add-port", "int-br", "opt", "--", "set", "interface", "opt", f"type={kind}",
        f"ofport_request={NUMBER}", *words,
    )  # fmt: skip
    found = {"vsctl": f"{code} {out}"}
    for column in ("ofport", "error"):
        found[column] = side.get("interface", "opt", column)
    log = re.split(r"(?m)^(?=\d{4}-\d\d-\d\dT)", side.log("ovs-vswitchd")[before:])
    said = [re.split(r"\|(?:WARN|ERR)\|", line, maxsplit=1)[1].strip() for line in log if LEVELS.search(line)]
    found["log"] = "\n".join(sorted({line for text in said for line in text.splitlines()}))
    shown = [line for line in side.appctl("dpif/show").splitlines() if line.strip().startswith("opt ")]
    found["dpif/show"] = re.sub(r"/\d+:", "/:", "\n".join(shown))
    ports = side.appctl("tnl/ports/show", "-v")
    found["tnl/ports/show"] = "\n".join(sorted(re.sub(r"\(\d+\)", "", line) for line in ports.splitlines()))
    if found["ofport"] == str(NUMBER):
        found["status"] = side.get("interface", "opt", "status")
        found["out"] = re.sub(r"tnl_port\(\d+\)", "tnl_port()", side.appctl("ofproto/trace", "int-br", OUT))
        odp = re.search(r"/(\d+):", shown[0]) if shown else None
        for key in ("0x7", "0x0") if odp else ():
            tunnel = f"tunnel(tun_id={key},src=1.1.2.92,dst=1.1.2.88,tos=0x4,ttl=63,flags(key))"
            flow = f"{tunnel},in_port({odp[1] if odp else ''}),{V4.format(0)}"
            found[f"in {key}"] = trace_or_error(side, flow).replace(f"in_port({odp[1] if odp else ''})", "")
    side.run("ovs-vsctl", "-t", "10", "del-port", "int-br", "opt")
    return found


def compare(pair: tuple[Side, Side], cases: list[Case]) -> None:
    wrong = []
    for side in pair:
        side.run("ovs-ofctl", "add-flow", "int-br", f"table=1,metadata=900,actions={NUMBER}")
    with ThreadPoolExecutor(2) as both:
        for case in cases:
            real, ours = both.map(seen, pair, (case, case))
            if len(case[1]) > 2 and real["ofport"] == ours["ofport"] == "-1":
                # Which of several faults it tells of hangs on the order of a hash table.
                continue
            lacking = {line for line in real["log"].splitlines() if not ELSEWHERE.search(line)}
            lacking -= set(ours["log"].splitlines())
            if lacking:
                wrong.append(f"{case} not logged: {lacking}")
            wrong += [
                f"{case} {what}:\nreal {real.get(what)}\nours {ours.get(what)}"
                for what in sorted({*real, *ours} - {"log"}) if real.get(what) != ours.get(what)
            ]  # fmt: skip
    assert not wrong, f"{len(wrong)} in {len(cases)} cases:\n" + "\n\n".join(wrong)


def test_each_value_of_each_option(own_pair: tuple[Side, Side]) -> None:
    compare(own_pair, sample(each(), 40))


def test_several_options_at_random(own_pair: tuple[Side, Side]) -> None:
    rng = random.Random(5)
    compare(own_pair, [at_random(rng) for _ in range(1000 if ALL else 15)])
