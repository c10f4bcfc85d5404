"""Engines: minke beside dockerd, driven by the same docker command line."""

import concurrent.futures
import os
import shutil
import statistics
import time

from api import measure_api
from measure import DIST, PEER_DOCKER_HOST, ROUNDS, interleaved, processes, resident, say, timed
from runtimes import measure_runtimes
from sides import IMAGE, Side, docker_archive, engine


def burst(side, count=20, clients=8):
    """Starts `count` detached containers with `clients` command lines at a time; removes them untimed."""
    names = [f"bench-{number}" for number in range(count)]

    def start(name):
        side.run("run", "-d", "--name", name, IMAGE, "sleep", "600")

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        took = timed(lambda: list(pool.map(start, names)))
    removal = timed(lambda: side.run("rm", "-f", *names))
    return took, removal


def measure_engines(directory, rows):
    archive = directory / "image.tar"
    docker_archive(archive)
    docker = shutil.which("docker")
    with engine(directory) as (endpoint, _):
        Side("minke", endpoint, [str(DIST / "minke")]).run("load", "-i", str(archive))
        measure_runtimes(directory, endpoint, directory / "root", rows)
    with engine(directory) as (endpoint, pid):
        minke = Side("minke", endpoint, [docker])
        own = Side("minke", endpoint, [str(DIST / "minke")])
        peer = Side("dockerd", PEER_DOCKER_HOST, [docker]) if PEER_DOCKER_HOST else None
        if peer is None:
            say("dockerd is not here (PEER_DOCKER_HOST): skipped")
        # A second after its start the engine gives back the code that only the start needed.
        time.sleep(2)
        idle = resident(pid)
        sides = [side for side in (minke, peer) if side]
        for side in sides:
            side.run("load", "-i", str(archive))

        def compare(title, work, unit="ms", own_too=True, setup=None):
            contenders = {side.name: (lambda side=side: work(side)) for side in sides}
            if own_too:
                contenders["own"] = lambda: work(own)
            medians = interleaved(contenders)
            theirs = medians.get("dockerd")
            rows.append((f"`docker {title}`", "dockerd", theirs, medians["minke"], unit))
            if own_too:
                rows.append((f"`minke {title}`", "`docker …` on dockerd", theirs, medians["own"], unit))

        say("run --rm")
        compare("run --rm IMAGE true", lambda side: side.run("run", "--rm", IMAGE, "true"))
        compare("run --rm --network none IMAGE true", lambda side: side.run("run", "--rm", "--network", "none", IMAGE, "true"))
        say("exec")
        for side in sides:
            side.run("run", "-d", "--name", "bench-exec", IMAGE, "sleep", "600")
        compare("exec C true", lambda side: side.run("exec", "bench-exec", "true"))
        # What is used once is given back after a second.
        time.sleep(2)
        supervisors = processes(lambda words: len(words) > 1 and words[1] == "supervise" and str(directory) in " ".join(words))
        supervisor = resident(supervisors[0]) if supervisors else None
        shims = processes(lambda words: "containerd-shim" in words[0])
        shim = resident(shims[0]) if shims else None
        for side in sides:
            side.run("rm", "-f", "bench-exec")
        say("20 detached containers, 8 clients at a time")
        starts, removals = {side.name: [] for side in sides}, {side.name: [] for side in sides}
        for _ in range(max(3, ROUNDS // 5)):
            for side in sides:
                start, removal = burst(side)
                starts[side.name].append(start)
                removals[side.name].append(removal)
        for title, times in (("20 × `docker run -d`, 8 at a time", starts), ("`docker rm -f` of 20", removals)):
            medians = {name: statistics.median(all_) for name, all_ in times.items()}
            rows.append((title, "dockerd", medians.get("dockerd"), medians["minke"], "ms"))
        measure_api(endpoint, rows)
        theirs = sum(resident(found)[0] for found in processes(lambda words: os.path.basename(words[0]) in ("dockerd", "containerd"))) if peer else None
        after = resident(pid)
        rows.append(("resident memory, idle engine", "dockerd + containerd", theirs and theirs / 1024, idle[0] / 1024, "MiB"))
        rows.append(("resident memory, engine after all of the above", "dockerd + containerd", theirs and theirs / 1024, after[0] / 1024, "MiB"))
        if supervisor:
            rows.append(("resident memory, one supervisor at rest", "containerd-shim", shim and shim[0] / 1024, supervisor[0] / 1024, "MiB"))
