// Pyodide: node pyodide.mjs NODE_MODULES WHEEL ZIP..., with Python text as input; tells what it prints.
// What is in the zips is installed; the wheel is a file of Python's, in the folder /.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const code = readFileSync(0, "utf8");
const [modules, wheel, ...zips] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(modules, "pyodide/pyodide.mjs")));
const python = await loadPyodide();
globalThis.vizJs = pathToFileURL(join(modules, "@viz-js/viz/dist/viz.js")).href;
const extractDir = python.runPython("import site; site.getsitepackages()[0]");
for (const zip of zips) {
  python.unpackArchive(new Uint8Array(readFileSync(zip)), "zip", { extractDir });
}
python.FS.writeFile(`/${basename(wheel)}`, new Uint8Array(readFileSync(wheel)));
await python.runPythonAsync(code);
