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
const LINES = 7, WIDE = 34, LINE = 14;

export function picture(found) {
  const boxes = [];
  for (const step of found.steps) {
    const text = step.kind === "bridge" ? `bridge ${step.text}` : step.kind === "rule" ? `table ${step.table}: ${step.text}` : step.text;
    if (step.kind !== "action") boxes.push({ kind: step.kind, depth: step.depth, lines: [text] });
    else if (boxes.length) boxes[boxes.length - 1].lines.push(text);
  }
  if (found.actions) boxes.push({ kind: "end", depth: 0, lines: [`Datapath: ${found.actions}`] });
  const nodes = [], edges = [], above = [];
  let y = 0;
  boxes.forEach((box, n) => {
    const shown = box.lines.length > LINES ? [...box.lines.slice(0, LINES - 1), "..."] : box.lines;
    const height = 20 + LINE * shown.reduce((sum, line) => sum + Math.ceil(line.length / WIDE), 0);
    nodes.push({ data: { id: `s${n}`, label: shown.join("\n"), height }, classes: box.kind,
      position: { x: box.depth * 240, y: y + height / 2 } });
    y += height + 36;
    const level = box.kind === "rule" ? box.depth + 1 : box.depth;
    above.length = box.kind === "end" ? above.length : level;
    const parent = box.kind === "end" ? `s${n - 1}` : above.findLast((id) => id) || (n ? `s${n - 1}` : "");
    if (n) edges.push({ data: { id: `e${n}`, source: parent, target: `s${n}` } });
    above[level] = `s${n}`;
  });
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
