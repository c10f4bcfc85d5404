"""Compose: applications of 3, 20 and 100 services with dependencies brought up, brought up again and taken down, by minke compose on
minke's engine beside docker compose v2 on dockerd.

COMPOSE_SIZES (default "3 20 100") are the numbers of services.
"""

import os
import statistics

from measure import DIST, PEER_DOCKER_HOST, PEERS, ROUNDS, interleaved, peak, say, timed
from sides import IMAGE, Side, docker_archive, engine

SIZES = [int(size) for size in os.environ.get("COMPOSE_SIZES", "3 20 100").split()]
# Each round makes and removes all containers: a few tell enough.
TURNS = max(3, ROUNDS // 4)


def application(directory, size):
    """A file of so many services in threes: one, one that waits for it, one that waits for that."""
    lines = [f"name: bench{size}", "services:"]
    for number in range(size):
        lines += [f"  s{number}:", f"    image: {IMAGE}", "    command: [sleep, '600']", "    init: true", "    stop_grace_period: 1s"]
        if number % 3:
            lines.append(f"    depends_on: [s{number - 1}]")
    path = directory / f"compose-{size}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Composer:
    """One side's Compose, aimed at its engine."""

    def __init__(self, side, command):
        self.side, self.command = side, command

    def line(self, path, *words):
        host = self.side.env["DOCKER_HOST"]
        return ["env", f"DOCKER_HOST={host}", *self.command, "--progress", "quiet", "-f", str(path), *words]

    def run(self, path, *words):
        Side(self.side.name, self.side.env["DOCKER_HOST"], self.command).run("--progress", "quiet", "-f", str(path), *words)


def measure_compose(directory, rows):
    if not PEER_DOCKER_HOST:
        say("compose: PEER_DOCKER_HOST names no dockerd; its columns are skipped")
    archive = directory / "image.tar"
    docker_archive(archive)
    with engine(directory) as (endpoint, _):
        sides = {"minke": Composer(Side("minke", endpoint, [str(DIST / "minke")]), [str(DIST / "minke"), "compose"])}
        if PEER_DOCKER_HOST:
            docker = [*PEERS, "docker"]
            sides["docker compose"] = Composer(Side("dockerd", PEER_DOCKER_HOST, docker), [*docker, "compose"])
        for composer in sides.values():
            composer.side.run("load", "-q", "-i", str(archive))
        try:
            for size in SIZES:
                measure_size(application(directory, size), size, sides, rows)
        finally:
            for composer in sides.values():
                composer.side.run("rmi", "-f", IMAGE, check=False)


def measure_size(path, size, sides, rows):
    say(f"compose: {size} services")
    times = {"up -d": {}, "up -d again": {}, "down": {}}

    def row(what, medians, unit="ms"):
        rows.append((f"compose {what}, {size} services", "docker compose" if len(medians) > 1 else None, medians.get("docker compose"), medians["minke"], unit))

    try:
        for name, composer in sides.items():
            composer.run(path, "down", "-t", "1")
        ups, downs = {name: [] for name in sides}, {name: [] for name in sides}
        for turn in range(TURNS + 1):
            for name, composer in sides.items():
                up = timed(lambda: composer.run(path, "up", "-d"))
                down = timed(lambda: composer.run(path, "down", "-t", "1"))
                if turn:
                    ups[name].append(up)
                    downs[name].append(down)
        times["up -d"] = {name: statistics.median(all_) for name, all_ in ups.items()}
        times["down"] = {name: statistics.median(all_) for name, all_ in downs.items()}
        for composer in sides.values():
            composer.run(path, "up", "-d")
        times["up -d again"] = interleaved({name: (lambda composer=composer: composer.run(path, "up", "-d")) for name, composer in sides.items()}, TURNS)
        memory = {name: peak(composer.line(path, "up", "-d", "--force-recreate", "-t", "1")) / 1024 for name, composer in sides.items()}
    finally:
        for composer in sides.values():
            composer.run(path, "down", "-t", "1")
    for what, medians in times.items():
        row(what, medians)
    row("up: the client's memory", memory, "MiB")
