"""Three controllers on os-ken, an independent OpenFlow implementation; each speaks one version.

    python -m tests.controllers.apps learning|router|monitor VERSION PORT

`learning` forwards by source addresses that it sees; `router` (1.3 and later) routes with groups and a
meter; `monitor` asks for everything that can be asked. Each prints what it does as lines of JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any, ClassVar

from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import handler, ofp_event
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_3, ofproto_v1_4, ofproto_v1_5

VERSIONS = {"1.0": ofproto_v1_0, "1.3": ofproto_v1_3, "1.4": ofproto_v1_4, "1.5": ofproto_v1_5}
IS_MAIN = __name__ == "__main__"
APP, SPOKEN, PORT = sys.argv[1:4] if IS_MAIN else ("", "1.3", "6653")
VERSION = VERSIONS[SPOKEN].OFP_VERSION


def say(**what: Any) -> None:
    print(json.dumps(what, default=str), flush=True)


def apply(dp: Any, actions: list[Any], table: int | None = None) -> dict[str, Any]:
    """What an OFPFlowMod takes for `actions`, then `table`."""
    parser, ofproto = dp.ofproto_parser, dp.ofproto
    if ofproto.OFP_VERSION == 1:
        return {"actions": actions}
    instructions = [parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, actions)] if actions else []
    if table is not None:
        instructions.append(parser.OFPInstructionGotoTable(table))
    return {"instructions": instructions}


class App(app_manager.OSKenApp):
    """What the three have in common: saying that a switch is there, and what it refuses."""

    OFP_VERSIONS = [VERSION]  # noqa: RUF012 - os-ken's way to say it

    @handler.set_ev_cls(ofp_event.EventOFPErrorMsg, [handler.CONFIG_DISPATCHER, handler.MAIN_DISPATCHER])
    def refused(self, event: Any) -> None:
        say(error=[event.msg.type, event.msg.code])

    def begin(self, dp: Any) -> None:
        """The switch `dp` is there."""

    @handler.set_ev_cls(ofp_event.EventOFPStateChange, handler.MAIN_DISPATCHER)
    def connected(self, event: Any) -> None:
        self.begin(event.datapath)
        say(connected=event.datapath.id)


class Learning(App):
    """A learning switch that answers each packet-in with a flow and a packet-out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.where: dict[tuple[int, str], int] = {}

    def begin(self, dp: Any) -> None:
        parser, ofproto = dp.ofproto_parser, dp.ofproto
        if ofproto.OFP_VERSION > 1:
            to_us = parser.OFPActionOutput(ofproto.OFPP_CONTROLLER, ofproto.OFPCML_NO_BUFFER)
            dp.send_msg(parser.OFPFlowMod(dp, priority=0, match=parser.OFPMatch(), **apply(dp, [to_us])))

    @handler.set_ev_cls(ofp_event.EventOFPPacketIn, handler.MAIN_DISPATCHER)
    def packet_in(self, event: Any) -> None:
        msg = event.msg
        dp = msg.datapath
        parser, ofproto = dp.ofproto_parser, dp.ofproto
        old = ofproto.OFP_VERSION == 1
        in_port = msg.in_port if old else msg.match["in_port"]
        eth = packet.Packet(msg.data).get_protocol(ethernet.ethernet)
        self.where[dp.id, eth.src] = in_port
        out = self.where.get((dp.id, eth.dst), ofproto.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out)]
        if out != ofproto.OFPP_FLOOD:
            if old:
                match = parser.OFPMatch(in_port=in_port, dl_src=eth.src, dl_dst=eth.dst)
            else:
                match = parser.OFPMatch(in_port=in_port, eth_src=eth.src, eth_dst=eth.dst)
            dp.send_msg(parser.OFPFlowMod(dp, priority=1, match=match, **apply(dp, actions)))
            say(flow=[eth.src, eth.dst, out])
        from_port = {"match": parser.OFPMatch(in_port=in_port)} if SPOKEN == "1.5" else {"in_port": in_port}
        dp.send_msg(
            parser.OFPPacketOut(
                datapath=dp,
                buffer_id=ofproto.OFP_NO_BUFFER if not old else 0xFFFFFFFF,
                actions=actions,
                data=msg.data,
                **from_port,
            )
        )


