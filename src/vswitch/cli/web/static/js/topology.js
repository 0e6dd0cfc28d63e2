// The network as a picture and as a list: bridges, ports, links, hosts, controllers.

import { act, api, css, fill, graph, human, make, table } from "./dom.js";

const PORT_W = 96, PORT_H = 64, GAP = 140, HOSTS_DRAWN = 48;

const style = () => [
  { selector: "node", style: {
    label: "data(label)", color: css("--ink"), "font-size": 11, "text-wrap": "ellipsis", "text-max-width": 90,
    "text-valign": "bottom", "text-margin-y": 3, "background-color": css("--good"), width: 18, height: 18,
    "min-zoomed-font-size": 6 } },
  { selector: ".bridge", style: {
    shape: "round-rectangle", "background-color": css("--card"), "border-color": css("--line"), "border-width": 2,
    "text-valign": "top", "font-size": 15, "font-weight": "bold", "text-max-width": 400, "text-margin-y": -4,
    padding: 18 } },
  { selector: ".down", style: { "background-color": css("--bad") } },
  { selector: ".inactive", style: { "background-color": css("--soft") } },
  { selector: ".host", style: { shape: "ellipse", "background-color": css("--soft"), width: 12, height: 12 } },
  { selector: ".remote, .controller", style: { shape: "diamond", "background-color": css("--accent") } },
  { selector: ".controller.down", style: { "background-color": css("--bad") } },
  { selector: "edge", style: {
    width: "data(width)", "line-color": css("--soft"), "curve-style": "straight", label: "data(label)",
    color: css("--soft"), "font-size": 9, "min-zoomed-font-size": 7 } },
  { selector: "edge.patch", style: { "curve-style": "unbundled-bezier", "control-point-distances": [-60], "control-point-weights": [0.5] } },
  { selector: "edge.down", style: { "line-color": css("--bad"), "line-style": "dashed" } },
  { selector: ":selected", style: { "border-width": 3, "border-color": css("--accent") } },
];

const thickness = (bits) => 1 + Math.min(7, Math.log10(1 + bits / 1000));
const speed = (i) => i.rx_bps + i.tx_bps > 0 ? `${human(i.rx_bps + i.tx_bps)}bit/s` : "";

// What is drawn, as elements by id: only differences are applied to the graph.
export function elements(now) {
  const found = new Map();
  const put = (id, data, classes, position) => found.set(id, { data: { ...data, id }, classes, position });
  let x = 0;
  for (const bridge of now.bridges) {
    // What leads elsewhere stands in the first row, so that its lines cross nothing.
    const rank = ({ i }) => (i.remote ? 0 : i.peer ? 1 : 2);
    const all = bridge.ports.flatMap((port) => port.interfaces.map((i) => ({ port, i }))).sort((a, b) => rank(a) - rank(b));
    const columns = Math.max(1, Math.ceil(Math.sqrt(all.length * 1.6)));
    const id = `b ${bridge.name}`;
    put(id, { label: bridge.name }, "bridge", { x, y: 0 });
    const at = new Map();
    all.forEach(({ port, i }, n) => {
      const place = { x: x + (n % columns) * PORT_W, y: Math.floor(n / columns) * PORT_H };
      const label = (all.length <= 200 && speed(i)) ? `${i.name} ${speed(i)}` : i.name;
      const kind = i.down ? "port down" : port.interfaces.length > 1 && !i.active && port.bond_mode === "active-backup"
        ? "port inactive" : "port";
      put(`i ${i.name}`, { label, parent: id, bridge: bridge.name, name: i.name }, kind, place);
      if (i.ofport !== null) at.set(i.ofport, { name: i.name, place });
      if (i.remote) {
        put(`r ${i.remote}`, { label: i.remote }, "remote", { x: place.x, y: -2.4 * PORT_H });
        put(`t ${i.name}`, { source: `i ${i.name}`, target: `r ${i.remote}`, width: thickness(i.rx_bps + i.tx_bps),
          label: `${i.type} ${speed(i)}` }, i.down ? "down" : "");
      }
      if (i.peer) {
        const [a, b] = [i.name, i.peer].sort();
        put(`p ${a} ${b}`, { source: `i ${a}`, target: `i ${b}`, width: thickness(i.rx_bps + i.tx_bps), label: speed(i) },
          i.down ? "patch down" : "patch");
      }
    });
    const bottom = Math.ceil(all.length / columns) * PORT_H + PORT_H;
    bridge.hosts.filter((h) => at.has(h.port)).sort((a, b) => at.get(a.port).place.x - at.get(b.port).place.x).slice(0, HOSTS_DRAWN).forEach((host, n) => {
      const port = at.get(host.port);
      const host_id = `h ${bridge.name} ${host.mac} ${host.vlan}`;
      put(host_id, { label: host.ip[0] || `…${host.mac.slice(-8)}` }, "host",
        { x: x + (n % columns) * PORT_W, y: bottom + Math.floor(n / columns) * 44 });
      put(`l ${host_id}`, { source: `i ${port.name}`, target: host_id, width: 1, label: "" }, "");
    });
    bridge.controllers.forEach((c, n) => {
      const cid = `c ${bridge.name} ${c.target}`;
      // Left of the lines to tunnels' remotes.
      put(cid, { label: c.target }, c.connected ? "controller" : "controller down", { x: x - PORT_W, y: -(1.2 + 0.8 * n) * PORT_H });
      put(`k ${cid}`, { source: id, target: cid, width: 1, label: "" }, c.connected ? "" : "down");
    });
    x += columns * PORT_W + GAP;
  }
  // A patch port whose peer isn't there has no link.
  for (const [id, e] of found) {
    if (e.data.source && (!found.has(e.data.source) || !found.has(e.data.target))) found.delete(id);
  }
  return found;
}

