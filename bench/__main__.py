"""`python -m bench [SECTION ...]`: run the benchmarks and print ours beside the peer's.

Each section runs in a process of its own, so that none finds another's memory or caches.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from bench.report import Row, show
from bench.section import run_section

SECTIONS = {
    "traffic": "TCP, UDP and ping through the userspace datapath",
    "ebpf": "the eBPF datapath beside the Linux bridge, the userspace datapath and the real switch's",
    "export": "the userspace datapath while 20,000 samples a second are exported",
    "conntrack": "connection tracking and NAT in the userspace datapath",
    "tunnels": "TCP, UDP and ping over VXLAN and Geneve through the userspace datapath",
    "miss": "CPU of one miss: upcall to batch",
    "classifier": "lookups with 1, 10 and 50 masks",
    "facets": "memory of a facet",
    "openflow": "flow mods, listings and packet-ins through the OpenFlow connection",
    "stall": "how long packets wait while the switch has much else to do",
    "database": "configuration by ovs-vsctl, start-up time and memory at rest",
    "page": "the live page with 1,000 ports and 100,000 flows, and a scrape of the metrics",
    "newflows": "new flows a second on the kernel datapath, in user-mode Linux",
}


def main() -> int:
    """Run the named sections, all by default; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("section", nargs="*", help=", ".join(f"{k} ({v})" for k, v in SECTIONS.items()))
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    arguments = parser.parse_args()
    unknown = set(arguments.section) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    rows: list[Row] = []
    failed = 0
    for section in arguments.section or SECTIONS:
        print(f"bench: {section}: {SECTIONS[section]}", file=sys.stderr, flush=True)
        try:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                rows += process.submit(run_section, section).result()
        except Exception as error:
            print(f"bench: {section} failed: {error}", file=sys.stderr)
            failed = 1
    show(rows, arguments.json)
    return failed


if __name__ == "__main__":
    sys.exit(main())
