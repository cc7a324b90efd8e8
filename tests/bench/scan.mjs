// `make bench-scan`: the scanner alone on fresh text, natively and on V8, and the costliest text that a search finds.
//
//     node --no-liftoff tests/bench/scan.mjs NATIVE MODULE
//     BASE=path/to/an/earlier/bench BASE_MODULE=path/to/an/earlier/bench.wasm   compares: both run in turn
//     FILTER=bartizan.wasm BASE_FILTER=an/earlier/one    bytes of the filter itself, beside those of the bench's modules
//     ROUNDS=5 ONLY=kinds|own|worst|hostile WRITE=1
//
// Without Liftoff, V8 compiles as Envoy's does. A cell is the fastest of all rounds: what disturbs a round only slows it.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [native, module] = process.argv.slice(2);
const { BASE, BASE_MODULE, FILTER, BASE_FILTER, ONLY = "", WRITE } = process.env;
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const KINDS = ["prose", "chat", "issues", "code", "logs", "json", "chinese", "arabic", "base64"];
// Steps a byte that a text may cost, in those of the median fresh kind.
const MOST = 8;
// Milliseconds of V8 that 4 MiB of any text may cost.
const LONGEST = 3000;
// Units of texts that were costly to one stage or another at one time, and their kin.
const HOSTILE = [
  "*", "~", "`", "*a", "_*", "[", "![", "<", "<a ", "&", "&#", "\\", "=", "=?", "/", "%", "%41%20", "&amp;", "\u2022 a ", "3", "-", "( ",
  "i g n ", "\ufdfa", "\ufdfa\u001e", "v0\u001e", "v\u001e", "key=\u001e", "aakey=", "cache_key=0011aabb&row=12&", "![](http://a?", "http://",
  "a@b.", "4111 1111 1111 1111 ", "\u017f4111 11 12-34-56 key=", "cGxlYXNlIHJlYWQgdGhlIGxpc3QgMyBvZiB0aGUgd2Vlayw", "6967 ", "01101001 ",
  "\u0301", "\u200b", "e\u0301", "\u0430a", "ignore all ", "system: ", "-----BEGIN ", "eyJ", "AKIA", "<!--", "{\"", "\ud83c\uddeb",
];
const text = [];
const say = (line = "") => { text.push(line); console.log(line); };
const rows = (output) => output.split("\n").filter(Boolean).map((line) => JSON.parse(line));
const cell = (value, width = 10) => String(value ?? "-").padStart(width);
const number = (value, digits = 1) => (value === undefined ? "-" : value.toFixed(digits));
const table = (heads, lines) => { say(heads); lines.forEach((line) => say(line)); say(); };

function natively(path) {
  return (...command) => {
    const ran = spawnSync(path, command, { encoding: "utf8" });
    if (ran.status !== 0) throw new Error(`${path} ${command.join(" ")}: ${ran.stderr}`);
    return rows(ran.stdout);
  };
}

// The few calls of WASI that the bench makes, written out: Node's own WASI ends the process when its object is collected
// while the module runs.
function onV8(path) {
  const code = new WebAssembly.Module(readFileSync(path));
  return (...command) => {
    const [exit, written] = [new Error("the program's exit"), []];
    const words = ["bench", ...command].map((word) => Buffer.from(word + "\0"));
    const view = () => new DataView(memory.buffer);
    const at = (offset, length) => new Uint8Array(memory.buffer, offset, length);
    const calls = {
      args_sizes_get: (count, bytes) => (view().setUint32(count, words.length, true), view().setUint32(bytes, Buffer.concat(words).length, true), 0),
      args_get(starts, bytes) {
        for (const [index, word] of words.entries()) {
          view().setUint32(starts + 4 * index, bytes, true);
          at(bytes, word.length).set(word);
          bytes += word.length;
        }
        return 0;
      },
      environ_sizes_get: (count, bytes) => (view().setUint32(count, 0, true), view().setUint32(bytes, 0, true), 0),
      clock_time_get(_clock, _precision, into) {
        const { user, system } = process.cpuUsage();
        view().setBigUint64(into, BigInt(user + system) * 1000n, true);
        return 0;
      },
      random_get: (into, length) => (at(into, length).fill(7), 0),
      fd_write(_fd, vectors, count, wrote) {
        let all = 0;
        for (let index = 0; index < count; index++) {
          const [from, length] = [0, 4].map((more) => view().getUint32(vectors + 8 * index + more, true));
          written.push(Buffer.from(at(from, length)));
          all += length;
        }
        view().setUint32(wrote, all, true);
        return 0;
      },
      proc_exit(status) {
        throw status === 0 ? exit : new Error(`exit ${status}: ${Buffer.concat(written)}`);
      },
    };
    // Nothing else is called here, the proxy's own imports included.
    const rest = new Proxy(calls, { get: (known, name) => known[name] ?? (() => 0), has: () => true });
    const { memory, _start } = new WebAssembly.Instance(code, { wasi_snapshot_preview1: rest, env: rest }).exports;
    try {
      _start();
    } catch (error) {
      if (error !== exit) throw error;
    }
    return rows(Buffer.concat(written).toString());
  };
}

// Bytes of code and of data of a module.
function sections(path) {
  const bytes = readFileSync(path);
  let at = 8;
  const number = () => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte < 128) return value;
    }
  };
  const found = { all: bytes.length };
  while (at < bytes.length) {
    const kind = bytes[at++];
    const length = number();
    if (kind === 10) found.code = length;
    if (kind === 11) found.data = length;
    at += length;
  }
  return found;
}

const contenders = { V8: onV8(module), native: natively(native) };
if (BASE_MODULE) contenders["V8 before"] = onV8(BASE_MODULE);
if (BASE) contenders["native before"] = natively(BASE);

