"""The `multipath` action: a link number from a hash of the packet (ovs-actions(7))."""

from __future__ import annotations

from typing import Final

from vswitch.flow.hash import M32, hash_2words
from vswitch.flow.hash_fields import hash_fields, mask_hash_fields
from vswitch.ofproto_dpif.xlate.actions import fields
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.openflow import actions as of

MAX_WEIGHTS: Final = 64
"""With more links than this a weight for each is too much: "hrw" then means "iter_hash"."""


def multipath(ctx: Ctx, a: of.Multipath, last: bool) -> None:
    """Load the link that `a` chooses for the packet into its destination."""
    of_packet = hash_fields(ctx.flow, a.fields, a.basis)
    link = choose_link(of_packet, a.algorithm, a.max_link + 1, a.arg)
    mask_hash_fields(ctx.flow, ctx.wc, a.fields)
    fields.load(ctx, a.dst, link)


def choose_link(of_packet: int, algorithm: str, n_links: int, arg: int) -> int:
    """The link, 0 to `n_links` - 1, for a packet of 32-bit hash `of_packet`."""
    if algorithm == "modulo_n":
        return of_packet % n_links
    if algorithm == "hash_threshold":
        return 0 if n_links == 1 else of_packet // (M32 // n_links + 1)
    if algorithm == "hrw" and n_links <= MAX_WEIGHTS:
        return highest_random_weight(of_packet, n_links)
    return iterated_hash(of_packet, n_links, arg)


def highest_random_weight(of_packet: int, n_links: int) -> int:
    """The link with the highest weight of all (Thaler and Ravishankar 1998)."""
    best = 0
    best_weight = -1
    for link in range(n_links):
        weight = hash_2words(of_packet, link)
        if weight > best_weight:
            best = link
            best_weight = weight
    return best


def iterated_hash(of_packet: int, n_links: int, modulo: int) -> int:
    """The first of a row of hashes modulo `modulo` that is a link. A `modulo` out of reason gives
    way to the next power of two."""
    if modulo < n_links or modulo // 2 > n_links:
        modulo = 1 << (n_links - 1).bit_length()
    i = 0
    while True:
        link = hash_2words(of_packet, i) % modulo
        if link < n_links:
            return link
        i += 1
