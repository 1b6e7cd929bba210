"""Runs scripts on an instrumented core: count_executed.py FOLDER SCRIPT[,ARG]... prints each core module and whether a
function of it ran."""

import sys

folder = sys.argv[1]
scripts = sys.argv[2:]
sys.path.insert(0, folder)
for script in scripts:
    words = script.split(",")
    sys.argv[:] = words
    with open(words[0]) as file:
        exec(compile(file.read(), words[0], "exec"), {"__name__": "__main__"})
print("executed:")
for name in sorted(sys.modules):
    if name.startswith("cell_controller.core."):
        counted = getattr(sys.modules[name], "_executed", None)
        print(name, counted[0] if counted is not None else -1)
