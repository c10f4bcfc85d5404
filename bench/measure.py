"""Taking times and sizes."""

import contextlib
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
DIST = TOP / "target" / "dist"
ROUNDS = int(os.environ.get("ROUNDS", "20"))
PEERS = shlex.split(os.environ.get("PEERS", ""))
PEER_DOCKER_HOST = os.environ.get("PEER_DOCKER_HOST")


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def timed(work):
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def interleaved(contenders, rounds=ROUNDS, batch=1):
    """{name: work} → {name: median milliseconds}; a first round warms up and is not counted. With a batch each turn does the work so
    many times: what an engine still clears away after its answer then takes little of the next one's time."""
    times = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, work in contenders.items():
            took = timed(lambda work=work: [work() for _ in range(batch)]) / batch
            if turn:
                times[name].append(took)
    return {name: statistics.median(all_) for name, all_ in times.items()}


def clocked(prefix, command, count, before=":"):
    """Milliseconds of each of `count` runs of a shell command, timed by the shell that runs it (so that the prefix is not)."""
    script = f"for ((i = 0; i < {count}; i++)); do {before}; a=$EPOCHREALTIME; {command} >/dev/null 2>&1 || exit 9; b=$EPOCHREALTIME; echo $a $b; done"
    done = subprocess.run([*prefix, "bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode != 0:
        raise RuntimeError(f"{command}: ended with {done.returncode}: {done.stderr.strip()}")
    return [(float(end) - float(begin)) * 1000 for begin, end in (line.split() for line in done.stdout.splitlines())]


def resident(pid):
    """(resident, private) KiB of a process."""
    fields = {}
    for line in open(f"/proc/{pid}/smaps_rollup"):
        name, _, rest = line.partition(":")
        if rest.endswith("kB\n"):
            fields[name] = int(rest.split()[0])
    return fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"]


def processes(command):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if command(open(f"/proc/{pid}/cmdline").read().split("\0")):
                found.append(int(pid))
    return found


def peak(command):
    """The most memory (KiB) that a command was resident with, by time(1), whose own is small (that of whatever starts a program
    counts as the program's)."""
    with tempfile.NamedTemporaryFile("r") as figure:
        time_it = ["/usr/bin/time", "--format", "%M", "--output", figure.name]
        subprocess.run([*time_it, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return int(figure.read())
