"""`dpctl/add-dp`, `add-if`, `show` and their like: datapaths and their ports."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, TypeVar

from vswitch.base.unixctl import ANY, CommandError, Json, leading_number
from vswitch.dpif.dpctl import DEFAULT_TYPE, Datapaths, Entry, Options, failed
from vswitch.dpif.open import dpif_class, dpif_create_and_open
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError, DpifPort
from vswitch.netdev.provider import Netdev
from vswitch.netdev.registry import DEFAULT_TYPE as DEFAULT_DEVICE
from vswitch.netdev.scope import Scope

_T = TypeVar("_T")


def _add_dp(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    type, at, name = args[0].partition("@")
    if not at:
        type, name = DEFAULT_TYPE, args[0]
    try:
        if not name:
            raise DpifError(errno.EINVAL, "create", args[0])
        if (type, name) in datapaths.all():
            raise DpifError(errno.EEXIST, "create", args[0])
        dpif = dpif_create_and_open(name, type, datapaths.clock, datapaths.scope)
    except DpifError as e:
        raise failed("add_dp", e.errno or 0) from e
    dpif.close()
    return _add_if(datapaths, options, [f"{type}@{name}", *args[1:]]) if args[1:] else ""


def _del_dp(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    dpif = datapaths.open(args[0])
    try:
        dpif.destroy()
    except DpifError as e:
        raise failed("del_dp", e.errno or 0) from e
    finally:
        dpif.close()
    return ""


def _split_port(text: str) -> tuple[str, dict[str, str]]:
    """"NAME,KEY=VALUE,..." as name and options; a key without "=" has the value ""."""
    name, *words = text.split(",")
    found: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key:
            found[key] = value
    return name, found


def _each(args: list[str], do: object) -> str:
    """Carry out something for every argument, whatever became of those in front of it; CommandError
    with all that went wrong."""
    assert callable(do)
    wrong: list[str] = []
    for arg in args:
        try:
            do(arg)
        except CommandError as e:
            wrong.append(str(e))
    if wrong:
        raise CommandError("\n".join(wrong))
    return ""


def _add_if(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    dp = args[0]
    dpif = datapaths.open(dp)

    def add(text: str) -> None:
        name, found = _split_port(text)
        if not name:
            raise failed(f"{name} is not a valid network device name")
        type = found.pop("type", "") or DEFAULT_DEVICE
        wanted = found.pop("port_no", None)
        number = None if wanted is None else leading_number(wanted)
        device = datapaths.scope.find(name)
        if device is not None and device.type != type:
            raise failed(f"{name}: failed to open network device", errno.EEXIST)
        try:
            dpif.port_add(name, type, number, found)
        except DpifError as e:
            if e.errno == errno.EAFNOSUPPORT:
                raise failed(f"{name}: failed to open network device", e.errno) from e
            raise failed(f"adding {name} to {dp} failed", e.errno or 0) from e

    try:
        return _each(args[1:], add)
    finally:
        dpif.close()


def _set_if(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    dp = args[0]
    dpif = datapaths.open(dp)

    def change(text: str) -> None:
        name, found = _split_port(text)
        try:
            port = dpif.port_query_by_name(name)
        except DpifError as e:
            raise failed(f"{name}: failed to query port in {dp}", e.errno or 0) from e
        type = found.pop("type", None)
        if type is not None and type != port.type:
            raise failed(f"{name}: can't change type from {port.type} to {type}")
        number = found.pop("port_no", None)
        if number is not None and leading_number(number) != port.port_no:
            raise failed(f"{name}: can't change port number from {port.port_no} to {leading_number(number)}")
        netdev = datapaths.scope.find(name)
        if netdev is None:
            raise failed(f"{name}: failed to open network device", errno.ENODEV)
        config = {**netdev.config(), **found}
        try:
            netdev.set_config({key: value for key, value in config.items() if value})
        except OSError as e:
            raise failed(f"{name}: failed to configure network device", e.errno or 0) from e

    try:
        return _each(args[1:], change)
    finally:
        dpif.close()


def _del_if(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    dp = args[0]
    dpif = datapaths.open(dp)

    def delete(name: str) -> None:
        if name.isdigit():
            number = int(name)
        else:
            try:
                number = dpif.port_query_by_name(name).port_no
            except DpifError as e:
                raise failed(f"no port named {name}") from e
        try:
            dpif.port_del(number)
        except DpifError as e:
            # The interface says ENOENT, the real datapath's word for it is ENODEV.
            code = errno.ENODEV if e.errno == errno.ENOENT else e.errno or 0
            raise failed(f"deleting port {name} from {dp} failed", code) from e

    try:
        return _each(args[1:], delete)
    finally:
        dpif.close()


def _dump_dps(datapaths: Datapaths, _options: Options, _args: list[str]) -> str:
    return "".join(f"{type}@{name}\n" for type, name in datapaths.all())


def _show(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    told: list[str] = []
    went_well = True
    for name in args or ["@".join(dp) for dp in datapaths.all()]:
        shown, wrong = _of_each(
            datapaths, [name], lambda dpif: show(dpif, datapaths.scope, options.statistics)
        )
        told += [*shown, *(f"{line}\n" for line in wrong)]
        went_well = went_well and not wrong
    if not went_well:
        raise CommandError("".join(told))
    return "".join(told)


def _show_json(datapaths: Datapaths, options: Options, args: list[str]) -> Json:
    shown, wrong = _of_each(
        datapaths, args, lambda dpif: (dpif.name, _values(dpif, datapaths.scope, options.statistics))
    )
    if wrong:
        raise CommandError("\n".join(wrong))
    return dict(shown)


def _of_each(datapaths: Datapaths, args: list[str], fn: Callable[[Dpif], _T]) -> tuple[list[_T], list[str]]:
    """What `fn` says of the datapaths named, or of all; and what went wrong."""
    shown: list[_T] = []
    wrong: list[str] = []
    for name in args or ["@".join(dp) for dp in datapaths.all()]:
        try:
            dpif = datapaths.open(name, f"opening datapath {name} failed")
        except CommandError as e:
            wrong.append(str(e))
            continue
        try:
            shown.append(fn(dpif))
        except DpifError as e:
            wrong.append(str(failed(f"{name}: can't show", e.errno or 0)))
        finally:
            dpif.close()
    return shown, wrong


def _values(dpif: Dpif, scope: Scope, statistics: bool) -> Json:
    """`show` as a value: "masks", "cache" and ports' "statistics" only where there are such."""
    stats = dpif.stats()
    value: dict[str, Json] = {
        "flows": stats.n_flows,
        "lookups": {"hits": stats.n_hit, "missed": stats.n_missed, "lost": stats.n_lost},
        "ports": {
            port.name: _port_values(dpif, port, scope.find(port.name), statistics)
            for port in dpif.port_dump()
        },
    }
    if dpif_class(dpif.type).counts_masks:
        value["masks"] = {"hits": stats.n_mask_hit, "total": stats.n_masks}
        value["cache"] = {"statistics": {"hits": stats.n_cache_hit}, "config": dpif.cache_sizes()}
    paths = dpif.paths()
    return {**value, "paths": paths} if paths else value


