// The panels, in the order of the page. Each is a function that fills its card once and returns what to do with
// every report (a second apart): `({ report, history }) => ...`. To add one, write it and name it in the list below.

import { bars, bytes, chart, command, count, el, latency, none, percent, span, table, terminal } from "./draw.js";
import { lookup } from "./lookup.js";

export const panels = [
  { id: "totals", size: "whole plain", build: totals },
  { id: "commands", title: "From a terminal", size: "whole", build: commands },
  { id: "hit-ratio", title: "Who answers reads", note: "share of all reads, by tier", build: hitRatio },
  { id: "rates", title: "Traffic", note: "a second", build: rates },
  { id: "tiers", title: "Tiers", note: "counts since the start, times of all operations so far", size: "whole", build: tiers },
  { id: "occupancy", title: "Occupancy", size: "third", build: occupancy },
  { id: "evictions", title: "Evictions", note: "by cause, since the start", size: "third", build: evictions },
  { id: "databases", title: "Databases", size: "third", build: databases },
  { id: "policy", title: "Hot tier's policy", size: "whole", build: policy },
  { id: "lookup", title: "Keys", size: "whole", build: lookup },
  { id: "settings", size: "whole", build: settings },
];

function totals(card) {
  const list = el("dl", { class: "tiles" });
  card.append(list);
  const tiles = new Map();
  const show = (name, value, unit, under) => {
    if (!tiles.has(name)) {
      const tile = { value: el("dd"), under: el("div", { class: "under" }) };
      tiles.set(name, tile);
      list.append(el("div", { class: "tile" }, el("dt", {}, name), tile.value, tile.under));
    }
    const tile = tiles.get(name);
    tile.value.replaceChildren(value, unit ? el("small", {}, unit) : "");
    tile.under.textContent = under ?? "";
  };
  return ({ report, history }) => {
    const rates = report.rates;
    const minute = history.slice(-60);
    const reads = minute.reduce((sum, point) => sum + point.reads, 0);
    const hits = minute.reduce((sum, point) => sum + point.reads * (point.hit_ratio ?? 0), 0);
    show("Hit ratio", reads > 0 ? percent(hits / reads) : none, "", `overall ${percent(report.totals.hit_ratio)}`);
    show("Commands", count(rates?.commands), "/s", `${count(report.redis.commands_total)} in all`);
    show("HTTP requests", count(rates?.http_requests), "/s", `${count(report.http.requests_total)} in all`);
    show("Keys", count(report.totals.keys), "", bytes(report.totals.bytes));
    show("Connections", count(report.redis.connections), "", `and ${count(report.http.connections)} by HTTP`);
    if (report.process) {
      const processors = rates?.cpu ?? null;
      show("Memory", bytes(report.process.resident_bytes), "", "of the process");
      show("Processor", processors === null ? none : percent(processors), "", `${span(1000 * report.process.cpu_seconds)} used`);
    }
  };
}

function hitRatio(card) {
  let names = ["miss"];
  const drawn = chart({ series: () => names, stacked: true, most: 1, format: (part, round) => percent(part, round), label: "Share of reads by tier" });
  card.append(...drawn.parts);
  return ({ report, history }) => {
    names = [...report.tiers.map((tier) => tier.tier), "miss"];
    drawn.update(history.map((point) => {
      const values = Object.fromEntries(names.map((name) => [name, null]));
      if (point.hit_ratio !== null) {
        point.tiers.forEach((tier) => { values[tier.tier] = tier.share ?? 0; });
        values.miss = Math.max(0, 1 - point.hit_ratio);
      }
      return { time: point.time_ms, values };
    }));
  };
}

function rates(card) {
  const names = ["commands", "reads", "writes"];
  const drawn = chart({ series: () => names, format: (value) => count(value), label: "Operations a second" });
  card.append(...drawn.parts);
  return ({ history }) => drawn.update(history.map((point) => ({
    time: point.time_ms,
    values: { commands: point.commands, reads: point.reads, writes: point.writes },
  })));
}

function tiers(card) {
  const shown = table(["", "state", "hit ratio", "hits", "misses", "errors", "read p50", "p99", "p99.9", "writes", "write p50", "p99"]);
  card.append(shown.box);
  return ({ report }) => shown.update(report.tiers.map((tier) => [
    [el("span", { class: "dot of-" + tier.tier }), tier.tier, el("span", { class: "engine" }, tier.store)],
    tier.state, percent(tier.hit_ratio), count(tier.hits), count(tier.misses), count(tier.errors + tier.damaged),
    latency(tier.read_latency.p50_ns), latency(tier.read_latency.p99_ns), latency(tier.read_latency.p999_ns),
    count(tier.writes), latency(tier.write_latency.p50_ns), latency(tier.write_latency.p99_ns),
  ]));
}

