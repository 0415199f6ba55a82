"""Whole processes: how long a command takes and how much memory it needs, and 200 steps that wait at once.

    cargo build --release -p outrigger -p outrigger-bench
    python3 tests/bench/process.py
"""

import os
import subprocess
import time

from common import OUTRIGGER, ROOT, WORK, component, environment, home, load, median, run, table

TIMES = 30
WAITING = 200


def commands(noop):
    folder = home("commands", plugins=[noop])
    job = folder / "noop.yaml"
    job.write_text(
        "- name: noop\n  sequence:\n    commands:\n    - type: bench-noop\n      nodeStep: false\n"
        "      configuration: {name: world}\n"
    )
    base = [OUTRIGGER, "--home", folder]
    rows = []
    for what, command, milliseconds, megabytes in [
        ("outrigger --version", [OUTRIGGER, "--version"], 10, None),
        ("outrigger plugin list", [*base, "plugin", "list"], 40, None),
        ("outrigger run, one step that does nothing", [*base, "run", job], 40, 50),
    ]:
        # The first ones compile components and fill the caches of the system.
        for _ in range(3):
            run(command, env=environment())
        ended = [run(command, env=environment()) for _ in range(TIMES)]
        wall = [one.wall * 1000 for one in ended]
        memory = max(one.memory for one in ended)
        good = median(wall) <= milliseconds and (megabytes is None or memory <= megabytes)
        limit = f"{milliseconds} ms" + (f", {megabytes} MB" if megabytes else "")
        cpu = median([one.cpu for one in ended]) * 1000
        rows.append([what, f"{median(wall):.1f}", f"{min(wall):.1f}", f"{max(wall):.1f}", f"{cpu:.1f}", f"{memory:.1f}", limit,
                     "yes" if good else "NO"])
    print(f"whole processes, {TIMES} times each, load {load()}")
    table(["command", "median ms", "least", "most", "cpu ms", "most MB", "at most", "kept"], rows)


def waiting(poll):
    folder = home("waiting", plugins=[poll])
    job = folder / "waiting.yaml"
    step = "    - type: bench-poll\n      nodeStep: false\n      configuration: {polls: 40}\n"
    job.write_text(f"- name: waiting\n  sequence:\n    strategy: parallel\n    commands:\n{step * WAITING}")
    command = [OUTRIGGER, "--home", folder, "run", job]
    run(command, env=environment())
    seen = {"Threads": 0, "VmRSS": 0}

    def watch(pid):
        while True:
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                    lines = dict(line.split(":", 1) for line in status if ":" in line)
            except FileNotFoundError:
                return
            # Its end is for the caller to collect.
            if "Z" in lines["State"]:
                return
            for name in seen:
                if name in lines:
                    seen[name] = max(seen[name], int(lines[name].split()[0]))
            time.sleep(0.02)

    ended = run(command, env=environment(), watch=watch)
    cores = os.cpu_count()
    rows = [
        ["threads", seen["Threads"], cores + 8, "yes" if seen["Threads"] <= cores + 8 else "NO"],
        ["MB", f"{ended.memory:.1f}", 200, "yes" if ended.memory <= 200 else "NO"],
    ]
    print(f"\n{WAITING} steps at once, 40 polls of 100 ms each: {ended.wall:.1f} s, {ended.cpu:.2f} s of processor time, load {load()}")
    table(["", "most", "at most", "kept"], rows)


def steps(noop):
    print(f"\none step that does nothing, load {load()}", flush=True)
    subprocess.run([ROOT / "target/release/outrigger-bench", noop], check=True)


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    noop = component("bench-noop")
    commands(noop)
    waiting(component("bench-poll", ROOT / "tests/bench/poll.rs"))
    steps(noop)


if __name__ == "__main__":
    main()