def _port_values(dpif: Dpif, port: DpifPort, netdev: Netdev | None, statistics: bool) -> Json:
    value: dict[str, Json] = {"port-number": port.port_no, "type": port.type}
    if netdev is not None and netdev.config():
        value["config"] = netdev.config()
    if statistics:
        try:
            value["statistics"] = dpif.port_stats(port.port_no)
        except DpifError as e:
            value["statistics"] = {"error": e.strerror}
    return value


def show(dpif: Dpif, scope: Scope, statistics: bool) -> str:
    """What `dpctl/show` prints of one datapath: lookups, flows, ports by number, and with `statistics`
    their counters."""
    stats = dpif.stats()
    lines = [
        f"{dpif.type}@{dpif.name}:",
        f"  lookups: hit:{stats.n_hit} missed:{stats.n_missed} lost:{stats.n_lost}",
        f"  flows: {stats.n_flows}",
    ]
    if dpif_class(dpif.type).counts_masks:
        n_packets = stats.n_hit + stats.n_missed
        per_packet = stats.n_mask_hit / n_packets if n_packets else 0.0
        lines.append(f"  masks: hit:{stats.n_mask_hit} total:{stats.n_masks} hit/pkt:{per_packet:.2f}")
        rate = 100 * stats.n_cache_hit / n_packets if n_packets else 0.0
        lines.append(f"  cache: hit:{stats.n_cache_hit} hit-rate:{rate:.2f}%")
    paths = dpif.paths()
    if paths:
        lines.append("  paths: " + ", ".join(f"{name}:{n}" for name, n in paths.items()))
    lines += _caches(dpif)
    for port in dpif.port_dump():
        netdev = scope.find(port.name)
        lines.append(f"  port {port.port_no}: {port.name}{_describe(port, netdev)}")
        if statistics:
            lines += _port_stats(dpif, port.port_no, netdev)
    return "".join(f"{line}\n" for line in lines)


