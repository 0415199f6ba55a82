"""What the benchmark scripts share: processes with their time and memory, components, homes, tables."""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Everything that the scripts make lies here.
WORK = ROOT / "target" / "bench"
OUTRIGGER = pathlib.Path(os.environ.get("OUTRIGGER_BIN", ROOT / "target" / "release" / "outrigger"))


class Ended:
    """A process that ended: seconds of wall clock and of processor time, and its largest resident memory in MB."""

    def __init__(self, wall, usage):
        self.wall = wall
        self.cpu = usage.ru_utime + usage.ru_stime
        # Kilobytes on Linux, bytes on macOS.
        self.memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def run(command, env=None, cwd=None, watch=None):
    """Runs a command to its end; a failure ends the script with what it printed."""
    with open(WORK / "output", "w+b") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd
        )
        if watch:
            watch(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{output.read().decode(errors='replace')}")
    return Ended(wall, usage)


def environment(**more):
    """The environment without anything of AWS, and with no way to instance metadata."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OUTRIGGER_"))}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", "NO_COLOR": "1", **more}


def component(name, source=None):
    """Builds a component from what `plugin new` writes, with another `src/lib.rs` where one is given."""
    project = WORK / "components" / name
    if project.exists():
        # The target folder stays, so that its packages are not built again.
        for entry in project.iterdir():
            if entry.name != "target":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    fresh = WORK / "components" / f"{name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    run([OUTRIGGER, "plugin", "new", name, "--dir", fresh])
    project.mkdir(parents=True, exist_ok=True)
    for entry in fresh.iterdir():
        entry.rename(project / entry.name)
    fresh.rmdir()
    if source:
        shutil.copyfile(source, project / "src" / "lib.rs")
    cargo = {name: value for name, value in environment().items() if not re.match(r"(CARGO_(?!HOME|NET)|RUST)", name)}
    run(["cargo", "build", "--release", "--quiet"], env=cargo, cwd=project)
    return project / "target/wasm32-unknown-unknown/release" / f"{name.replace('-', '_')}.wasm"


def home(name, configuration="", plugins=()):
    """A fresh home with these components."""
    folder = WORK / "homes" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "outrigger.toml").write_text(configuration)
    for plugin in plugins:
        run([OUTRIGGER, "--home", folder, "plugin", "add", plugin, "--yes"], env=environment())
    return folder


def median(values):
    return statistics.median(values)


def table(head, rows):
    """Prints rows below a head, columns as wide as they need."""
    rows = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())


def load():
    """What else the machine does: its load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"
