"""Engines by the Docker API itself, without what a command line costs."""

import concurrent.futures
import http.client
import json
import socket
import time

from measure import PEER_DOCKER_HOST, interleaved, say, timed
from sides import IMAGE

# The newest version that both sides of a comparison are sure to speak.
VERSION = "v1.44"
LINE = "0123456789" * 10
LOGGED = 100_000_000


class Connection(http.client.HTTPConnection):
    """A connection to an engine's socket."""

    def __init__(self, endpoint):
        super().__init__("docker")
        self.path = endpoint.removeprefix("unix://")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        """The answer, read from JSON where it is that."""
        text = None if body is None else json.dumps(body)
        self.request(method, f"/{VERSION}{path}", text, {"Content-Type": "application/json"})
        answer = self.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode(errors='replace').strip()}")
        return json.loads(content) if content[:1] in (b"{", b"[") else content

    def create(self, *command, **host):
        return self.call("POST", "/containers/create", {"Image": IMAGE, "Cmd": command, "HostConfig": host})["Id"]

    def start(self, container):
        self.call("POST", f"/containers/{container}/start")

    def wait(self, container):
        code = self.call("POST", f"/containers/{container}/wait")["StatusCode"]
        if code != 0:
            raise RuntimeError(f"the container ended with {code}")

    def remove(self, container):
        self.call("DELETE", f"/containers/{container}?force=1")

    def cycle(self, *command):
        container = self.create(*command)
        self.start(container)
        self.wait(container)
        self.remove(container)

    def exec(self, container, *command):
        exec_id = self.call("POST", f"/containers/{container}/exec", {"Cmd": command, "AttachStdout": True})["Id"]
        # Its stream ends with the connection.
        stream = Connection(self.path)
        stream.call("POST", f"/exec/{exec_id}/start", {"Detach": False})
        stream.close()


def burst(endpoint, count=100, clients=16):
    """Milliseconds in which `count` containers are started, `clients` at a time; removes them untimed."""
    def start(_):
        connection = Connection(endpoint)
        container = connection.create("sleep", "600")
        connection.start(container)
        connection.close()
        return container

    started = []
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        took = timed(lambda: started.extend(pool.map(start, range(count))))
    connection = Connection(endpoint)
    for container in started:
        connection.remove(container)
    return took


def measure_api(endpoint, rows):
    """`endpoint` is that of minke, which has the bench's image, as the peer has."""
    endpoints = {"minke": endpoint} | ({"dockerd": PEER_DOCKER_HOST} if PEER_DOCKER_HOST else {})
    connections = {name: Connection(endpoint) for name, endpoint in endpoints.items()}

    def compare(title, work, **options):
        medians = interleaved({name: (lambda name=name: work(name)) for name in endpoints}, **options)
        rows.append((f"API: {title}", "dockerd", medians.get("dockerd"), medians["minke"], "ms"))

    # The kernel still takes down the namespaces of those that were removed before.
    time.sleep(5)
    say("the API: create, start, wait, remove")
    compare("create, start, wait, remove", lambda name: connections[name].cycle("true"), batch=5)
    say("the API: exec")
    running = {name: connection.create("sleep", "600") for name, connection in connections.items()}
    for name, container in running.items():
        connections[name].start(container)
    compare("exec of true", lambda name: connections[name].exec(running[name], "true"), batch=5)
    for name, container in running.items():
        connections[name].remove(container)
    say("the API: 100 containers, 16 at a time")
    compare("create and start 100 containers, 16 at a time", lambda name: burst(endpoints[name]), rounds=2)
    say("the API: logs")
    flood = ("sh", "-c", f"yes {LINE} | head -c {LOGGED}")
    compare(f"a container that logs {LOGGED // 1_000_000} MB", lambda name: connections[name].cycle(*flood), rounds=3)