function draw(cy, found) {
  let fresh = false;
  cy.batch(() => {
    cy.elements().filter((e) => !found.has(e.id())).remove();
    const missing = [];
    for (const [id, e] of found) {
      const known = cy.getElementById(id);
      if (known.empty()) missing.push({ ...e, classes: e.classes });
      else {
        if (known.data("label") !== e.data.label) known.data("label", e.data.label);
        if (e.data.width && known.data("width") !== e.data.width) known.data("width", e.data.width);
        known.classes(e.classes);
      }
    }
    // Nodes before the edges that need them.
    missing.sort((a, b) => (a.data.source ? 1 : 0) - (b.data.source ? 1 : 0));
    if (missing.length) { cy.add(missing); fresh = true; }
  });
  if (fresh) cy.fit(undefined, 24);
}

let cy = null, list = null, aside = null, wanted = "", last = "";

function rows(now) {
  return now.bridges.flatMap((bridge) => bridge.ports.flatMap((port) => port.interfaces.map((i) => ({ bridge, port, i }))))
    .filter(({ bridge, i }) => !wanted || i.name.includes(wanted) || bridge.name.includes(wanted));
}

const vlan = (port) => port.tag !== null ? `tag ${port.tag}` : port.trunks.length ? `trunk ${port.trunks.join(", ")}` : "";

function detail(now) {
  const found = rows(now);
  return [
    table([
      ["bridge", (r) => r.bridge.name],
      ["port", (r) => r.i.name],
      ["kind", (r) => [r.port.bond_mode && r.port.interfaces.length > 1 ? `${r.port.name} ${r.port.bond_mode}` : r.i.type,
        vlan(r.port), r.i.peer && `to ${r.i.peer}`, r.i.remote && `to ${r.i.remote}`].filter(Boolean).join(", ")],
      ["in", (r) => `${human(r.i.rx_bps)}bit/s`, "number"],
      ["out", (r) => `${human(r.i.tx_bps)}bit/s`, "number"],
      ["dropped", (r) => r.i.rx_dropped + r.i.tx_dropped, "number"],
      ["state", (r) => r.i.down ? make("span", { class: "bad" }, r.i.down) : make("span", { class: "good" }, "up")],
      ...(now.control ? [["", (r) => make("button", { type: "button", onclick: () =>
        act({ action: "port", bridge: r.bridge.name, port: r.i.name, state: r.i.down ? "up" : "down" })
          .catch((e) => alert(e.message)) }, r.i.down ? "up" : "down")]] : []),
    ], found.slice(0, 300), (r) => ({ "data-port": r.i.name })),
    found.length > 300 && make("p", { class: "soft" }, `${found.length - 300} more; filter to see them`),
  ];
}

function beside(now) {
  return [
    make("div", { class: "card" }, make("h2", {}, "Controllers"), table([
      ["bridge", (c) => c.bridge], ["target", (c) => c.target, "mono"], ["role", (c) => c.role],
      ["state", (c) => c.connected ? make("span", { class: "good" }, "connected")
        : make("span", { class: "bad" }, c.status.last_error || c.status.state || "not connected")],
    ], now.bridges.flatMap((b) => b.controllers.map((c) => ({ ...c, bridge: b.name }))))),
    make("div", { class: "card" }, make("h2", {}, "Hosts"), table([
      ["bridge", (h) => h.bridge], ["address", (h) => h.ip.join(", "), "mono"], ["MAC", (h) => h.mac, "mono"],
      ["port", (h) => h.port === 65534 ? "LOCAL" : h.port, "number"], ["VLAN", (h) => h.vlan, "number"],
      ["", (h) => make("a", { href: `#trace?${new URLSearchParams({ bridge: h.bridge,
        flow: `in_port=${h.port === 65534 ? "LOCAL" : h.port},dl_src=${h.mac}` })}` }, "trace")],
    ], now.bridges.flatMap((b) => b.hosts.map((h) => ({ ...h, bridge: b.name }))).slice(0, 300))),
  ];
}

export const topology = {
  async start(main, words) {
    wanted = words.find || "";
    last = "";
    const picture = make("div", { class: "graph", role: "img", "aria-label": "The network; the list below says the same" });
    list = make("div", { id: "ports" });
    aside = make("div", { id: "aside" });
    const find = make("input", { type: "search", value: wanted, oninput: (e) => { wanted = e.target.value; last = ""; } });
    fill(main, make("div", { class: "columns" },
      make("div", {}, make("div", { class: "card" }, picture),
        make("div", { class: "card" }, make("form", { onsubmit: (e) => e.preventDefault() }, make("label", {}, "Find a port or bridge", find)), list)),
      aside));
    cy = graph(picture, style);
    cy.on("tap", "node.port", (e) => {
      wanted = find.value = e.target.data("name");
      last = "";
    });
    await this.update();
  },
  async update() {
    const now = await api("topology");
    if (!cy) return;
    if (now.error) throw new Error(now.error);
    const text = JSON.stringify([now, wanted]);
    if (text === last) return;
    last = text;
    draw(cy, elements(now));
    fill(list, detail(now));
    fill(aside, beside(now));
  },
  stop() {
    cy?.destroy();
    cy = null;
  },
};
