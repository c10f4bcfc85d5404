"""The contenders: engines, and the image that they run."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time

from measure import DIST

IMAGE = "minke-bench:latest"
LAYERS = 10


def busybox_layer():
    """A layer with busybox and links to the applets that the benches call."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox")
        for name in ("sh", "true", "sleep", "yes", "head"):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return data.getvalue()


def small_layer(number):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo(f"etc/layer-{number}")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"x\n"))
    return data.getvalue()


def docker_archive(path, names=(IMAGE,)):
    """Images of the same LAYERS layers, each with a configuration of its own, in the form that `docker load` reads."""
    layers = [busybox_layer()] + [small_layer(number) for number in range(1, LAYERS)]
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    layer_names = [f"layer{number}/layer.tar" for number in range(LAYERS)]
    contents, manifest = list(zip(layer_names, layers)), []
    for name in names:
        config = json.dumps({
            "architecture": machine, "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": {"Cmd": ["true"], "Env": ["PATH=/bin"], "Labels": {"org.opencontainers.image.title": name}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "bench"} for _ in layers],
        }).encode()
        config_name = hashlib.sha256(config).hexdigest() + ".json"
        contents.append((config_name, config))
        manifest.append({"Config": config_name, "RepoTags": [name], "Layers": layer_names})
    with tarfile.open(path, "w") as tar:
        for name, content in [*contents, ("manifest.json", json.dumps(manifest).encode())]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


class Side:
    """One contender: what it is called and how its docker command line is aimed."""

    def __init__(self, name, host, cli):
        self.name, self.cli = name, cli
        self.env = {**os.environ, "DOCKER_HOST": host}

    def run(self, *args, check=True):
        done = subprocess.run([*self.cli, *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout.strip()


def start_engine(directory, *flags, alone=False):
    """Starts a minke daemon of the bench's own, with further flags; returns its endpoint and the process. Alone, it has a network
    namespace of its own, where no packet goes through the rules of a peer, nor a peer's through its own, and where the module with
    which a peer sends bridged packets through the rules for routed ones, too, is as if it were not loaded: minke loads none."""
    endpoint = f"unix://{directory}/minke.sock"
    log = open(directory / "engine.log", "a")
    command = [DIST / "minke", "daemon", "--root", directory / "root", "--state", directory / "state", "--host", endpoint, "--name-prefix", "mkbench", *flags]
    if alone:
        prepare = 'busybox ip link set lo up; for way in /proc/sys/net/bridge/bridge-nf-call-*; do test ! -e "$way" || echo 0 >"$way"; done; exec "$@"'
        command = ["unshare", "--net", "sh", "-ec", prepare, "sh", *command]
    return endpoint, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


@contextlib.contextmanager
def engine(directory, *flags, alone=False):
    """The same until the block is left; yields its endpoint and pid."""
    endpoint, daemon = start_engine(directory, *flags, alone=alone)
    try:
        for _ in range(500):
            if (directory / "minke.sock").exists():
                break
            time.sleep(0.01)
        yield endpoint, daemon.pid
    finally:
        daemon.terminate()
        daemon.wait()
