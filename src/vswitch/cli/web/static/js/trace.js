// A packet's walk through bridges, tables and rules, as a picture and as text. The address of the view is its link.

import { api, css, fill, graph, make } from "./dom.js";

const style = () => [
  { selector: "node", style: {
    shape: "round-rectangle", label: "data(label)", color: css("--ink"), "text-wrap": "wrap", "text-max-width": 190,
    "text-valign": "center", "background-color": css("--card"), "border-width": 2, "border-color": css("--line"),
    width: 200, height: "data(height)", "font-size": 11 } },
  { selector: "node.bridge", style: { "border-color": css("--accent"), "font-weight": "bold" } },
  { selector: "node.rule", style: { "border-color": css("--good") } },
  { selector: "node.resume", style: { "border-color": css("--warm") } },
  { selector: "node.end", style: { "border-color": css("--accent"), "border-width": 4 } },
  { selector: "edge", style: {
    width: 3, "line-color": css("--accent"), "target-arrow-color": css("--accent"), "target-arrow-shape": "triangle",
    "curve-style": "bezier" } },
];

// One node a bridge and a rule, with what the rule does in it; a deeper one hangs on the one that led there.
export function picture(found) {
  const nodes = [], edges = [], above = [];
  let y = 0, n = 0, previous = null;
  for (const step of found.steps) {
    if (step.kind === "action") {
      if (nodes.length && nodes[nodes.length - 1].data.lines < 6) {
        const node = nodes[nodes.length - 1];
        node.data.label += `\n${step.text}`;
        node.data.lines += 1;
        node.data.height += 15;
        y += 15;
      }
      continue;
    }
    const label = step.kind === "bridge" ? `bridge ${step.text}` : step.kind === "rule" ? `table ${step.table}: ${step.text}` : step.text;
    const lines = Math.ceil(label.length / 32);
    const id = `s${n++}`;
    const height = 22 + 14 * lines;
    nodes.push({ data: { id, label, lines, height }, classes: step.kind, position: { x: step.depth * 230, y: y + height / 2 } });
    y += height + 34;
    const depth = step.kind === "rule" ? step.depth + 1 : step.depth;
    above.length = depth;
    const parent = above.findLast((a) => a) || previous;
    if (parent) edges.push({ data: { id: `e${id}`, source: parent, target: id } });
    above[depth] = id;
    previous = id;
  }
  if (found.actions) {
    nodes.push({ data: { id: "end", label: `Datapath: ${found.actions}`, lines: 1, height: 40 + 14 * Math.ceil(found.actions.length / 32) }, classes: "end", position: { x: 0, y: y + 20 } });
    if (previous) edges.push({ data: { id: "eend", source: previous, target: "end" } });
  }
  return [...nodes, ...edges];
}

let cy = null;

export const trace = {
  async start(main, words) {
    const now = await api("topology");
    const names = now.bridges.map((b) => b.name);
    const bridge = make("select", { name: "bridge" }, names.map((n) => make("option", { value: n, selected: n === words.bridge }, n)));
    const flow = make("input", { name: "flow", class: "mono", value: words.flow || "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80" });
    const result = make("div");
    fill(main, make("form", { onsubmit: (e) => {
      e.preventDefault();
      const hash = `#trace?${new URLSearchParams({ bridge: bridge.value, flow: flow.value })}`;
      if (location.hash === hash) this.start(main, { bridge: bridge.value, flow: flow.value });
      else location.hash = hash;
    } },
    make("label", {}, "Bridge", bridge), make("label", { class: "wide" }, "Packet: a flow as for ovs-appctl ofproto/trace", flow),
    make("button", { class: "primary" }, "Trace"),
    make("button", { type: "button", onclick: () => navigator.clipboard?.writeText(location.href) }, "Copy link")), result);
    if (!words.flow) return;
    let found;
    try {
      found = await api("trace", { bridge: words.bridge || names[0], flow: words.flow });
    } catch (error) {
      fill(result, make("p", { class: "bad", role: "alert" }, error.message));
      return;
    }
    const place = make("div", { class: "graph", id: "walk", role: "img", "aria-label": "The packet's walk; the list beside says the same" });
    fill(result, make("div", { class: "columns" },
      make("div", { class: "card" }, place),
      make("div", { class: "card" }, make("h2", {}, "Steps"),
        make("ol", { class: "walk" }, found.steps.map((s) => {
          const item = make("li", { class: s.kind }, s.kind === "rule" ? `table ${s.table}: ${s.text}` : s.kind === "bridge" ? `bridge ${s.text}` : s.text);
          item.style.setProperty("--depth", s.depth);
          return item;
        })),
        make("p", {}, make("strong", {}, "Datapath actions: "), make("code", { id: "actions" }, found.actions)))),
    make("div", { class: "card" }, make("h2", {}, "ofproto/trace"), make("pre", { id: "text" }, found.text)));
    cy = graph(place, style);
    cy.add(picture(found));
    cy.fit(undefined, 24);
    if (cy.zoom() > 1.2) { cy.zoom(1.2); cy.center(); }
  },
  async update() {},
  stop() {
    cy?.destroy();
    cy = null;
  },
};