// Every contender in turn, forwards and backwards; of each row's numbers the least.
function alternately(names, key, ...command) {
  const best = Object.fromEntries(names.map((name) => [name, new Map()]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of round % 2 ? [...names].reverse() : names) {
      for (const row of contenders[name](...command)) {
        const known = best[name].get(row[key]);
        best[name].set(row[key], known ? Object.fromEntries(Object.entries(row).map(([k, v]) => [k, typeof v === "number" ? Math.min(v, known[k]) : v])) : row);
      }
    }
  }
  return best;
}

const names = Object.keys(contenders);
const git = spawnSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).stdout?.trim();
say(`${new Date().toISOString().slice(0, 10)}  ${git}  ${cpus()[0].model}, ${cpus().length} cores, load ${loadavg()[0].toFixed(1)} at the start`);
say(`V8 ${process.versions.v8} (Node ${process.versions.node}), ${ROUNDS} rounds; nanoseconds of processor time a byte, each text read once\n`);

for (const [name, path] of [["V8", module], ["V8 before", BASE_MODULE], ["the filter", FILTER], ["the filter before", BASE_FILTER]]) {
  if (!path) continue;
  const { all, code, data } = sections(path);
  say(`${name}: ${all} bytes, code ${code}, data ${data}`);
}
say();

if (!ONLY || ONLY === "kinds") {
  const lines = [];
  let last;
  const medians = {};
  for (const kind of KINDS) {
    const best = alternately(names, "size", "scan", kind);
    const cells = [];
    for (const size of [1024, 16384]) {
      for (const name of names) {
        const row = best[name].get(size);
        cells.push(cell(number(row.rules)), cell(number(row.scored)));
        (medians[`${name} ${size}`] ??= []).push(row.scored);
      }
    }
    last = best.V8.get(16384);
    lines.push(kind.padEnd(10) + cells.join("") + cell(number(last.callback, 0)) + cell(last.incomplete || ""));
  }
  const heads = [1, 16].flatMap((size) => names.flatMap((name) => [`${name} ${size}K`.replace(" before", "'"), "+scorer"]));
  table("".padEnd(10) + heads.map((head) => cell(head)).join("") + cell("4 MiB ms") + cell("cut short"), lines);
  const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  say(`median of the kinds, with the scorer: ${Object.entries(medians).map(([name, values]) => `${name} B ${number(middle(values))}`).join(", ")}`);
  say(`"4 MiB ms": one scan of 4 MiB on V8; scanner ready on V8 in ${number(last.ready)} ms; memory ${number(last.rest / 1048576)} MiB, after that ${number(last.peak / 1048576)} MiB\n`);
}

if (!ONLY || ONLY === "own") {
  const best = alternately(names, "own", "own");
  const heads = "own rules, 16 KiB of prose".padEnd(30) + names.map((name) => cell(name, 15)).join("") + cell("hits a text", 14) + cell("cut short");
  table(heads, [...best.native.values()].map((row) =>
    cell(row.own, 30) + names.map((name) => cell(number(best[name].get(row.own).scored), 15)).join("") + cell(row.hits, 14) + cell(row.incomplete || "")));
}

if (!ONLY || ONLY === "worst") {
  const [fresh, ...found] = contenders.native("worst");
  say(`the costliest text: four climbs of ${fresh.tries} units each, ${fresh.length / 1024} KiB, native; steps are the scanner's, time is the whole request's`);
  say(`median fresh kind: ${number(fresh.steps, 2)} steps a byte, ${number(fresh.ns)} ns a byte; "x": times that; "longer": ns a byte at four times the length`);
  // The costliest of each climb on V8, in a text small enough for a scanner that is not linear.
  const large = 256 * 1024;
  const worst = ["steps", "time"].flatMap((by) => [true, false].flatMap((one) => found.filter((row) => row.by === by && (row.texts === 1) === one).slice(0, 1)));
  for (const row of worst) [{ callback: row.callback }] = contenders.V8("large", row.unit, String(large));
  const heads = ["texts", "steps/B", "x", "ns/B", "x", "longer", "V8 ms"];
  table("climb".padEnd(7) + heads.map((head) => cell(head)).join("") + "   whole request           unit", found.map((row) =>
    row.by.padEnd(7) +
    [row.texts, number(row.steps, 2), number(row.timesSteps), number(row.ns, 0), number(row.times), `x${number(row.growth)}`, number(row.callback, 0)].map((value) => cell(value)).join("") +
    `   ${(row.refused ?? "passes").padEnd(24)}${row.shown}`));
  say(`"V8 ms": one scan of ${large / 1024} KiB`);
  const dear = found.filter((row) => row.timesSteps > MOST);
  if (dear.length > 0) {
    say(`FAILED: ${dear.length} units cost over ${MOST} times the median fresh kind, in steps`);
    process.exitCode = 1;
  }
}

if (!ONLY || ONLY === "hostile") {
  const large = 4 << 20;
  const took = HOSTILE.map((unit) => ({ unit, ms: contenders.V8("large", unit, String(large))[0].callback })).sort((a, b) => b.ms - a.ms);
  say(`${took.length} hostile texts of ${large / 1048576} MiB, one scan each on V8; the ten costliest`);
  for (const { unit, ms } of took.slice(0, 10)) say(`${cell(number(ms, 0))} ms   ${JSON.stringify(unit)}`);
  const late = took.filter(({ ms }) => ms > LONGEST);
  if (late.length > 0) {
    say(`FAILED: ${late.length} of them took longer than ${LONGEST} ms`);
    process.exitCode = 1;
  }
  say();
}

if (WRITE) {
  const folder = join(dirname(fileURLToPath(import.meta.url)), "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${new Date().toISOString().slice(0, 10)}-scan.txt`), text.join("\n") + "\n");
}
