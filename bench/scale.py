"""Scale: what a thousand containers and a thousand images cost, asked by the API and by the command line.

SCALE, by default 1000, is how many; RUNNING, by default 1000, how many containers run at the same time. The rows whose peer is "goal" compare with what minke promises.
"""

import concurrent.futures
import http.client
import os
import shutil
import statistics
import threading
import time

from api import Connection
from measure import DIST, PEER_DOCKER_HOST, ROUNDS, interleaved, processes, resident, say, timed
from sides import IMAGE, Side, docker_archive, engine, start_engine

SCALE = int(os.environ.get("SCALE", "1000"))
RUNNING = int(os.environ.get("RUNNING", "1000"))
METRICS = "127.0.0.1:19323"


def on_all(endpoint, items, work, clients=8):
    """Does `work(api, item)` for each item, with some connections at a time."""
    local = threading.local()

    def one(item):
        if not hasattr(local, "api"):
            local.api = Connection(endpoint)
        return work(local.api, item)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, items))


def create(endpoint, count):
    body = {"Image": IMAGE, "Cmd": ["sleep", "600"], "Labels": {"bench": "scale"}, "HostConfig": {"NetworkMode": "none"}}
    return on_all(endpoint, range(count), lambda api, number: api.call("POST", f"/containers/create?name=scale-{number}", body)["Id"])


def remove(endpoint, ids):
    on_all(endpoint, ids, lambda api, id_: api.call("DELETE", f"/containers/{id_}?force=1"))


def processor(pid):
    """Seconds of processor time that a process has used."""
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_running(directory, rows):
    """What many running containers cost: the engine's memory and idle processor time, the supervisors', an engine's start."""
    def row(what, ours, unit, goal):
        rows.append((f"{RUNNING} running containers: {what}", "goal", goal, ours, unit))

    say(f"{RUNNING} running containers")
    archive = directory / "image.tar"
    docker_archive(archive)
    with engine(directory) as (endpoint, pid):
        Side("minke", endpoint, [str(DIST / "minke")]).run("load", "-i", str(archive))
        ids = create(endpoint, RUNNING)
        on_all(endpoint, ids, lambda api, id_: api.call("POST", f"/containers/{id_}/start"), 16)
        time.sleep(5)
        before, began = processor(pid), time.perf_counter()
        time.sleep(20)
        used = (processor(pid) - before) / (time.perf_counter() - began) * 100
        row("the engine's memory", resident(pid)[0] / 1024, "MiB", 120)
        row("the engine's processor time while idle", used, "% of a core", 0.5)
        supervisors = processes(lambda words: len(words) > 2 and words[1] == "supervise" and any(str(directory) in word for word in words))
        row("each supervisor's memory", statistics.median(resident(each)[0] for each in supervisors) / 1024, "MiB", 1.5)
    row("start of the engine to its first answer", starts(directory)[0], "ms", 1000)
    with engine(directory) as (endpoint, _):
        remove(endpoint, ids)


def until_it_answers(directory):
    """Milliseconds from the start of an engine to its first answer, and from then on its memory; the engine leaves again."""
    began = time.perf_counter()
    endpoint, daemon = start_engine(directory)
    try:
        while True:
            try:
                Connection(endpoint).call("GET", "/version")
                break
            except OSError:
                if daemon.poll() is not None or time.perf_counter() - began > 60:
                    raise RuntimeError(f"the engine does not come up; see {directory}/engine.log") from None
                time.sleep(0.001)
        took = (time.perf_counter() - began) * 1000
        time.sleep(1)
        return took, resident(daemon.pid)[0] / 1024
    finally:
        daemon.terminate()
        daemon.wait()


