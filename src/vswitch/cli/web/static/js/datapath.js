// The datapath: what passes it, what it asks, what is lost and why.

import { api, css, fill, human, make, table } from "./dom.js";

const LINES = [["packets", "--good"], ["missed", "--warm"], ["lost", "--bad"]];
let plot = null, place = null, parts = null;

function data(history) {
  return [history.map((m) => m.at), ...LINES.map(([name]) => history.map((m) => m[name]))];
}

function chart(values) {
  const options = {
    width: Math.max(280, place.clientWidth), height: 220, cursor: { drag: { x: false, y: false } },
    // The last five minutes, also of a single moment, around which uPlot would show years.
    scales: { x: { range: (u) => { const last = u.data[0].at(-1) ?? Date.now() / 1000; return [last - 300, last]; } } },
    axes: [{ stroke: css("--soft"), grid: { stroke: css("--line") } },
      { stroke: css("--soft"), grid: { stroke: css("--line") }, values: (u, ticks) => ticks.map(human) }],
    series: [{}, ...LINES.map(([name, colour]) => ({ label: `${name}/s`, stroke: css(colour), width: 2 }))],
  };
  return new uPlot(options, values, place);
}

function drops(now) {
  const minutes = {};
  for (const moment of now.history) {
    for (const [name, rate] of Object.entries(moment.drops)) minutes[name] = Math.max(minutes[name] || 0, rate);
  }
  const rows = Object.entries(now.drops).map(([name, total]) => ({ name, total, most: minutes[name] || 0 }));
  return rows.length ? table([
    ["reason", (r) => r.name.replace(/^(datapath_)?drop_/, "").replaceAll("_", " ")], ["packets", (r) => r.total, "number"],
    ["most in a second, lately", (r) => human(r.most), "number"],
  ], rows) : make("p", { class: "soft" }, "Nothing was dropped.");
}

function resize() {
  plot?.setSize({ width: Math.max(280, place.clientWidth), height: 220 });
}

export const datapath = {
  async start(main) {
    place = make("div", { id: "chart", role: "img", "aria-label": "Packets, misses and losses a second" });
    parts = { head: make("p", { id: "lookups" }), flows: make("div", { id: "busiest" }), drops: make("div", { id: "drops" }),
      channels: make("div", { id: "channels" }), upcalls: make("pre") };
    fill(main, parts.head, make("div", { class: "card" }, make("h2", {}, "Packets a second"), place),
      make("div", { class: "columns" },
        make("div", { class: "card" }, make("h2", {}, "Busiest flows"), parts.flows),
        make("div", {},
          make("div", { class: "card" }, make("h2", {}, "Drops by reason"), parts.drops),
          make("div", { class: "card" }, make("h2", {}, "Upcall channels"), parts.channels, parts.upcalls))));
    addEventListener("resize", resize);
    await this.update();
  },
  async update() {
    const now = await api("datapath");
    if (!parts) return;
    fill(parts.head, `${now.datapaths.join(", ")}: ${human(now.n_flows)} flows; lookups: ${human(now.lookups.hit)} hit, ${human(now.lookups.missed)} missed, ${human(now.lookups.lost)} lost`);
    const values = data(now.history);
    if (plot) plot.setData(values);
    else plot = chart(values);
    fill(parts.flows, table([
      ["packets/s", (f) => human(f.pps), "number"], ["bit/s", (f) => human(f.bps), "number"], ["packets", (f) => human(f.packets), "number"],
      ["flow", (f) => f.match, "mono long"], ["actions", (f) => f.actions, "mono long"],
    ], now.flows));
    fill(parts.drops, drops(now));
    fill(parts.channels, table([
      ["channel", (c) => c.name], ["received", (c) => c.received, "number"], ["lost", (c) => c.lost, "number"],
    ], now.channels));
    fill(parts.upcalls, now.upcalls);
  },
  stop() {
    removeEventListener("resize", resize);
    plot?.destroy();
    plot = parts = null;
  },
};