function occupancy(card) {
  const drawn = bars();
  const note = el("p", { class: "note" });
  card.append(drawn.box, note);
  return ({ report }) => {
    drawn.update(report.tiers.filter((tier) => tier.bytes !== null).map((tier) => ({
      name: tier.tier,
      of: tier.tier,
      part: tier.capacity_bytes === null ? null : tier.bytes / tier.capacity_bytes,
      value: bytes(tier.bytes) + (tier.capacity_bytes === null ? ", no limit" : ` of ${bytes(tier.capacity_bytes)}`),
    })));
    const held = report.tiers.filter((tier) => tier.entries !== null);
    note.textContent = "Entries: " + held.map((tier) => `${count(tier.entries)} ${tier.tier}`).join(", ");
  };
}

const CAUSES = {
  capacity: "made room", expired: "expired", idle: "unused too long", too_heavy: "refused, too heavy", full: "refused, no room",
};

function evictions(card) {
  const drawn = bars();
  card.append(drawn.box);
  return ({ report }) => {
    const most = Math.max(...report.evictions.map((eviction) => eviction.count), 1);
    // Where there is room for all keys nothing leaves below the hot tier, and there is nothing to say.
    const told = report.evictions.filter(({ tier, count: number }) => tier === "hot" || number > 0);
    drawn.update(told.map(({ tier, cause, count: number }) => ({
      name: (tier === "hot" ? "" : `${tier}: `) + (CAUSES[cause] ?? cause.replaceAll("_", " ")),
      of: tier, part: number / most, value: count(number),
    })));
  };
}

function policy(card) {
  const now = el("p", { class: "note" });
  const sizes = bars();
  const shown = table(["rules", "would have hit lately"]);
  card.append(now, sizes.box, el("details", {}, el("summary", {}, "Rules that compete"), shown.box));
  return ({ report }) => {
    card.hidden = !report.policy;
    if (!report.policy) return;
    const { rules, switches, sizes: told, candidates, sampled_one_in: part } = report.policy;
    now.textContent = `${rules}; changed ${count(switches)} times, learned from one key in ${count(part)}. ` +
      "Hit ratio of the hot tier by its size, estimated for LRU:";
    sizes.update(told.map(({ scale, bytes: size, lru_hit_ratio: ratio }) => ({
      name: scale === 1 ? `${bytes(size)}, as now` : bytes(size),
      of: "hot", part: ratio, value: ratio === null ? none : percent(ratio),
    })));
    shown.update(candidates.map((one) => [one.chosen ? `${one.rules} (now)` : one.rules, percent(one.hit_ratio)]));
  };
}

function databases(card) {
  const shown = table(["", "keys", "bytes"]);
  const empty = el("p", { class: "note" }, "No key yet. The commands below set the first.");
  card.append(empty, shown.box);
  return ({ report }) => {
    const any = report.databases.length > 0;
    empty.hidden = any;
    shown.box.hidden = !any;
    shown.update(report.databases.map((database) => [`db ${database.db}`, count(database.keys), bytes(database.bytes)]));
  };
}

function commands(card) {
  const lines = Array.from({ length: 6 }, () => command(""));
  card.append(el("ul", { class: "commands wide" }, ...lines.map(({ line }) => line)));
  return ({ report }) => {
    const [redis, curl] = terminal(report.server);
    [
      redis && `${redis} set greeting hello ex 600`,
      redis && `${redis} get greeting`,
      `${curl("/v1/entries/greeting")}`,
      `echo hello | ${curl("/v1/entries/greeting?ttl=10m")} -T - -H 'Terrace-Tags: demo'`,
      `${curl("/v1/invalidate")} --json '{"tag":"demo"}'`,
      `${curl("/v1/stats")}`,
    ].forEach((text, index) => {
      lines[index].line.hidden = !text;
      lines[index].write(text || "");
    });
  };
}

function settings(card) {
  const list = el("dl", { class: "about" });
  card.append(el("details", {}, el("summary", {}, "Settings in force"), list));
  let shown = "";
  return ({ report }) => {
    const settings = report.server.settings;
    card.hidden = settings.length === 0;
    const now = JSON.stringify(settings);
    if (now === shown) return;
    shown = now;
    list.replaceChildren(...settings.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  };
}
