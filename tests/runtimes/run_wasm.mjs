// Runs one Python script on MicroPython for WebAssembly: node run_wasm.mjs PACKAGE ROOT HEAP_BYTES SCRIPT PATHS ARG...
// PATHS is a JSON list of files and folders below ROOT; their .py files (and named files) are copied into the
// runtime's own file system at /project, so a script can change nothing outside.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [pkg, root, heap, script, paths, ...args] = process.argv.slice(2);
const { loadMicroPython } = await import(pathToFileURL(path.join(pkg, "micropython.mjs")));
const mp = await loadMicroPython({
  heapsize: Number(heap),
  linebuffer: true,
  stdout: (line) => fs.writeSync(1, line + "\n"),
  stderr: (line) => fs.writeSync(2, line + "\n"),
});

function copy(name) {
  const from = path.join(root, name);
  if (fs.statSync(from).isDirectory()) {
    mp.FS.mkdirTree("/project/" + name);
    for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
      if (entry.name !== "__pycache__" && (entry.isDirectory() || entry.name.endsWith(".py"))) {
        copy(path.join(name, entry.name));
      }
    }
  } else {
    mp.FS.mkdirTree("/project/" + path.dirname(name));
    mp.FS.writeFile("/project/" + name, fs.readFileSync(from));
  }
}
for (const name of JSON.parse(paths)) copy(name);

// gc.collect() does nothing while Python runs here: the collector cannot see this machine's stack. It works between
// two calls from JavaScript, so a script that measures the heap has lines `#: collect`, and each part is a call.
const source = fs.readFileSync(path.join(root, script), "utf8");
const parts = source.split(/^#: collect$/m);
// Python literals for these strings are JSON's, both being plain text in double quotes.
try {
  mp.runPython(`
import sys
sys.path[:] = ["/project"]
sys.argv[:] = ${JSON.stringify([script, ...args])}
__name__ = "__main__"`);
  let lines = "";
  for (const part of parts) {
    mp.globals.set("_part", lines + part);
    mp.runPython(`exec(compile(_part, ${JSON.stringify(script)}, "exec"), globals())`);
    lines += "\n".repeat(part.split("\n").length - 1);
    mp.runPython("_part = None\nimport gc\ngc.collect()");
  }
} catch (error) {
  fs.writeSync(2, String(error.message ?? error) + "\n");
  process.exitCode = 1;
}
