// The panel that looks at keys: browse by prefix, read, write and delete one, with the command that does the same.

import { bytes, command, el, quoted, span, terminal } from "./draw.js";

const SHOWN = 64 * 1024;

/// A key as a segment of a path.
const encode = (key) => encodeURIComponent(key).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());

/// The text of an encoded key; `null` if it is no text.
function decode(encoded) {
  try { return decodeURIComponent(encoded); } catch { return null; }
}

/// A duration as the server writes it: a whole number and a unit.
function milliseconds(text) {
  const [, number, unit] = text.match(/^(\d+)(\w+)$/) ?? [];
  return number * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit] ?? NaN);
}

const field = (label, input, size = "") => el("label", { class: "field " + size }, label, input);

export function lookup(card) {
  const key = el("input", { name: "key", autocomplete: "off", spellcheck: "false", autocapitalize: "off", required: true });
  const db = el("select", { name: "db" }, ...Array.from({ length: 16 }, (_, n) => el("option", { value: n }, String(n))));
  const value = el("textarea", { spellcheck: "false" });
  const ttl = el("input", { placeholder: "none", autocomplete: "off" });
  const tags = el("input", { placeholder: "a, b", autocomplete: "off" });
  const result = el("div", { class: "result", "aria-live": "polite" });
  const redisLine = command("");
  const curlLine = command("");
  const prefix = el("input", { autocomplete: "off", spellcheck: "false", placeholder: "all keys" });
  const keys = el("ul", { class: "keys" });
  const more = el("button", { type: "button", hidden: true }, "more");
  let server = { redis_address: null, password: false, tls: false };
  // A key that is no text is only known by its encoded form.
  let binary = null;

  const path = () => `/v1/entries/${binary ?? encode(key.value)}${db.value === "0" ? "" : "?db=" + db.value}`;

  function explain(verb) {
    const [redis, curl] = terminal(server);
    const cli = redis && (db.value === "0" ? redis : `${redis} -n ${db.value}`);
    const expiry = ttl.value.trim();
    const header = (name, text) => (text.trim() ? ` -H ${quoted(`${name}: ${text.trim()}`)}` : "");
    const lines = {
      GET: [`${cli} get ${quoted(key.value)}`, curl(path())],
      PUT: [null, `printf %s ${quoted(value.value)} | ${curl(path())} -T -` + header("Terrace-Ttl", expiry) + header("Terrace-Tags", tags.value)],
      DELETE: [`${cli} del ${quoted(key.value)}`, `${curl(path())} -X DELETE`],
    }[verb];
    redisLine.line.hidden = !redis || binary !== null || lines[0] === null;
    redisLine.write(lines[0] ?? "");
    curlLine.line.hidden = false;
    curlLine.write(lines[1]);
  }

  async function act(verb) {
    if (key.value === "." || key.value === "..") {
      return tell("bad", "Browsers take this key for a part of the address: use redis-cli for it.");
    }
    explain(verb);
    const request = { method: verb, headers: {} };
    if (verb === "PUT") {
      request.body = new TextEncoder().encode(value.value);
      request.headers["Content-Type"] = "text/plain; charset=utf-8";
      if (ttl.value.trim()) request.headers["Terrace-Ttl"] = ttl.value.trim();
      // As in the header: separated by commas, percent-encoded where need be. Letters beyond ASCII need it.
      const list = tags.value.trim().replace(/[^\x20-\x7e]+/g, encodeURIComponent);
      if (list) request.headers["Terrace-Tags"] = list;
    }
    try {
      const response = await fetch(path(), request);
      if (!response.ok) return tell("bad", await reason(response));
      if (verb === "GET") return await show(response);
      tell("good", verb === "DELETE" ? "Deleted." : `Written, version ${response.headers.get("etag")?.replaceAll('"', "")}.`);
      browse();
    } catch (error) {
      tell("bad", `The server does not answer: ${error.message}`);
    }
  }

  async function reason(response) {
    const text = await response.text();
    try { return JSON.parse(text).detail; } catch { return `${response.status} ${response.statusText}`; }
  }

  const tell = (how, text, ...rest) => result.replaceChildren(el("div", { class: "outcome " + how }, text), ...rest);

  async function show(response) {
    const body = new Uint8Array(await response.arrayBuffer());
    const header = (name) => response.headers.get(name);
    const about = el("dl", { class: "about" });
    const fact = (name, text) => text && about.append(el("dt", {}, name), el("dd", {}, text));
    fact("found in", header("cache-status")?.match(/detail=(\w+)/)?.[1]);
    fact("version", header("etag")?.replaceAll('"', ""));
    fact("age", header("age") && span(1000 * header("age")));
    fact("time left", header("terrace-ttl") ? span(milliseconds(header("terrace-ttl"))) : "no end");
    fact("tags", header("terrace-tags"));
    fact("type", header("content-type"));
    response.headers.forEach((text, name) => { if (name.startsWith("terrace-meta-")) fact(name.slice(13), text); });
    const [shown, text] = readable(body);
    tell("good", bytes(body.length) + (shown ? "" : ", no text"), about, el("pre", { tabindex: "0" }, text || "(empty)"));
    // What cannot be edited here must not leave another key's value to be put in its place.
    value.value = shown && body.length <= SHOWN ? text : "";
    tags.value = header("terrace-tags") ?? "";
    ttl.value = header("terrace-ttl") ?? "";
  }

  /// Text if it is text, otherwise hexadecimal.
  function readable(body) {
    const part = body.subarray(0, SHOWN);
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(part, { stream: true });
      if (!/[\u0000-\u0008\u000e-\u001f]/.test(text)) return [true, text + (part.length < body.length ? "\n…" : "")];
    } catch { /* Not UTF-8. */ }
    const rows = [];
    for (let at = 0; at < Math.min(body.length, 512); at += 16) {
      const row = [...body.subarray(at, at + 16)];
      const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
      rows.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("")}`);
    }
    return [false, rows.join("\n") + (body.length > 512 ? "\n…" : "")];
  }

  async function browse(cursor) {
    const query = new URLSearchParams({ limit: 50, db: db.value });
    if (prefix.value) query.set("prefix", prefix.value);
    if (cursor) query.set("cursor", cursor);
    let page;
    try {
      const response = await fetch("/v1/entries?" + query);
      if (!response.ok) return keys.replaceChildren(el("li", { class: "note" }, await reason(response)));
      page = await response.json();
    } catch { return; }
    const items = page.keys.map((listed) => {
      const text = decode(listed.key);
      const pick = el("button", { class: "link code", type: "button" }, text === null ? listed.key : text || "(empty key)");
      pick.addEventListener("click", () => {
        key.value = text ?? listed.key;
        binary = text === null ? listed.key : null;
        act("GET");
      });
      return el("li", {}, pick, el("span", { class: "ttl" }, listed.ttl_ms === undefined ? "" : span(listed.ttl_ms)));
    });
    if (cursor) keys.append(...items);
    else keys.replaceChildren(...(items.length ? items : [el("li", { class: "note" }, "no key begins so")]));
    more.hidden = !page.cursor;
    more.onclick = () => browse(page.cursor);
  }

  key.addEventListener("input", () => { binary = null; });
  db.addEventListener("change", () => browse());
  let typing;
  prefix.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(browse, 250); });

  const remove = () => { if (key.reportValidity() && confirm(`Delete ${key.value}?`)) act("DELETE"); };
  const form = el("form", { class: "fields", onsubmit: (event) => { event.preventDefault(); act("GET"); } },
    field("key", key, "grow"), field("database", db, "small"),
    el("button", { class: "main" }, "Get"),
    el("button", { type: "button", class: "danger", onclick: remove }, "Delete"));
  const editor = el("div", { class: "fields" },
    field("value", value, "grow"), field("lives for", ttl, "small"), field("tags", tags, "medium"),
    el("button", { type: "button", onclick: () => key.reportValidity() && act("PUT") }, "Put"));
  card.append(el("div", { class: "explorer" },
    el("div", {}, field("begins with", prefix), keys, more),
    el("div", {}, form, editor, el("ul", { class: "commands" }, redisLine.line, curlLine.line), result)));
  redisLine.line.hidden = true;
  curlLine.line.hidden = true;
  browse();
  return ({ report }) => { server = report.server; };
}
