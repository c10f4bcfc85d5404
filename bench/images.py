"""Images: pull, push, load and save beside dockerd and podman, from a registry on this host."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tarfile
import threading
import time
import urllib.request

from measure import DIST, PEER_DOCKER_HOST, PEERS, ROUNDS, resident, say, timed
from sides import Side, busybox_layer, engine

REGISTRY = "127.0.0.1:5555"
EMPTY = "127.0.0.1:5556"
MEBIBYTE = 1 << 20


def debian_registry():
    """Debian's docker-registry, where `scripts/setup bench` has put it."""
    return pathlib.Path.home() / ".cache/minke/tools/registry/usr/bin/docker-registry"


def files_layer(seed, size, files):
    """A layer of `files` files with `size` bytes together that compress about as programs do: to a bit under a half."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(4, 24)) for _ in range(20_000)]
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        each = size // files
        for number in range(files):
            content = bytearray()
            while len(content) < each:
                content += chance.choice(words)
                content += bytes(chance.randrange(0, 6))
            entry = tarfile.TarInfo(f"usr/lib/part-{seed}/{number // 100}/{number}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(bytes(content)))
    return data.getvalue()


class TestImage:
    """An image in a registry: its layers compressed, its manifest pushed without any engine."""

    def __init__(self, name, layers, level=6):
        self.name = f"{REGISTRY}/{name}"
        diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        self.config = json.dumps({
            "architecture": machine, "os": "linux", "created": "2026-01-01T00:00:00Z", "config": {"Cmd": ["true"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "bench"} for _ in layers],
        }).encode()
        self.blobs = [gzip.compress(layer, level, mtime=0) for layer in layers]
        self.compressed = sum(map(len, self.blobs))
        self.unpacked = sum(map(len, layers))
        self.repository = name.split(":")[0]

    def publish(self):
        def send(method, path, body, content_type):
            request = urllib.request.Request(f"http://{REGISTRY}{path}", data=body, method=method, headers={"Content-Type": content_type})
            return urllib.request.urlopen(request)

        def blob(content):
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            where = send("POST", f"/v2/{self.repository}/blobs/uploads/", b"", "application/octet-stream").headers["Location"]
            path = where.replace(f"http://{REGISTRY}", "")
            send("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", content, "application/octet-stream")
            return {"digest": digest, "size": len(content)}

        docker = "application/vnd.docker"
        layers = [{"mediaType": f"{docker}.image.rootfs.diff.tar.gzip", **blob(content)} for content in self.blobs]
        config = {"mediaType": f"{docker}.container.image.v1+json", **blob(self.config)}
        kind = f"{docker}.distribution.manifest.v2+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).encode()
        send("PUT", f"/v2/{self.repository}/manifests/latest", manifest, kind)
        self.blobs = None


@contextlib.contextmanager
def registry(directory, address=REGISTRY):
    """A docker-registry of the bench's own."""
    directory.mkdir(exist_ok=True)
    config = directory / "registry.yml"
    config.write_text(f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {directory}/registry\nhttp:\n  addr: {address}\n")
    server = subprocess.Popen([debian_registry(), "serve", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://{address}/v2/")
                break
            time.sleep(0.01)
        yield
    finally:
        server.terminate()
        server.wait()


class Podman:
    """podman, which has no daemon; it runs in the peers' tree."""

    name = "podman"

    def run(self, *args, check=True):
        words = [*PEERS, "podman", "--cgroup-manager", "cgroupfs", *args]
        if args[0] in ("pull", "push"):
            words.insert(len(PEERS) + 4, "--tls-verify=false")
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout.strip()


def with_peak(pid, work):
    """Runs `work` and returns the most memory (KiB) that the process was resident with meanwhile."""
    most, done = [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            most[0] = max(most[0], resident(pid)[0])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return most[0]


def contenders(endpoint):
    docker = shutil.which("docker")
    sides = [Side("minke", endpoint, [docker])]
    if PEER_DOCKER_HOST:
        sides.append(Side("dockerd", PEER_DOCKER_HOST, [docker]))
    else:
        say("dockerd is not here (PEER_DOCKER_HOST): skipped")
    return sides


def compare(rows, title, sides, work, rounds, before=None):
    times = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            if before:
                before(side)
            subprocess.run(["sync"], check=True)
            times[side.name].append(timed(lambda side=side: work(side)))
    medians = {name: statistics.median(all_) for name, all_ in times.items()}
    for name in [name for name in medians if name != "minke"] or ["-"]:
        rows.append((title, name, medians.get(name), medians["minke"], "ms"))
    return medians["minke"]


def measure_images(directory, rows):
    rounds = max(3, ROUNDS // 5)
    say("making images")
    large = TestImage("large:latest", [busybox_layer()] + [files_layer(number, 88 * MEBIBYTE, 2500) for number in range(7)], level=3)
    small = TestImage("small:latest", [busybox_layer()] + [files_layer(100 + number, 20_000, 5) for number in range(59)])
    with registry(directory), engine(directory) as (endpoint, pid):
        for image in (large, small):
            image.publish()
        say(f"the large image: {large.compressed / MEBIBYTE:.0f} MiB compressed, {large.unpacked / MEBIBYTE:.0f} MiB unpacked")
        sides = contenders(endpoint)
        pullers = sides + ([Podman()] if PEERS else [])
        remove = lambda name: lambda side: side.run("rmi", "-f", name, check=False)
        idle = resident(pid)[0]
        say("pull")
        size = f"{large.compressed / MEBIBYTE:.0f} MiB in 8 layers"
        ours = compare(rows, f"pull of {size}", pullers, lambda side: side.run("pull", "-q", large.name), rounds, remove(large.name))
        compare(rows, "pull of 60 small layers", pullers, lambda side: side.run("pull", "-q", small.name), rounds, remove(small.name))
        compare(rows, "pull with nothing new", pullers, lambda side: side.run("pull", "-q", large.name), ROUNDS)
        remove(large.name)(sides[0])
        most = with_peak(pid, lambda: sides[0].run("pull", "-q", large.name))
        rows.append(("resident memory over idle while pulling", "-", None, (most - idle) / 1024, "MiB"))
        say("push")
        elsewhere = iter(range(100))
        for side in sides:
            side.run("tag", large.name, f"{EMPTY}/large:latest")

        def push(side):
            side.run("push", "-q", f"{EMPTY}/large:latest")

        def begin(_):
            stack.close()
            stack.enter_context(registry(directory / f"empty-{next(elsewhere)}", EMPTY))

        with contextlib.ExitStack() as stack:
            compare(rows, "push of the same into an empty registry", sides, push, rounds, begin)
        for side in sides:
            side.run("rmi", f"{EMPTY}/large:latest")
        say("load and save")
        archive = directory / "large.tar"
        sides[0].run("save", "-o", str(archive), large.name)
        compare(rows, "save of the same", sides, lambda side: side.run("save", "-o", str(directory / "out.tar"), large.name), rounds)
        compare(rows, "load of the same", sides, lambda side: side.run("load", "-q", "-i", str(archive)), rounds,
                lambda side: side.run("rmi", "-f", *[name for name in side.run("images", "--format", "{{.Repository}}:{{.Tag}}").split() if REGISTRY in name], check=False))
        return ours
