"use strict";
// The page of `netpolc reach --format html`. All text from the input gets in as textContent or an attribute, never as
// markup. An end is a row (as a source), a column (as a target) and a point of the graph.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
const state = { view: "matrix", size: 0, end: null, cell: null };
const SVG = "http://www.w3.org/2000/svg";

const ends = data.ends.map((end, n) => ({
  ...end, n,
  group: end.kind === "pods" ? end.namespace : end.kind,
  short: end.kind === "pods" ? end.name.slice(end.namespace.length + 1) : end.name,
}));
const links = data.connections.map(one => ({ ...one, said: said(one), all: isAll(one.ports) }));
const groups = [...new Set(ends.map(end => end.group))];
const hue = group => ({ "--ns": `hsl(${Math.round(groups.indexOf(group) * 137.508) % 360} var(--ns-chroma) var(--ns-light))` });

function isAll(ports) {
  return ports.other === true && ["tcp", "udp", "sctp"].every(p => ports[p] && ports[p].length === 1 && ports[p][0][1] - ports[p][0][0] === 65535);
}
function portText(ports) {
  if (isAll(ports)) return "everything";
  const parts = ["tcp", "udp", "sctp"].filter(p => ports[p]).map(p =>
    p + (ports[p][0][1] - ports[p][0][0] === 65535 ? "" : " " + ports[p].map(([a, b]) => a === b ? a : `${a}–${b}`).join(", ")));
  return [...parts, ...(ports.other ? ["other protocols"] : [])].join("; ");
}
function said(one) {
  const parts = [];
  if (Object.keys(one.ports).length) parts.push(portText(one.ports));
  if (one.partly) parts.push(portText(one.partly) + " for some pods only");
  return parts.join("; ") + (one.families.length === 1 ? ` (${one.families[0]})` : "");
}
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "rect", "text", "path", "line", "circle"].includes(tag);
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") for (const [name, to] of Object.entries(value)) node.style.setProperty(name, to);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
const cut = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;

// Filters

function portFilter() {
  const words = byId("port").value.toLowerCase().split(/[\s/]+/).filter(Boolean);
  const protocol = words.find(word => /^(tcp|udp|sctp|other|icmp)$/.test(word));
  const port = words.find(word => /^\d+$/.test(word));
  if (!protocol && !port) return () => true;
  const holds = ports => Object.entries(ports).some(([name, spans]) => {
    if (protocol && name !== (protocol === "icmp" ? "other" : protocol)) return false;
    if (port === undefined) return true;
    return name !== "other" && spans.some(([a, b]) => a <= port && port <= b);
  });
  return one => holds(one.ports) || (one.partly !== undefined && holds(one.partly));
}
function visible() {
  const space = byId("namespace").value, name = byId("name").value.trim().toLowerCase();
  const fits = end => (!space || end.group === space) && (!name || end.name.toLowerCase().includes(name));
  const open = portFilter(), narrowed = space || name || byId("port").value.trim();
  const shown = links.filter(one => open(one) && (fits(ends[one.from]) || fits(ends[one.to])));
  const at = new Set(shown.flatMap(one => [one.from, one.to]));
  return { ends: ends.filter(end => !narrowed || at.has(end.n) || ((space || name) && fits(end))), links: shown };
}

// Matrix

