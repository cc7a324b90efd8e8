// `make bench-scan`: the scanner alone on fresh text, natively and on V8, and the costliest text that a search finds.
//
//     node --no-liftoff tests/bench/scan.mjs NATIVE MODULE
//     BASE=path/to/an/earlier/bench BASE_MODULE=path/to/an/earlier/bench.wasm   compares: both run in turn
//     FILTER=bartizan.wasm BASE_FILTER=an/earlier/one    bytes of the filter itself, beside those of the bench's modules
//     ROUNDS=5 ONLY=kinds|own|worst WRITE=1
//
// Without Liftoff, V8 compiles as Envoy's does. A cell is the fastest of all rounds: what disturbs a round only slows it.
import { spawnSync } from "node:child_process";
import { readFileSync, openSync, mkdtempSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { tmpdir, cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { WASI } from "node:wasi";

const [native, module] = process.argv.slice(2);
const { BASE, BASE_MODULE, FILTER, BASE_FILTER, ONLY = "", WRITE } = process.env;
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const KINDS = ["prose", "chat", "issues", "code", "logs", "json", "chinese", "arabic", "base64"];
// Steps a byte that a text may cost, in those of the median fresh kind.
const MOST = 8;
const text = [];
const kept = [];
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

function onV8(path) {
  const code = new WebAssembly.Module(readFileSync(path));
  return (...command) => {
    const folder = mkdtempSync(join(tmpdir(), "scan-"));
    const file = join(folder, "out");
    const out = openSync(file, "w+");
    const wasi = new WASI({ version: "preview1", args: ["bench", ...command], stdout: out, returnOnExit: true });
    // The proxy's own imports are not called here.
    const env = new Proxy({}, { get: () => () => 0, has: () => true });
    // The library's own `_initialize` is the proxy's; here the program's `_start` runs.
    const imports = { ...wasi.getImportObject().wasi_snapshot_preview1 };
    imports.clock_time_get = (_clock, _precision, at) => {
      const { user, system } = process.cpuUsage();
      new DataView(memory.buffer).setBigUint64(at, BigInt(user + system) * 1000n, true);
      return 0;
    };
    const { memory, _start } = new WebAssembly.Instance(code, { wasi_snapshot_preview1: imports, env }).exports;
    wasi.start({ exports: { memory, _start } });
    // What WASI was given, it closes itself, at some time after it is no longer used.
    kept.push(wasi);
    const found = rows(readFileSync(file, "utf8"));
    rmSync(folder, { recursive: true });
    return found;
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

if (WRITE) {
  const folder = join(dirname(fileURLToPath(import.meta.url)), "results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${new Date().toISOString().slice(0, 10)}-scan.txt`), text.join("\n") + "\n");
}
