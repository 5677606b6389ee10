// Building blocks of the panels: elements, numbers as people read them, charts, bars and command lines.

/// An element with attributes and children. Text is always text, never markup.
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  set(element, attributes);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(name, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(element, attributes);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
}

export const none = "–";

export function count(number) {
  if (number === null || number === undefined) return none;
  if (number < 10 && number % 1 !== 0) return number.toFixed(1);
  if (number < 100_000) return Math.round(number).toLocaleString("en").replaceAll(",", "\u202f");
  const [size, unit] = number < 1e6 ? [1e3, "k"] : number < 1e9 ? [1e6, "M"] : [1e9, "G"];
  return (number / size).toPrecision(3) + unit;
}

export function bytes(number) {
  if (number === null || number === undefined) return none;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) { number /= 1024; unit += 1; }
  return (unit === 0 ? number : number.toPrecision(3)) + " " + units[unit];
}

export function percent(part, round = false) {
  if (part === null || part === undefined) return none;
  return (100 * part).toFixed(round || part > 0.9995 || part < 0.0005 ? 0 : 1) + " %";
}

/// Nanoseconds.
export function latency(ns) {
  if (!ns) return none;
  for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) {
    if (ns >= size) return (ns / size).toPrecision(ns / size >= 100 ? 3 : 2) + " " + unit;
  }
  return Math.round(ns) + " ns";
}

/// Milliseconds.
export function span(ms) {
  const units = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]];
  const first = units.findIndex(([, size]) => ms >= size);
  if (first < 0) return Math.max(0, Math.round(ms)) + " ms";
  const [unit, size] = units[first];
  const next = units[first + 1];
  const rest = next ? Math.floor((ms % size) / next[1]) : 0;
  return `${Math.floor(ms / size)} ${unit}` + (rest ? ` ${rest} ${next[0]}` : "");
}

const WIDTH = 600;
const HEIGHT = 100;

/// A chart over time. `series` names its lines or areas; each update gives the points, one value a series.
export function chart({ series, stacked = false, most = null, format, label }) {
  const canvas = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const y of [0, 50, 100]) canvas.append(svg("line", { x1: 0, x2: WIDTH, y1: y, y2: y, class: "grid" }));
  const shapes = new Map();
  const cross = svg("line", { y1: 0, y2: HEIGHT, class: "cross", visibility: "hidden" });
  canvas.append(cross);
  const scales = [0, 50, 100].map(() => el("span", { class: "scale" }));
  const from = el("span", { class: "time from" });
  const empty = el("div", { class: "empty" }, "no reads or writes yet");
  const frame = el("div", { class: "chart" }, canvas, ...scales, from, el("span", { class: "time to" }, "now"), empty);
  const legend = el("ul", { class: "legend" });
  const height = "calc((100% - 1.2rem) * ";
  scales.forEach((scale, index) => { scale.style.top = height + (1 - index / 2) + ")"; });
  let points = [];
  let pointed = null;

  const items = new Map();
  function item(name) {
    if (!items.has(name)) {
      const value = el("b");
      items.set(name, value);
      legend.append(el("li", { class: "of-" + name }, name + " ", value));
    }
    return items.get(name);
  }

  function shape(name) {
    if (!shapes.has(name)) {
      const path = svg("path", { class: `${stacked ? "area" : "line"} of-${name}` });
      shapes.set(name, path);
      canvas.insertBefore(path, cross);
    }
    return shapes.get(name);
  }

  function tell() {
    const at = pointed === null ? points.length - 1 : pointed;
    const point = points[at];
    series().forEach((name) => { item(name).textContent = point ? format(point.values[name]) : none; });
    cross.setAttribute("visibility", pointed === null || !point ? "hidden" : "visible");
    if (point && pointed !== null) {
      const x = place(at);
      cross.setAttribute("x1", x);
      cross.setAttribute("x2", x);
    }
  }

  const place = (index) => (points.length < 2 ? WIDTH : (index * WIDTH) / (points.length - 1));
  frame.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    pointed = Math.round(part * (points.length - 1));
    tell();
  });
  frame.addEventListener("pointerleave", () => { pointed = null; tell(); });

  function update(now) {
    points = now;
    const names = series();
    const values = (point) => names.map((name) => point.values[name]).filter((value) => value !== null);
    const any = points.some((point) => values(point).some((value) => value > 0));
    empty.hidden = any;
    const top = most ?? nice(Math.max(...points.flatMap(values), 0));
    scales.forEach((scale, index) => { scale.textContent = any ? format((top * index) / 2, true) : ""; });
    from.textContent = points.length > 1 ? span(points.at(-1).time - points[0].time) + " ago" : "";
    const floor = points.map(() => 0);
    for (const name of names) {
      shape(name).setAttribute("visibility", any ? "visible" : "hidden");
      shape(name).setAttribute("d", stacked ? area(points, name, floor, top) : line(points, name, top));
    }
    tell();
    const last = points.at(-1);
    if (last) canvas.setAttribute("aria-label", label + ": " + names.map((name) => `${name} ${format(last.values[name])}`).join(", "));
  }

  const height_of = (value, top) => (HEIGHT * (1 - value / top)).toFixed(2);

  /// Where nothing was measured there is a gap.
  function runs(points, name) {
    const found = [];
    points.forEach((point, index) => {
      if (point.values[name] === null) return;
      const run = found.at(-1);
      if (run && run.at(-1) === index - 1) run.push(index);
      else found.push([index]);
    });
    return found;
  }

  function line(points, name, top) {
    const step = (index) => `${place(index).toFixed(1)} ${height_of(points[index].values[name], top)}`;
    return runs(points, name).map((run) => "M" + run.map(step).join("L")).join("");
  }

  function area(points, name, floor, top) {
    const paths = runs(points, name).map((run) => {
      const under = run.map((index) => `${place(index).toFixed(1)} ${height_of(floor[index], top)}`);
      run.forEach((index) => { floor[index] += points[index].values[name]; });
      const over = run.map((index) => `${place(index).toFixed(1)} ${height_of(floor[index], top)}`);
      return "M" + over.join("L") + "L" + under.reverse().join("L") + "Z";
    });
    return paths.join("");
  }

  return { parts: [frame, legend], update };
}

