"""Builds: what is cached, a changed last COPY on a large image, a graph of compilers, a large context, and what committing a step
costs; by `minke build` on minke beside `docker buildx build` on dockerd, and the same docker command line on minke.

CONTEXT_FILES, by default 100000, is how many files the large context has.
"""

import os
import shutil
import subprocess
import time

from measure import DIST, PEER_DOCKER_HOST, PEERS, ROUNDS, TOP, interleaved, say
from sides import Side, engine

BASE = "minke-bench-compilers:latest"
CONTEXT_FILES = int(os.environ.get("CONTEXT_FILES", "100000"))
LARGE = 500_000_000
# Cold builds take seconds each.
COLD = max(3, ROUNDS // 3)


def program(functions):
    """A C program of so many functions: 400 keep a compiler busy for more than a second, 40 for a tenth of that."""
    lines = ["#include <stdio.h>", "#include <string.h>"]
    for function in range(functions):
        lines.append(f"static int f{function}(int x) {{ char b[64]; for (int i = 0; i < 9; i++) {{ snprintf(b, sizeof b, \"%d\", x * i + {function}); x += strlen(b) % 7; }} return x; }}")
    calls = " + ".join(f"f{function}({function})" for function in range(functions))
    return "\n".join([*lines, f"int main(void) {{ printf(\"%d\\n\", {calls}); return 0; }}"]) + "\n"


def graph(independent):
    """Ten stages: eight that compile, on their own or one after the other, one that links them into a folder and the last."""
    lines = [f"FROM {BASE} AS base", "WORKDIR /src", "COPY main.c ."]
    for number in range(8):
        before = "base" if independent or number == 0 else f"stage{number - 1}"
        lines += [f"FROM {before} AS stage{number}", f"RUN gcc -O2 -DSTAGE={number} -o /program{number} main.c"]
    lines.append("FROM scratch")
    lines += [f"COPY --from=stage{number} /program{number} /bin/" for number in range(8)]
    return "\n".join(lines) + "\n"


class Site:
    """A folder that is built from."""

    def __init__(self, directory, name, dockerfile):
        self.path = directory / name
        self.path.mkdir()
        (self.path / "Dockerfile").write_text(dockerfile)

    def write(self, name, content):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def touch(self, name):
        """Changes a file's content, to what it was in no run of the bench before: a peer's cache outlives them."""
        self.write(name, f"{time.time_ns()}\n")


class Builder:
    """One side's build command."""

    def __init__(self, name, endpoint, command):
        self.name = name
        self.side = Side(name, endpoint, command)

    def build(self, site, *flags):
        self.side.run("build", "--quiet", "-t", f"minke-bench-{site.path.name}", *flags, str(site.path))


def contenders(endpoint):
    docker = shutil.which("docker")
    buildx = [*PEERS, "env", f"DOCKER_HOST={{host}}", "docker", "buildx"] if PEERS else [docker, "buildx"]
    sides = [Builder("minke", endpoint, [str(DIST / "minke")]), Builder("docker on minke", endpoint, [word.format(host=endpoint) for word in buildx])]
    if PEER_DOCKER_HOST:
        sides.append(Builder("dockerd", PEER_DOCKER_HOST, [word.format(host=PEER_DOCKER_HOST) for word in buildx]))
    else:
        say("build: PEER_DOCKER_HOST names no dockerd; its columns are skipped")
    return sides


def measure_build(directory, rows):
    tar = subprocess.run([TOP / "scripts" / "debian-image", "gcc", "libc6-dev"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    shared = directory / "compilers.tar"
    shutil.copy(tar, shared)
    with engine(directory) as (endpoint, _):
        sides = contenders(endpoint)
        for side in (side for side in sides if side.name != "docker on minke"):
            Side(side.name, side.side.env["DOCKER_HOST"], [str(DIST / "minke")]).run("import", str(shared), BASE)
        shared.unlink()

        def row(what, medians):
            theirs = medians.get("dockerd")
            rows.append((f"{what}, `minke build`", "`docker buildx build` on dockerd", theirs, medians["minke"], "ms"))
            if "docker on minke" in medians:
                rows.append((f"{what}, `docker buildx build`", "the same on dockerd", theirs, medians["docker on minke"], "ms"))

        def compare(what, work, rounds=ROUNDS, floor=None):
            """With a floor: a title and work that no builder can be faster than."""
            say(f"build: {what}")
            contenders = {side.name: (lambda side=side: work(side)) for side in sides}
            medians = interleaved(contenders | ({"floor": floor[1]} if floor else {}), rounds)
            row(f"build: {what}", medians)
            if floor:
                rows.append((f"build: {what}, `minke build`", floor[0], medians["floor"], medians["minke"], "ms"))

        measure_cached(directory, compare)
        measure_large(directory, compare)
        measure_context(directory, compare)
        measure_commits(directory, compare)
        measure_graphs(directory, compare, sides[0].side)


def measure_cached(directory, compare):
    site = Site(directory, "cached", f"FROM {BASE} AS a\nRUN echo a > /a\nFROM {BASE} AS b\nCOPY x /x\nRUN echo b > /b\nFROM {BASE} AS c\nCOPY --from=a /a /\nFROM c\nCOPY --from=b /b /x /\n")
    site.touch("x")
    compare("4 stages, everything cached", lambda side: side.build(site))


def measure_large(directory, compare):
    site = Site(directory, "large", f"FROM {BASE}\nRUN head -c {LARGE} /dev/urandom > /large\nCOPY last /last\n")

    def build(side):
        site.touch("last")
        side.build(site)

    compare(f"the last COPY of an image of {LARGE // 1_000_000} MB changed", build, max(3, ROUNDS // 2))


def measure_context(directory, compare):
    site = Site(directory, "context", "FROM scratch\nCOPY d1/f1 d2/f2 d3/f3 /\n")
    for number in range(CONTEXT_FILES):
        site.write(f"d{number % 100}/f{number // 100 if number >= 100 else number}", f"{number}\n")

    def build(side):
        site.touch("d2/f2")
        side.build(site)

    compare(f"3 files of a context of {CONTEXT_FILES}", build, max(3, ROUNDS // 2))
    shutil.rmtree(site.path)


def measure_commits(directory, compare):
    for megabytes in (0, 10, 100):
        site = Site(directory, f"commit{megabytes}", f"FROM {BASE}\nCOPY x /x\nRUN head -c {megabytes}000000 /dev/zero > /written\n")

        def build(side, site=site):
            site.touch("x")
            side.build(site)

        compare(f"a COPY and a RUN that writes {megabytes} MB", build, max(3, ROUNDS // 2))


def measure_graphs(directory, compare, minke):
    for functions, independent in ((400, True), (40, True), (400, False)):
        site = Site(directory, f"graph{functions}{independent}".lower(), graph(independent))
        site.write("main.c", program(functions))
        how = "on their own" if independent else "one after the other"
        at_once = os.cpu_count() if independent else 1
        compilers = f"seq 0 7 | xargs -P {at_once} -I % gcc -O2 -DSTAGE=% -o /tmp/program% /src/main.c"

        def floor(site=site, compilers=compilers):
            minke.run("run", "--rm", "--network", "none", "-v", f"{site.path}:/src:ro", BASE, "sh", "-c", compilers)

        what = f"10 stages, 8 compilers of {functions} functions {how}, nothing cached"
        compare(what, lambda side, site=site: side.build(site, "--no-cache"), COLD, (f"the compilers alone in one container, {at_once} at a time", floor))