function drawMatrix(seen) {
  const place = byId("matrix"), list = seen.ends, size = state.size;
  if (!list.length) return place.replaceChildren(make("p", { class: "empty" }, "Nothing fits these filters."));
  const at = new Map(list.map((end, n) => [end.n, n]));
  const font = Math.max(6, Math.min(13, size - 1.5)), whole = list.length * size;
  const longest = Math.min(34, Math.max(...list.map(end => full(end).length)));
  const side = Math.ceil(longest * font * .57) + 28, top = Math.ceil(longest * font * .57) + 22;
  const rows = make("svg", { class: "rows", width: side, height: whole });
  const columns = make("svg", { class: "columns", width: whole + 30, height: top });
  const body = make("svg", { width: whole, height: whole, class: "body" });
  body.append(make("rect", { class: "ground", width: whole, height: whole }));
  const cells = make("g"), gap = size > 7 ? 1 : .4;
  for (const one of seen.links) {
    const x = at.get(one.to) * size, y = at.get(one.from) * size;
    const kind = (one.all ? " all" : "") + (Object.keys(one.ports).length ? "" : " partly");
    cells.append(make("rect", {
      class: "cell" + kind, x: x + gap / 2, y: y + gap / 2, width: size - gap, height: size - gap,
      rx: Math.min(3, size / 6), "data-from": one.from, "data-to": one.to, "data-ports": one.said,
    }));
  }
  const lines = make("g");
  list.forEach((end, n) => {
    const middle = (n + .5) * size, first = n === 0 || list[n - 1].group !== end.group;
    if (first && n) {
      lines.append(make("line", { class: "bound", x1: 0, x2: whole, y1: n * size, y2: n * size }));
      lines.append(make("line", { class: "bound", y1: 0, y2: whole, x1: n * size, x2: n * size }));
    }
    const strip = { class: "dot", style: hue(end.group) };
    rows.append(make("rect", { ...strip, x: side - 5, y: n * size + .5, width: 3, height: size - 1 }));
    columns.append(make("rect", { ...strip, x: n * size + .5, y: top - 5, width: size - 1, height: 3 }));
    if (size < 7) return;
    rows.append(make("text", { x: side - 10, y: middle, "text-anchor": "end", "dominant-baseline": "central",
      "font-size": font, class: "label", "data-end": end.n }, ...named(end, longest)));
    columns.append(make("text", { transform: `translate(${middle} ${top - 10}) rotate(-90)`, "dominant-baseline": "central",
      "font-size": font, class: "label", "data-end": end.n }, ...named(end, longest)));
  });
  body.append(lines, cells, make("rect", { class: "cross", id: "cross-row", width: whole, height: size, y: -99 }),
    make("rect", { class: "cross", id: "cross-column", height: whole, width: size, x: -99 }));
  const corner = make("div", { class: "corner", style: { width: `${side}px`, height: `${top}px` } }, "from ↓   to →");
  place.replaceChildren(make("div", { class: "plane" }, corner, columns, rows, body));
}
const full = end => end.kind === "outside" ? "outside " + end.name : end.name;
function named(end, most) {
  if (end.kind !== "pods") return [cut(full(end), most)];
  const text = cut(end.name, most), head = end.namespace.length + 1;
  const part = document.createElementNS(SVG, "tspan");
  part.setAttribute("class", "ns");
  part.style.setProperty("--ns", hue(end.group)["--ns"]);
  part.textContent = text.slice(0, head);
  return [part, text.slice(head)];
}

// Graph: ends on a circle by namespace, connections as curves that bend to its middle

