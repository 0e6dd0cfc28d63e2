// Elements made from values. Text goes in as text, never as markup: names come from strangers.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== undefined && child !== null) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((c) => c !== undefined && c !== null)
    .map((c) => (c instanceof Node ? c : document.createTextNode(String(c)))));
}

// columns: [title, value of a row, class]; a value is text or an element.
export function table(columns, rows, rowAttributes = () => ({})) {
  const head = make("tr", {}, columns.map(([title, , kind]) => make("th", { class: kind, scope: "col" }, title)));
  const body = rows.map((row) => make("tr", rowAttributes(row),
    columns.map(([, value, kind]) => make("td", { class: kind }, value(row)))));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, body)));
}

export function human(value) {
  for (const unit of ["", "k", "M", "G", "T"]) {
    if (Math.abs(value) < 999.5 || unit === "T") {
      return value.toFixed(unit === "" || Math.abs(value) >= 99.5 ? (value < 9.95 && value % 1 ? 1 : 0) : 1) + unit;
    }
    value /= 1000;
  }
}

export function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export async function api(path, query = {}) {
  const words = Object.entries(query).filter(([, v]) => v !== "" && v !== undefined && v !== null);
  const reply = await fetch(`api/${path}?${new URLSearchParams(words)}`);
  return said(reply);
}

export async function act(words) {
  const reply = await fetch("api/control", {
    method: "POST", headers: { "X-Vswitch": "1", "Content-Type": "application/json" }, body: JSON.stringify(words),
  });
  return said(reply);
}

async function said(reply) {
  const type = reply.headers.get("content-type") || "";
  const value = type.includes("json") ? await reply.json() : { error: await reply.text() };
  if (!reply.ok || value.error && Object.keys(value).length === 1) throw new Error(value.error || reply.statusText);
  return value;
}

// A graph's colours follow the page's, light or dark.
export function graph(container, style) {
  const cy = cytoscape({
    container, style: style(), minZoom: 0.05, maxZoom: 3, boxSelectionEnabled: false,
    pixelRatio: 1, textureOnViewport: true,
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const recolour = () => cy.style(style());
  dark.addEventListener("change", recolour);
  cy.on("destroy", () => dark.removeEventListener("change", recolour));
  return cy;
}
