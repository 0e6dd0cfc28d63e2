// The frame: which view is shown, and what every view shares. A view is {start(main, words), update(), stop()}.

import { api, fill, make } from "./dom.js";
import { topology } from "./topology.js";
import { tables } from "./tables.js";
import { datapath } from "./datapath.js";
import { trace } from "./trace.js";

const views = { topology, flows: tables, datapath, trace };
const PERIOD = 1000; // ms between two looks
let shown = null;

function where() {
  const [name, query = ""] = location.hash.slice(1).split("?");
  return { name: views[name] ? name : "topology", words: Object.fromEntries(new URLSearchParams(query)) };
}

function state(text, bad) {
  const element = document.getElementById("state");
  if (element.textContent !== text) element.textContent = text;
  element.className = bad ? "bad" : "";
}

async function go() {
  const { name, words } = where();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown?.stop();
  shown = views[name];
  const main = document.getElementById("view");
  fill(main);
  document.title = `${name} - vswitch`;
  try {
    await shown.start(main, words);
  } catch (error) {
    fill(main, make("p", { class: "bad", role: "alert" }, error.message));
  }
}

async function look() {
  if (!document.hidden && shown) {
    try {
      await shown.update();
      state("live", false);
    } catch (error) {
      state(error.message, true);
    }
  }
  setTimeout(look, PERIOD);
}

addEventListener("hashchange", go);
api("topology").then((now) => fill(document.getElementById("name"), now.version || "vswitch"), () => {});
await go();
look();