function drawGraph(seen) {
  const place = byId("graph"), list = seen.ends;
  if (!list.length) return place.replaceChildren(make("p", { class: "empty" }, "Nothing fits these filters."));
  const gapSize = .7, known = [...new Set(list.map(end => end.group))], slots = list.length + known.length * gapSize;
  const radius = Math.max(190, Math.min(520, slots * 11.5 / (2 * Math.PI))), font = Math.max(8, Math.min(12.5, 2 * Math.PI * radius / slots * .82));
  const longest = Math.min(30, Math.max(...list.map(end => full(end).length))), rim = longest * font * .56 + 30, middle = radius + rim;
  const svg = make("svg", { width: 2 * middle, height: 2 * middle, viewBox: `${-middle} ${-middle} ${2 * middle} ${2 * middle}` });
  const point = (angle, r) => [r * Math.cos(angle), r * Math.sin(angle)], at = new Map(), step = 2 * Math.PI / slots;
  let slot = 0;
  const arcs = make("g"), labels = make("g"), base = make("g", { id: "base" }), chosen = make("g", { id: "chosen" });
  for (const group of known) {
    const start = slot;
    for (const end of list.filter(one => one.group === group)) { at.set(end.n, (slot + .5) * step - Math.PI / 2); slot += 1; }
    const [a, b] = [start * step - Math.PI / 2, slot * step - Math.PI / 2];
    const [x1, y1] = point(a, radius + 8), [x2, y2] = point(b, radius + 8);
    arcs.append(make("path", { class: "arc", style: hue(group), d: `M${x1} ${y1}A${radius + 8} ${radius + 8} 0 ${b - a > Math.PI ? 1 : 0} 1 ${x2} ${y2}` }));
    slot += gapSize;
  }
  for (const end of list) {
    const angle = at.get(end.n), left = Math.cos(angle) < 0, [x, y] = point(angle, radius + 17), turn = angle * 180 / Math.PI + (left ? 180 : 0);
    labels.append(make("text", { transform: `translate(${x} ${y}) rotate(${turn})`, "text-anchor": left ? "end" : "start",
      "dominant-baseline": "central", "font-size": font, class: "label", "data-end": end.n }, ...named(end, longest)));
  }
  const curve = one => {
    const [a, b] = [at.get(one.from), at.get(one.to)], [x1, y1] = point(a, radius), [x2, y2] = point(b, radius);
    if (one.from === one.to) {
      const [x, y] = point(a, radius - 34), [dx, dy] = point(a + Math.PI / 2, 16);
      return `M${x1} ${y1}C${x - dx} ${y - dy} ${x + dx} ${y + dy} ${x2} ${y2}`;
    }
    const near = Math.abs(Math.sin((a - b) / 2)), [c1x, c1y] = point(a, radius * (1 - .75 * near)), [c2x, c2y] = point(b, radius * (1 - .75 * near));
    return `M${x1} ${y1}C${c1x} ${c1y} ${c2x} ${c2y} ${x2} ${y2}`;
  };
  const fade = Math.max(.04, Math.min(.6, 4 / Math.sqrt(seen.links.length + 1)));
  for (const all of [true, false]) {
    const d = seen.links.filter(one => one.all === all).map(curve).join("");
    base.append(make("path", { class: "edges" + (all ? " all" : ""), d, style: { opacity: all ? fade * .6 : fade, "--dim": fade * .12 } }));
  }
  if (radius < 300) svg.style.maxHeight = "100%";
  svg.append(base, chosen, arcs, labels);
  place.replaceChildren(svg);
  state.light = n => {
    chosen.replaceChildren();
    base.querySelectorAll(".edges").forEach(path => path.classList.toggle("dim", n !== null));
    const touched = new Set(n === null ? list.map(end => end.n) : [n]);
    for (const [kind, mine] of n === null ? [] : [["in", one => one.to === n], ["out", one => one.from === n]]) {
      const found = seen.links.filter(mine);
      found.forEach(one => touched.add(one.from).add(one.to));
      chosen.append(make("path", { class: `edges ${kind}`, d: found.map(curve).join("") }));
    }
    labels.querySelectorAll(".label").forEach(label => label.classList.toggle("faint", !touched.has(+label.dataset.end)));
  };
  state.light(state.end);
}

// Details

function entry(one, other) {
  const name = make("b", { onclick: () => choose(other) }, full(ends[other]));
  return make("li", {}, name, make("div", { class: "said" + (one.all ? " all" : "") }, one.said));
}
function describe(end) {
  if (end.kind === "outside") return end.ranges.slice(0, 12).join(", ") + (end.ranges.length > 12 ? ` and ${end.ranges.length - 12} more` : "");
  const members = end[end.kind];
  return `${members.length} ${members.length === 1 ? end.kind.slice(0, -1) : end.kind}: ` + members.slice(0, 6).map(m => `${m.name} (${m.addresses.join(", ")})`).join(", ") + (members.length > 6 ? ", …" : "");
}
function details() {
  const place = byId("details");
  if (state.cell) {
    const [from, to] = state.cell.map(n => ends[n]);
    const found = links.filter(one => one.from === from.n && one.to === to.n);
    return place.replaceChildren(
      make("h3", {}, "From"), make("h2", {}, full(from)), make("p", {}, describe(from)),
      make("h3", {}, "To"), make("h2", {}, full(to)), make("p", {}, describe(to)), make("h3", {}, "Open"),
      make("ul", {}, ...found.map(one => make("li", {}, make("div", { class: "said" + (one.all ? " all" : "") }, one.said)))));
  }
  if (state.end !== null) {
    const end = ends[state.end], { links: shown } = visible();
    const out = shown.filter(one => one.from === end.n), into = shown.filter(one => one.to === end.n);
    return place.replaceChildren(make("h2", {}, full(end)), make("p", {}, describe(end)),
      make("h3", {}, `May open to (${out.length})`), make("ul", {}, ...out.map(one => entry(one, one.to))),
      make("h3", {}, `May be opened by (${into.length})`), make("ul", {}, ...into.map(one => entry(one, one.from))));
  }
  place.replaceChildren(make("h2", {}, "Pick an end or a cell"),
    make("p", {}, "Rows open connections to columns. Choose a name to see all that it may open and all that may open it; choose a cell for its ports."));
}
function choose(n) {
  state.end = n; state.cell = null;
  document.querySelectorAll(".on").forEach(node => node.classList.remove("on"));
  document.querySelectorAll(`[data-end="${n}"]`).forEach(node => node.classList.add("on"));
  if (state.view === "graph" && state.light) state.light(n);
  details();
}