def _caches(dpif: Dpif) -> list[str]:
    caches = dpif.cache_sizes()
    return ["  caches:", *(f"    {name}: size:{caches[name]}" for name in sorted(caches))] if caches else []


def _describe(port: DpifPort, netdev: Netdev | None) -> str:
    """The type in parentheses, with the options of tunnels; nothing for ordinary interfaces."""
    if port.type == DEFAULT_DEVICE:
        return ""
    if netdev is None:
        return f" ({port.type})"
    type = netdev.type if port.type == "internal" else port.type
    config = netdev.config()
    if not config:
        return f" ({type})"
    return f" ({type}: " + ", ".join(f"{key}={config[key]}" for key in sorted(config)) + ")"


def _port_stats(dpif: Dpif, port_no: int, netdev: Netdev | None) -> list[str]:
    try:
        s = dpif.port_stats(port_no)
    except DpifError as e:
        return [f"    could not retrieve stats ({e.strerror})"]
    counted = netdev.counted if netdev is not None else None

    def n(name: str) -> str:
        known = name in s and (counted is None or name in counted)
        return str(s[name]) if known else "?"

    return [
        f"    RX packets:{n('rx_packets')} errors:{n('rx_errors')} dropped:{n('rx_dropped')} "
        f"overruns:{n('rx_over_errors')} frame:{n('rx_frame_errors')}",
        f"    TX packets:{n('tx_packets')} errors:{n('tx_errors')} dropped:{n('tx_dropped')} "
        f"aborted:{n('tx_aborted_errors')} carrier:{n('tx_carrier_errors')}",
        f"    collisions:{n('collisions')}",
        f"    RX bytes:{n('rx_bytes')}{_scaled(s.get('rx_bytes', 0))}  "
        f"TX bytes:{n('tx_bytes')}{_scaled(s.get('tx_bytes', 0))}",
    ]


def _scaled(n_bytes: int) -> str:
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n_bytes >= 1024**power:
            return f" ({n_bytes / 1024**power:.1f} {unit})"
    return ""


def _cache_get_size(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    lines: list[str] = []
    for name in args or [f"{type}@{name}" for type, name in datapaths.all()]:
        dpif = datapaths.open(name, f"Opening datapath {name} failed")
        try:
            lines += [f"{dpif.type}@{dpif.name}:", *_caches(dpif)]
        except DpifError as e:
            raise failed("Failed to get the caches", e.errno or 0) from e
        finally:
            dpif.close()
    return "".join(f"{line}\n" for line in lines)


def _cache_set_size(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    if not args[2].isdigit():
        raise failed("size is malformed", errno.EINVAL)
    dpif = datapaths.open(args[0], f"Opening datapath {args[0]} failed")
    try:
        caches = dpif.cache_sizes()
        if not caches:
            raise failed("Setting caches not supported", errno.EOPNOTSUPP)
        if args[1] not in caches:
            raise failed(f'Cache name "{args[1]}" not found on dpif', errno.EINVAL)
        wanted = int(args[2])
        # Caches are hash tables: sizes are powers of two.
        size = 1 << (wanted - 1).bit_length() if wanted else 0
        dpif.cache_set_size(args[1], size)
    except DpifError as e:
        raise failed("Setting cache size failed", e.errno or 0) from e
    finally:
        dpif.close()
    return f"Setting cache size successful, new size {size}\n"


ENTRIES: Final = (
    Entry("add-dp", "dp [iface...]", 1, ANY, _add_dp),
    Entry("del-dp", "dp", 1, 1, _del_dp),
    Entry("add-if", "dp iface...", 2, ANY, _add_if),
    Entry("del-if", "dp iface...", 2, ANY, _del_if),
    Entry("set-if", "dp iface...", 2, ANY, _set_if),
    Entry("dump-dps", "", 0, 0, _dump_dps),
    Entry("show", "[-s] [dp...]", 0, ANY, _show, _show_json),
)
CACHE_ENTRIES: Final = (
    Entry("cache-get-size", "[dp]", 0, 1, _cache_get_size),
    Entry("cache-set-size", "dp cache <size>", 3, 3, _cache_set_size),
)
