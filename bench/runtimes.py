"""OCI runtimes: minke-oci beside runc, crun and the kernel alone."""

import io
import json
import pathlib
import shlex
import shutil
import statistics
import subprocess
import tarfile
import tempfile

from measure import DIST, PEERS, ROUNDS, TOP, clocked, peak, say
from sides import IMAGE, Side, busybox_layer


def bundle(directory, endpoint, root):
    """An OCI bundle that runs /bin/true in the configuration that a container of the engine has: Docker's namespaces, seccomp
    filter, capabilities, masks, and limits of memory, CPU and processes."""
    minke = Side("minke", endpoint, [str(DIST / "minke")])
    minke.run("run", "--name", "bench-config", "--network", "none", "--memory", "64m", "--cpus", "1", "--pids-limit", "100", IMAGE, "true")
    config = json.loads(next((root / "containers").glob("*/config.json")).read_text())
    minke.run("rm", "bench-config")
    rootfs = directory / "rootfs"
    rootfs.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(busybox_layer())) as tar:
        tar.extractall(rootfs, filter="fully_trusted")
    config.pop("annotations")
    config["root"]["path"] = str(rootfs)
    config["process"].update(terminal=False, args=["/bin/true"])
    config["mounts"] = [mount for mount in config["mounts"] if mount.get("type") != "bind" and "bind" not in mount.get("options", [])]
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "network", "pid", "ipc", "uts", "cgroup")]
    config["linux"].pop("cgroupsPath")
    (directory / "config.json").write_text(json.dumps(config))
    config["process"]["args"] = ["/bin/sleep", "600"]
    (directory / "sleep").mkdir()
    (directory / "sleep" / "config.json").write_text(json.dumps(config))
    return directory


def measure_runtimes(directory, endpoint, root, rows):
    path = bundle(directory / "bundle", endpoint, root)
    # What /run is on a host: a file system in memory.
    state = pathlib.Path(tempfile.mkdtemp(prefix="minke-bench.", dir="/dev/shm"))
    runtimes = {"minke-oci": ([], DIST / "minke-oci")}
    for peer in ("runc", "crun"):
        if PEERS or shutil.which(peer):
            runtimes[peer] = (PEERS, peer)
        else:
            say(f"{peer} is not here: skipped")
    command = {name: f"{program} --root {state}/{name}" for name, (_, program) in runtimes.items()}

    def compare(what, works, batch, rounds, before=":", each=1):
        times = {name: [] for name in works}
        for turn in range(rounds + 1):
            for name, work in works.items():
                prefix = runtimes[name][0] if name in runtimes else []
                took = clocked(prefix, work, batch, before)
                if turn:
                    times[name] += [one / each for one in took]
        medians = {name: statistics.median(all_) for name, all_ in times.items()}
        for name in medians:
            if name != "minke-oci":
                rows.append((what, name, medians[name], medians["minke-oci"], "ms"))
        if len(medians) == 1:
            rows.append((what, "-", None, medians["minke-oci"], "ms"))

    floor = directory / "floor"
    # With the same C library as minke-oci.
    target = subprocess.run([TOP / "scripts" / "setup", "target"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    subprocess.run(["cargo", "build", "--quiet", "--profile", "small", "-p", "minke-kernel", "--example", "floor", "--target", target], cwd=TOP, check=True)
    shutil.copy(TOP / "target" / target / "small" / "examples" / "floor", floor)
    run = {name: f"{start} run --bundle {path} b-{name}" for name, start in command.items()}
    try:
        say("OCI runtimes: run")
        bare = {"the kernel alone (bench's floor)": f"{floor} {path}/rootfs /bin/true"}
        compare("OCI runtime: `run` of /bin/true", {**run, **bare}, 10, max(3, ROUNDS // 2))
        eight = lambda work: f"sh -c 'seq 40 | xargs -P 8 -I% {work}'"
        # The floor has no name to be different in.
        many = {name: eight(f"{work}-%") for name, work in run.items()} | {name: eight(work) for name, work in bare.items()}
        compare("OCI runtime: `run`, 8 at a time", many, 1, max(3, ROUNDS // 4), each=40)
        say("OCI runtimes: cold caches")
        compare("OCI runtime: `run`, cold caches", run, 1, max(3, ROUNDS // 2), before="sync; echo 3 >/proc/sys/vm/drop_caches")
        say("OCI runtimes: exec")
        for name, (prefix, _) in runtimes.items():
            subprocess.run([*prefix, "sh", "-c", f"{command[name]} run --detach --bundle {path}/sleep x-{name} </dev/null >/dev/null 2>&1"], check=True)
        compare("OCI runtime: `exec` of /bin/true", {name: f"{start} exec x-{name} /bin/true" for name, start in command.items()}, 10, max(3, ROUNDS // 2))
        for name, (prefix, _) in runtimes.items():
            subprocess.run([*prefix, *shlex.split(command[name]), "delete", "--force", f"x-{name}"], check=True)
        peaks = {}
        for name, (prefix, _) in runtimes.items():
            peaks[name] = peak([*prefix, *shlex.split(command[name]), "create", "--bundle", path, f"p-{name}"]) / 1024
            subprocess.run([*prefix, *shlex.split(command[name]), "delete", "--force", f"p-{name}"], check=True)
        for name in [name for name in peaks if name != "minke-oci"] or ["-"]:
            rows.append(("OCI runtime: peak resident memory of `create`", name, peaks.get(name), peaks["minke-oci"], "MiB"))
    finally:
        shutil.rmtree(state, ignore_errors=True)
