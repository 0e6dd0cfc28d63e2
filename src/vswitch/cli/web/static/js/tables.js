// A bridge's flow tables: the pipeline with its paths, and the flows a page at a time.

import { act, api, css, fill, graph, human, make, table } from "./dom.js";

const LIMIT = 100;
const style = () => [
  { selector: "node", style: {
    shape: "round-rectangle", label: "data(label)", color: css("--ink"), "text-wrap": "wrap", "text-valign": "center",
    "background-color": css("--card"), "border-width": 2, "border-color": css("--line"), width: 110, height: 48,
    "font-size": 11 } },
  { selector: "node.idle", style: { color: css("--soft"), "border-style": "dashed" } },
  { selector: "node.chosen", style: { "border-color": css("--accent"), "border-width": 4 } },
  { selector: "edge", style: {
    width: "data(width)", "line-color": css("--accent"), "target-arrow-color": css("--accent"),
    "target-arrow-shape": "triangle", "curve-style": "bezier", label: "data(label)", "font-size": 9, color: css("--soft") } },
];

let cy = null, parts = null, asked = { bridge: "", table: "", match: "", sort: "rate", offset: 0 }, last = "", shape = "", control = false;

function draw(now) {
  const total = Math.max(1, ...now.links.map((l) => l.packets));
  const ids = [...new Set([...now.tables.map((t) => t.table), ...now.links.flatMap((l) => [l.from, l.to])])].sort((a, b) => a - b);
  const by = new Map(now.tables.map((t) => [t.table, t]));
  const nodes = ids.map((id, n) => ({
    data: { id: `t${id}`, table: id, label: `table ${id}\n${by.get(id)?.flows ?? 0} flows, ${human(by.get(id)?.packets ?? 0)} packets` },
    classes: [by.get(id)?.packets ? "" : "idle", String(id) === asked.table ? "chosen" : ""].join(" "),
    position: { x: (n % 8) * 170, y: Math.floor(n / 8) * 120 + (n % 2) * 30 },
  }));
  const edges = now.links.map((l) => ({ data: {
    id: `e${l.from}-${l.to}`, source: `t${l.from}`, target: `t${l.to}`, label: human(l.packets),
    width: 1 + 9 * Math.sqrt(l.packets / total) } }));
  const text = JSON.stringify([nodes, edges]);
  if (text === shape) return;
  const moved = JSON.stringify(ids) !== cy.scratch("ids");
  shape = text;
  cy.scratch("ids", JSON.stringify(ids));
  cy.elements().remove();
  cy.add([...nodes, ...edges]);
  if (moved) cy.fit(undefined, 24);
}

function listing(now) {
  const trace = (f) => {
    const match = f.text.replace(/ ?actions=.*$/, "").split(",").filter((w) => w && !/^(cookie|table|priority|idle_|hard_|send_|check_|reset_|no_)/.test(w.trim())).join(",");
    return make("a", { href: `#trace?${new URLSearchParams({ bridge: now.bridge, flow: match })}` }, "trace");
  };
  return [
    table([
      ["table", (f) => f.table, "number"], ["priority", (f) => f.priority, "number"],
      ["packets/s", (f) => human(f.rate), "number"], ["packets", (f) => human(f.packets), "number"],
      ["flow", (f) => [f.text, f.packets === 0 ? make("span", { class: "tag" }, "never hit") : null], "mono long"],
      ["", trace],
      ...(control ? [["", (f) => make("button", { type: "button", onclick: () => {
        const match = f.text.replace(/ ?actions=.*$/, "").replace(/cookie=[^,]*,? ?/, "");
        if (confirm(`Delete ${f.text}?`)) act({ action: "delete-flow", bridge: now.bridge, flow: match.includes("table=") ? match : `table=${f.table},${match}` }).catch((e) => alert(e.message));
      } }, "delete")]] : []),
    ], now.flows, (f) => ({ class: f.packets === 0 ? "never" : undefined })),
    make("p", {}, `${now.total ? now.offset + 1 : 0} to ${Math.min(now.total, now.offset + now.flows.length)} of ${now.total} `,
      make("button", { type: "button", id: "back", disabled: now.offset === 0, onclick: () => turn(-LIMIT) }, "previous"), " ",
      make("button", { type: "button", id: "forth", disabled: now.offset + LIMIT >= now.total, onclick: () => turn(LIMIT) }, "next"),
      make("span", { class: "soft" }, now.age > 3 ? ` counters of ${Math.round(now.age)} s ago: a large table is read more rarely` : "")),
  ];
}

async function turn(by) {
  asked.offset = Math.max(0, asked.offset + by);
  await renew();
}

async function renew() {
  last = "";
  try {
    await tables.update();
    fill(parts.error);
  } catch (error) {
    fill(parts.error, error.message);
  }
}

export const tables = {
  async start(main, words) {
    const now = await api("topology");
    control = now.control;
    const names = now.bridges.map((b) => b.name);
    asked = { bridge: words.bridge || asked.bridge || names[0] || "", table: words.table || "", match: words.match || "", sort: "rate", offset: 0 };
    last = shape = "";
    if (!names.length) {
      parts = null;
      fill(main, make("p", {}, "There is no bridge."));
      return;
    }
    const bridge = make("select", { name: "bridge", onchange: (e) => { asked.bridge = e.target.value; asked.offset = 0; renew(); } },
      names.map((n) => make("option", { value: n, selected: n === asked.bridge }, n)));
    const match = make("input", { name: "match", class: "mono", value: asked.match, placeholder: "tcp,nw_dst=10.0.0.0/8" });
    const sort = make("select", { name: "sort", onchange: (e) => { asked.sort = e.target.value; asked.offset = 0; renew(); } },
      ["rate", "packets", "priority"].map((n) => make("option", { value: n }, n)));
    const picture = make("div", { class: "graph low", role: "img", "aria-label": "The pipeline of tables" });
    parts = { list: make("div", { id: "flows" }), error: make("p", { class: "bad", role: "alert" }), chosen: make("span") };
    fill(main,
      make("form", { onsubmit: (e) => { e.preventDefault(); asked.match = match.value; asked.offset = 0; renew(); } },
        make("label", {}, "Bridge", bridge), make("label", { class: "wide" }, "Match, as for ovs-ofctl dump-flows", match),
        make("label", {}, "Sort by", sort), make("button", { class: "primary" }, "Search"), parts.chosen),
      parts.error,
      make("div", { class: "card" }, picture), make("div", { class: "card" }, parts.list));
    cy = graph(picture, style);
    cy.on("tap", "node", (e) => {
      const id = String(e.target.data("table"));
      asked.table = asked.table === id ? "" : id;
      asked.offset = 0;
      renew();
    });
    await renew();
  },
  async update() {
    if (!parts) return;
    const now = await api("flows", asked);
    if (!cy) return;
    const text = JSON.stringify([{ ...now, age: now.age > 3 ? Math.round(now.age) : 0 }, asked]);
    if (text === last) return;
    last = text;
    draw(now);
    fill(parts.list, listing(now));
    fill(parts.chosen, asked.table !== "" ? make("button", { type: "button", onclick: () => { asked.table = ""; renew(); } }, `table ${asked.table} only: show all`) : "");
  },
  stop() {
    cy?.destroy();
    cy = null;
  },
};