def starts(directory):
    found = [until_it_answers(directory) for _ in range(max(3, ROUNDS // 4))]
    return statistics.median(took for took, _ in found), statistics.median(memory for _, memory in found)


class Contest:
    """minke with docker's command line and with its own, and dockerd where it is."""

    def __init__(self, endpoint, rows):
        docker = shutil.which("docker")
        self.rows = rows
        self.sides = [Side("minke", endpoint, [docker])]
        self.own = Side("minke", endpoint, [str(DIST / "minke")])
        if PEER_DOCKER_HOST:
            self.sides.append(Side("dockerd", PEER_DOCKER_HOST, [docker]))
        else:
            say("dockerd is not here (PEER_DOCKER_HOST): skipped")

    def endpoints(self):
        return [side.env["DOCKER_HOST"] for side in self.sides]

    def by_api(self, title, path, goal=None):
        """The answer's time by the API, on a connection that is there."""
        connections = {side.name: Connection(side.env["DOCKER_HOST"]) for side in self.sides}
        medians = interleaved({name: (lambda api=api: api.call("GET", path)) for name, api in connections.items()})
        self.rows.append((f"{title}, by the API", "dockerd", medians.get("dockerd"), medians["minke"], "ms"))
        if goal:
            self.rows.append((f"{title}, by the API", "goal", goal, medians["minke"], "ms"))

    def by_command(self, title, *words, goal=None):
        contenders = {side.name: (lambda side=side: side.run(*words)) for side in self.sides}
        contenders["own"] = lambda: self.own.run(*words)
        medians = interleaved(contenders)
        self.rows.append((f"{title}, `docker {' '.join(words)}`", "dockerd", medians.get("dockerd"), medians["minke"], "ms"))
        self.rows.append((f"{title}, `minke {' '.join(words)}`", "`docker …` on dockerd", medians.get("dockerd"), medians["own"], "ms"))
        if goal:
            self.rows.append((f"{title}, `minke {' '.join(words)}`", "goal", goal, medians["own"], "ms"))


def measure_scrape(endpoint, running, rows):
    """How long a scrape takes with so many running, and how long others wait for their answers meanwhile."""
    def scrape():
        connection = http.client.HTTPConnection(METRICS)
        connection.request("GET", "/metrics")
        return len(connection.getresponse().read())

    size = scrape()
    rows.append((f"a scrape of {running} running containers ({size >> 10} KiB)", "", None, statistics.median(timed(scrape) for _ in range(ROUNDS)), "ms"))
    api, over, waits = Connection(endpoint), threading.Event(), []

    def ask():
        while not over.is_set():
            waits.append(timed(lambda: api.call("GET", "/version")))

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(ROUNDS):
        scrape()
    over.set()
    thread.join()
    rows.append(("a small call's answer while scrapes go on, 99 of 100", "", None, sorted(waits)[int(len(waits) * 0.99)], "ms"))


def measure_images(directory, rows):
    """Images that differ in their configurations, and the start of an engine that has nothing else."""
    archive = directory / "images.tar"
    names = [f"registry.example.com/team/application-{number}:v1.{number}" for number in range(SCALE)]
    docker_archive(archive, names)
    title = f"{SCALE} images"
    say(title)
    with engine(directory) as (endpoint, _):
        contest = Contest(endpoint, rows)
        for side in contest.sides:
            side.run("load", "-q", "-i", str(archive))
        contest.by_api(title, "/images/json", goal=10)
        contest.by_command(title, "images", goal=10)
        for side in contest.sides[1:]:
            side.run("rmi", *names)
    took, memory = starts(directory)
    title = f"start of the engine with {SCALE} images, to its first answer"
    rows.append((title, "goal", 100, took, "ms"))
    rows.append((f"{title}: its resident memory then", "", None, memory, "MiB"))


def measure_containers(directory, rows):
    archive = directory / "image.tar"
    docker_archive(archive)
    with engine(directory, "--metrics-addr", METRICS) as (endpoint, pid):
        contest = Contest(endpoint, rows)
        for side in contest.sides:
            side.run("load", "-i", str(archive))
        title = f"{SCALE} stopped containers"
        say(title)
        before = resident(pid)[0]
        ids = [create(each, SCALE) for each in contest.endpoints()]
        contest.by_api(title, "/containers/json?all=1", goal=30)
        contest.by_command(title, "ps", "-a")
        time.sleep(2)
        after = resident(pid)[0]
        rows.append((f"{title}: the engine's resident memory", "", None, after / 1024, "MiB"))
        rows.append((f"{title}: more of it than before them, each", "", None, (after - before) / SCALE, "KiB"))

        running = min(SCALE, 100)
        say(f"{running} running containers")
        on_all(endpoint, ids[0][:running], lambda api, id_: api.call("POST", f"/containers/{id_}/start"))
        measure_scrape(endpoint, running, rows)
        on_all(endpoint, ids[0][:running], lambda api, id_: api.call("POST", f"/containers/{id_}/kill"))
        for each, theirs in list(zip(contest.endpoints(), ids))[1:]:
            remove(each, theirs)
    say("starts of the engine")
    took, memory = starts(directory)
    title = f"start of the engine with {SCALE} stopped containers, to its first answer"
    rows.append((title, "", None, took, "ms"))
    rows.append((f"{title}: its resident memory then", "", None, memory, "MiB"))
    with engine(directory) as (endpoint, _):
        remove(endpoint, ids[0])


def measure_scale(directory, rows):
    for part, measure in (("images", measure_images), ("containers", measure_containers), ("running", measure_running)):
        own = directory / part
        own.mkdir()
        measure(own, rows)
