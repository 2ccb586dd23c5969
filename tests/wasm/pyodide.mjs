// Pyodide: node pyodide.mjs NODE_MODULES ZIP..., with Python text as input; tells what it printed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, ...zips] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(modules, "pyodide/pyodide.mjs")));
const python = await loadPyodide();
globalThis.vizJs = pathToFileURL(join(modules, "@viz-js/viz/dist/viz.js")).href;
globalThis.load = (url) => import(url);
const extractDir = python.runPython("import site; site.getsitepackages()[0]");
for (const zip of zips) {
  python.unpackArchive(new Uint8Array(readFileSync(zip)), "zip", { extractDir });
}
await python.runPythonAsync(readFileSync(0, "utf8"));