/// The next round number.
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

/// Bars with a name before and a value behind. Each row: name, of (colour), value, and part from 0 to 1, or `null` where
/// there is no whole to be a part of.
export function bars() {
  const box = el("div", { class: "bars" });
  let held = [];
  function update(rows) {
    if (held.length !== rows.length) {
      held = rows.map(() => ({ name: el("div", { class: "name" }), fill: el("div"), value: el("div", { class: "value" }) }));
      box.replaceChildren(...held.flatMap(({ name, fill, value }) => [name, el("div", { class: "track" }, fill), value]));
    }
    rows.forEach((row, index) => {
      const { name, fill, value } = held[index];
      name.textContent = row.name;
      fill.className = "fill" + (row.of ? " of-" + row.of : "");
      fill.parentElement.style.visibility = row.part === null ? "hidden" : "visible";
      fill.style.width = (100 * Math.min(1, row.part || 0)).toFixed(2) + "%";
      value.textContent = row.value;
    });
  }
  return { box, update };
}

/// A table whose first column names the row. Cells are texts or elements.
export function table(head) {
  const body = el("tbody");
  const box = el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))), body));
  const update = (rows) => body.replaceChildren(...rows.map(([first, ...rest]) =>
    el("tr", {}, el("th", { scope: "row" }, ...[first].flat()), ...rest.map((cell) => el("td", {}, cell)))));
  return { box, update };
}

/// A command line that can be copied.
export function command(text) {
  const code = el("code", {}, text);
  const button = el("button", { class: "copy", type: "button", "aria-label": "copy the command" }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      // Without a secure connection there is no clipboard: mark the text instead.
      getSelection().selectAllChildren(code);
      button.textContent = "marked";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  return { line: el("li", { class: "command" }, code, button), write: (text) => { if (code.textContent !== text) code.textContent = text; } };
}

/// A word for a shell.
export const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");

/// How to call redis-cli and curl for this server.
export function terminal(server) {
  const address = server.redis_address;
  const [host, port] = address ? [address.slice(0, address.lastIndexOf(":")), address.slice(address.lastIndexOf(":") + 1)] : [];
  const local = host === "127.0.0.1" || host === "0.0.0.0";
  const flags = (server.password ? " --askpass" : "") + (server.tls ? " --tls" : "");
  const redis = address && "redis-cli" + (local ? "" : ` -h ${host.replace(/^\[|\]$/g, "")}`) + ` -p ${port}` + flags;
  const curl = (path) => "curl" + (server.password ? " -u default" : "") + " " + quoted(location.origin + path);
  return [redis, curl];
}