class Router(App):
    """Ports 1 and 2 are networks 10.1.0.0/24 and 10.2.0.0/24; the router is 02:00:00:00:00:fe.

    Table 0 meters and answers ARP for the gateways, table 1 routes through an indirect group a network.
    """

    GATEWAY = "02:00:00:00:00:fe"

    def begin(self, dp: Any) -> None:
        parser, ofproto = dp.ofproto_parser, dp.ofproto
        band = parser.OFPMeterBandDrop(rate=1_000_000, burst_size=100_000)
        dp.send_msg(
            parser.OFPMeterMod(dp, ofproto.OFPMC_ADD, ofproto.OFPMF_KBPS | ofproto.OFPMF_BURST, 1, [band])
        )
        for number in (1, 2):
            to = [
                parser.OFPActionSetField(eth_src=self.GATEWAY),
                parser.OFPActionSetField(eth_dst=f"02:00:00:00:00:0{number}"),
                parser.OFPActionDecNwTtl(),
                parser.OFPActionOutput(number),
            ]
            bucket = {"weight": number - 1} if SPOKEN != "1.5" else {"bucket_id": 1}
            buckets = [parser.OFPBucket(actions=to, **bucket)]
            kind = ofproto.OFPGT_INDIRECT
            if number == 2:
                kind = ofproto.OFPGT_SELECT
                if SPOKEN == "1.5":
                    weight = parser.OFPGroupBucketPropWeight(type_=ofproto.OFPGBPT_WEIGHT, weight=1)
                    buckets = [parser.OFPBucket(bucket_id=1, actions=to, properties=[weight])]
            dp.send_msg(
                parser.OFPGroupMod(
                    dp,
                    ofproto.OFPGC_ADD,
                    kind,
                    number,
                    **(
                        {"command_bucket_id": ofproto.OFPG_BUCKET_ALL, "buckets": buckets}
                        if SPOKEN == "1.5"
                        else {"buckets": buckets}
                    ),
                )
            )
            match = parser.OFPMatch(eth_type=0x0800, ipv4_dst=(f"10.{number}.0.0", "255.255.255.0"))
            group = apply(dp, [parser.OFPActionGroup(number)])
            dp.send_msg(parser.OFPFlowMod(dp, table_id=1, priority=10, match=match, **group))
        to_table = apply(dp, [], 1)
        if SPOKEN == "1.5":
            to_table["instructions"].insert(
                0, parser.OFPInstructionActions(ofproto.OFPIT_APPLY_ACTIONS, [parser.OFPActionMeter(1)])
            )
        else:
            to_table["instructions"].insert(0, parser.OFPInstructionMeter(1, ofproto.OFPIT_METER))
        dp.send_msg(parser.OFPFlowMod(dp, priority=5, match=parser.OFPMatch(eth_type=0x0800), **to_table))
        dp.send_msg(parser.OFPBarrierRequest(dp))

    @handler.set_ev_cls(ofp_event.EventOFPBarrierReply, handler.MAIN_DISPATCHER)
    def done(self, event: Any) -> None:
        say(barrier=event.msg.xid)


