"""Writes packaging/grafana.json, a dashboard of what `vswitch exporter` and `vswitch web` count."""

from __future__ import annotations

import json
from pathlib import Path

PANELS = (
    ("Switch answers", "stat", "short", ("vswitch_up",)),
    ("Flows in the datapath", "timeseries", "short",
     ("vswitch_datapath_flows", "vswitch_datapath_flow_limit")),
    ("Lookups", "timeseries", "pps", ("sum by (result) (rate(vswitch_datapath_lookups_total[1m]))",)),
    ("Received", "timeseries", "bps",
     ("topk(10, sum by (bridge, port) (8 * rate(vswitch_port_receive_bytes_total[1m])))",)),
    ("Sent", "timeseries", "bps",
     ("topk(10, sum by (bridge, port) (8 * rate(vswitch_port_transmit_bytes_total[1m])))",)),
    ("Drops by reason", "timeseries", "pps", ("sum by (reason) (rate(vswitch_drops_total[1m])) > 0",)),
    ("Upcalls", "timeseries", "ops",
     ("sum(rate(vswitch_upcalls_total[1m]))", "sum(rate(vswitch_upcalls_lost_total[1m]))")),
    ("Time of an upcall", "timeseries", "s",
     tuple(f"histogram_quantile({q}, sum by (le) (rate(vswitch_upcall_duration_seconds_bucket[5m])))"
           for q in (0.5, 0.99))),
    ("Time of a turn of the main loop", "timeseries", "s",
     ("histogram_quantile(0.99, sum by (le) (rate(vswitch_main_loop_duration_seconds_bucket[5m])))",)),
    ("Packets that a table matched", "timeseries", "pps",
     ("topk(10, sum by (bridge, table) (rate(vswitch_table_matched_total[1m])))",)),
    ("OpenFlow flows", "timeseries", "short", ("sum by (bridge) (vswitch_table_flows)",)),
    ("Connections tracked", "timeseries", "short",
     ("vswitch_conntrack_connections", "vswitch_conntrack_connections_limit")),
    ("Controllers connected", "stat", "short", ("sum(vswitch_controller_connected)",)),
    ("A round of revalidation", "timeseries", "s", ("vswitch_revalidation_duration_seconds",)),
)  # fmt: skip
"""Title, kind, unit, and the queries (PromQL)."""
WIDE, HIGH = 12, 8


def dashboard() -> dict[str, object]:
    """The dashboard in Grafana's model (its documentation, "JSON model")."""
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "title": "vswitch",
        "uid": "vswitch",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": [
            {
                "id": n + 1,
                "title": title,
                "type": kind,
                "datasource": source,
                "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
                "gridPos": {"x": n % 2 * WIDE, "y": n // 2 * HIGH, "w": WIDE, "h": HIGH},
                "targets": [
                    {"refId": chr(ord("A") + i), "expr": query, "datasource": source}
                    for i, query in enumerate(queries)
                ],
            }
            for n, (title, kind, unit, queries) in enumerate(PANELS)
        ],
    }


if __name__ == "__main__":
    (Path(__file__).parent / "grafana.json").write_text(json.dumps(dashboard(), indent=1) + "\n")
