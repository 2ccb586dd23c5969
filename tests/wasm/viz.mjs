// viz-js, as pages use it: node viz.mjs VIZ_JS FORMAT, with DOT text as input; tells its result.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, format] = process.argv.slice(2);
const Viz = await import(pathToFileURL(module));
const viz = await Viz.instance();
let told;
try {
  told = viz.render(readFileSync(0, "utf8"), { format });
} catch (error) {
  told = { thrown: String(error) };
}
process.stdout.write(JSON.stringify(told));