class Monitor(App):
    """Asks everything, and says what came."""

    ASKED: ClassVar[dict[str, tuple[str, ...]]] = {
        "1.0": ("Desc", "Flow", "Aggregate", "Table", "Port", "Queue"),
        "1.3": (
            "Desc",
            "Flow",
            "Aggregate",
            "Table",
            "TableFeatures",
            "Port",
            "PortDesc",
            "Queue",
            "Group",
            "GroupDesc",
            "GroupFeatures",
            "Meter",
            "MeterConfig",
            "MeterFeatures",
        ),
    }
    ASKED["1.4"] = (*ASKED["1.3"], "TableDesc", "QueueDesc")
    # os-ken expects meter features of 1.5 to be longer than Open vSwitch makes them, and its reader of
    # 1.5's group descriptions fails on buckets.
    ASKED["1.5"] = (
        *(a for a in ASKED["1.4"] if a not in ("Flow", "MeterConfig", "MeterFeatures", "GroupDesc")),
        "FlowDesc",
        "MeterDesc",
    )

    def begin(self, dp: Any) -> None:
        threading.Thread(target=self.ask, args=(dp,), daemon=True).start()

    def ask(self, dp: Any) -> None:
        parser, ofproto = dp.ofproto_parser, dp.ofproto
        old = ofproto.OFP_VERSION == 1
        everything = [0xFF, ofproto.OFPP_ANY, ofproto.OFPG_ANY, 0, 0, parser.OFPMatch()] if not old else []
        arguments: dict[str, tuple[Any, ...]] = {
            "Flow": (0, *everything) if not old else (0, parser.OFPMatch(), 0xFF, ofproto.OFPP_NONE),
            "FlowDesc": (0, *everything),
            "Aggregate": (0, *everything) if not old else (0, parser.OFPMatch(), 0xFF, ofproto.OFPP_NONE),
            "Port": (0, ofproto.OFPP_NONE if old else ofproto.OFPP_ANY),
            "Queue": (0, ofproto.OFPP_ALL if old else ofproto.OFPP_ANY, ofproto.OFPQ_ALL),
        }
        if not old:
            arguments |= {
                "Group": (0, ofproto.OFPG_ALL),
                "Meter": (0, ofproto.OFPM_ALL),
                "MeterConfig": (0, ofproto.OFPM_ALL),
                "MeterDesc": (0, ofproto.OFPM_ALL),
                "QueueDesc": (0, ofproto.OFPP_ANY, ofproto.OFPQ_ALL),
            }
        for what in self.ASKED[SPOKEN]:
            for name in (f"OFP{what}StatsRequest", f"OFP{what}Request"):
                request = getattr(parser, name, None)
                if request is not None:
                    dp.send_msg(request(dp, *arguments.get(what, (0,))))
                    break
            else:
                say(lacking=what)
        dp.send_msg(parser.OFPBarrierRequest(dp))

    @handler.set_ev_cls(ofp_event.EventOFPBarrierReply, handler.MAIN_DISPATCHER)
    def done(self, event: Any) -> None:
        say(barrier=event.msg.xid)


def _report(name: str) -> Any:
    def got(self: Any, event: Any) -> None:
        body = getattr(event.msg, "body", None)
        brief = name in ("Table", "TableFeatures", "TableDesc")
        say(
            reply=name,
            n=len(body) if isinstance(body, list | tuple) else 1,
            body=None if brief else body,
        )

    return got


def watch_replies() -> None:
    """A handler for each kind of multipart reply that this version has."""
    for what in Monitor.ASKED[SPOKEN]:
        for name in (f"OFP{what}StatsReply", f"OFP{what}Reply"):
            event = getattr(ofp_event, f"Event{name}", None)
            if event is not None:
                method = handler.set_ev_cls(event, handler.MAIN_DISPATCHER)(_report(what))
                setattr(Monitor, f"got_{what}", method)
                break


def main() -> None:
    cfg.CONF(args=[], project="os_ken", prog="vswitch-tests")
    cfg.CONF.set_override("ofp_tcp_listen_port", int(PORT))
    cfg.CONF.set_override("ofp_listen_host", "127.0.0.1")
    watch_replies()
    wanted = {"learning": Learning, "router": Router, "monitor": Monitor}[APP]
    # os-ken finds an application as the one class of a module that is not imported from elsewhere.
    module = sys.modules["__main__"]
    for cls in (App, Learning, Router, Monitor):
        if cls is not wanted:
            delattr(module, cls.__name__)
    app_manager.AppManager.run_apps(["__main__"])


if IS_MAIN:
    main()
