// Runs the scan benchmark natively and on V8 and prints both: node scan.mjs NATIVE MODULE.
import { spawnSync } from "node:child_process";
import { readFileSync, openSync, closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir, cpus, release, arch } from "node:os";
import { join } from "node:path";
import { WASI } from "node:wasi";

const [native, module] = process.argv.slice(2);
const lines = (text) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line));

async function onV8(path) {
  const folder = mkdtempSync(join(tmpdir(), "scan-"));
  const file = join(folder, "out");
  const out = openSync(file, "w+");
  const wasi = new WASI({ version: "preview1", args: ["speed", "--json"], stdout: out, returnOnExit: true });
  const code = await WebAssembly.compile(readFileSync(path));
  // The proxy's own imports are not called here.
  const env = new Proxy({}, { get: () => () => 0, has: () => true });
  const imports = { ...wasi.getImportObject(), env };
  const began = performance.now();
  const instance = await WebAssembly.instantiate(code, imports);
  // The library's own `_initialize` is the proxy's; here the program's `_start` runs.
  const { memory, _start } = instance.exports;
  wasi.start({ exports: { memory, _start } });
  closeSync(out);
  const rows = lines(readFileSync(file, "utf8"));
  rmSync(folder, { recursive: true });
  return { rows, seconds: (performance.now() - began) / 1000 };
}

const wasm = (await onV8(module)).rows;
const ran = spawnSync(native, ["--json"], { encoding: "utf8" });
const here = lines(ran.stdout);

console.log(`${new Date().toISOString().slice(0, 10)}  ${cpus()[0].model}, ${cpus().length} cores, ${release()} ${arch()}`);
console.log(`V8 ${process.versions.v8} (Node ${process.versions.node}); MB/s, rules alone and with the scorer\n`);
const cell = (value, width = 9) => String(value).padStart(width);
console.log("kind".padEnd(18) + ["wasm", "+scorer", "native", "+scorer", "ratio", "4 MiB ms"].map((h) => cell(h)).join(""));
for (const row of wasm) {
  const twin = here.find((other) => other.kind === row.kind);
  const ratio = (row.rules / twin.rules).toFixed(2);
  console.log(
    row.kind.padEnd(18) +
      [row.rules, row.scored, twin.rules, twin.scored, ratio, row.callback].map((value) => cell(value)).join(""),
  );
}
const worst = wasm.reduce((a, b) => (a.callback > b.callback ? a : b));
const mib = (bytes) => (bytes / 1048576).toFixed(1);
console.log(`\nlongest callback on V8: ${worst.callback} ms for 4 MiB of ${worst.kind}`);
console.log(`scanner ready in ${wasm[0].ready} ms; memory at rest ${mib(wasm[0].rest)} MiB, after all of the above ${mib(worst.peak)} MiB`);