// Wiring

function draw() {
  const seen = visible();
  byId("matrix").hidden = state.view !== "matrix";
  byId("graph").hidden = state.view !== "graph";
  for (const view of ["matrix", "graph"]) byId(`show-${view}`).setAttribute("aria-selected", String(state.view === view));
  if (state.view === "matrix") drawMatrix(seen); else drawGraph(seen);
  const pods = ends.filter(end => end.kind === "pods").length;
  const word = data.by === "pod" ? "pods" : "workloads";
  byId("summary").textContent = `${pods} ${word} in ${new Set(ends.filter(e => e.kind === "pods").map(e => e.group)).size} namespaces, ` +
    `${links.length.toLocaleString("en")} connections` + (seen.links.length < links.length ? `, ${seen.links.length.toLocaleString("en")} shown` : "");
  details();
}
function theme(name) { document.documentElement.dataset.theme = name; }
const dark = matchMedia("(prefers-color-scheme: dark)");
theme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
for (const view of ["matrix", "graph"]) byId(`show-${view}`).addEventListener("click", () => { state.view = view; draw(); });
for (const id of ["namespace", "name", "port"]) byId(id).addEventListener("input", () => { state.end = state.cell = null; draw(); });
byId("zoom").addEventListener("input", event => { state.size = +event.target.value; draw(); });
byId("controls").addEventListener("submit", event => event.preventDefault());
document.addEventListener("click", event => {
  const label = event.target.closest("[data-end]"), cell = event.target.closest(".cell");
  if (label) choose(+label.dataset.end);
  if (cell) {
    document.querySelectorAll(".on").forEach(node => node.classList.remove("on"));
    cell.classList.add("on");
    state.cell = [+cell.dataset.from, +cell.dataset.to]; state.end = null;
    details();
  }
});
byId("graph").addEventListener("mouseover", event => {
  const label = event.target.closest("[data-end]");
  if (state.light) state.light(label ? +label.dataset.end : state.end);
});
byId("matrix").addEventListener("mousemove", event => {
  const cell = event.target.closest(".cell"), tip = byId("tip"), row = byId("cross-row"), column = byId("cross-column");
  tip.hidden = !cell;
  if (!row) return;
  row.setAttribute("y", cell ? Math.floor(cell.getAttribute("y") / state.size) * state.size : -99);
  column.setAttribute("x", cell ? Math.floor(cell.getAttribute("x") / state.size) * state.size : -99);
  if (!cell) return;
  tip.replaceChildren(make("b", {}, `${full(ends[cell.dataset.from])} → ${full(ends[cell.dataset.to])}`), make("span", {}, cell.dataset.ports));
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - 400)}px`;
  tip.style.top = `${Math.min(event.clientY + 16, innerHeight - 80)}px`;
});
byId("matrix").addEventListener("mouseleave", () => { byId("tip").hidden = true; });
groups.forEach(group => byId("namespace").append(make("option", { value: group }, group)));
byId("always").textContent = "Not shown, always so: " + data.always.join("; ") + ".";
state.size = ends.length <= 16 ? 30 : ends.length <= 40 ? 20 : ends.length <= 90 ? 14 : 11;
byId("zoom").value = state.size;
const wanted = new URLSearchParams(location.hash.slice(1));
if (wanted.get("theme")) theme(wanted.get("theme") === "dark" ? "dark" : "light");
if (wanted.get("view") === "graph") state.view = "graph";
for (const id of ["namespace", "name", "port"]) if (wanted.get(id)) byId(id).value = wanted.get(id);
draw();
if (wanted.get("end")) choose(ends.findIndex(end => end.name === wanted.get("end")));
