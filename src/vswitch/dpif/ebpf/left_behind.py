"""Taking away what a switch left that was killed, whatever the type of the next one's datapath.

Programs at clsact would take packets still, and nobody would read what they send up; a tunnel's device holds
its UDP port. Programs at tcx, maps and taps went with their process.
"""

from __future__ import annotations

from vswitch.base.vlog import Vlog
from vswitch.ebpf.clsact import remove_stale
from vswitch.ebpf.owner import is_left
from vswitch.netdev.tunnel_link import TunnelLinks

log = Vlog("dpif_ebpf")


def remove_left_behind() -> None:
    """Do it, as far as the kernel lets this process."""
    try:
        for ifindex in remove_stale():
            log.info("interface %d: removed the program of a switch that is no more", ifindex)
        _remove_devices()
    except OSError as e:
        log.warn("what a switch that is no more may have left cannot be removed: %s", e.strerror or e)


def _remove_devices() -> None:
    links = TunnelLinks()
    try:
        for name in links.left(is_left):
            links.delete(name)
            log.info("%s: removed the device of a switch that is no more", name)
    finally:
        links.close()
