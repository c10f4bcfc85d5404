"""Networks: traffic, connecting and disconnecting, published ports, and names, by the API and with how many there are already.

ENDPOINTS, by default 300, is how far the curve goes with both engines, ALONE, by default 1000, with minke's: so many of the peer's
containers don't fit into a small machine's memory.
"""

import concurrent.futures
import contextlib
import functools
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

from api import Connection
from measure import DIST, PEER_DOCKER_HOST, ROUNDS, TOP, interleaved, say
from sides import IMAGE, Side, docker_archive, engine

ENDPOINTS = int(os.environ.get("ENDPOINTS", "300"))
ALONE = int(os.environ.get("ALONE", "1000"))
NETWORK = "bench-net"
TRAFFIC = "minke-bench-traffic:latest"
# Asks in a container's network namespace for one name again and again, for SECONDS; prints answers a second, and the 99th
# percentile in milliseconds.
ASKER = r"""
import socket, struct, sys, time
name, seconds, window = sys.argv[1].encode(), float(sys.argv[2]), int(sys.argv[3])
query = struct.pack(">HHHHHH", 0, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\0" + struct.pack(">HH", 1, 1)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.11", 53)); sock.settimeout(2)
sent, times, answers, number = {}, [], 0, 0
end = time.perf_counter() + seconds
def ask():
    global number
    number = (number + 1) & 0xffff
    sent[number] = time.perf_counter()
    sock.send(struct.pack(">H", number) + query[2:])
for _ in range(window): ask()
while time.perf_counter() < end:
    answer = sock.recv(2048)
    began = sent.pop(struct.unpack(">H", answer[:2])[0], None)
    if answer[3] & 15 or began is None: sys.exit("a wrong answer")
    times.append(time.perf_counter() - began); answers += 1
    ask()
times.sort()
print(answers / seconds, times[int(len(times) * .99)] * 1000)
"""


def on_network(connection, network, name, **host):
    # dockerd publishes only what is exposed.
    exposed = {port: {} for port in host.get("PortBindings", {})}
    body = {"Image": IMAGE, "Cmd": ["sleep", "600"], "ExposedPorts": exposed, "HostConfig": {"NetworkMode": network, **host}}
    return connection.call("POST", f"/containers/create?name={name}", body)["Id"]


def connect_and_disconnect(connection, container):
    connection.call("POST", f"/networks/{NETWORK}/connect", {"Container": container})
    connection.call("POST", f"/networks/{NETWORK}/disconnect", {"Container": container})


def start_and_stop(connection, container):
    connection.start(container)
    connection.call("POST", f"/containers/{container}/kill")
    connection.call("POST", f"/containers/{container}/wait")


def fill(endpoint, count, have):
    """Starts containers on the network until there are `count`, some at a time."""
    local = threading.local()

    def one(number):
        if not hasattr(local, "api"):
            local.api = Connection(endpoint)
        container = on_network(local.api, NETWORK, f"bench-fill-{number}")
        local.api.start(container)
        return container

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        have.extend(pool.map(one, range(len(have), count)))


def port_by_ip(connection, engine, times=40):
    """Milliseconds in which `ip` makes a port of the network's bridge and removes it, without anybody's addresses, rules or records: how
    the kernel's own part grows with the ports that are there."""
    inside = ["nsenter", "-t", str(engine), "-n"]
    gateway = connection.call("GET", f"/networks/{NETWORK}")["IPAM"]["Config"][0]["Gateway"]
    lines = subprocess.run([*inside, "ip", "-o", "-4", "address"], capture_output=True, text=True, check=True).stdout
    bridge = re.search(r"^\d+: (\S+) .* " + re.escape(gateway) + "/", lines, re.MULTILINE)[1]
    # The other end is where a container's is: in a network namespace of its own.
    with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as holder:
        try:
            while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
                time.sleep(0.01)
            one = f"link add mkbench type veth peer name eth0 netns {holder.pid}\nlink set mkbench master {bridge}\nlink set mkbench up\nlink del mkbench\n"
            began = time.perf_counter()
            subprocess.run([*inside, "ip", "-batch", "-"], input=one * times, text=True, check=True)
            return (time.perf_counter() - began) * 1000 / times
        finally:
            holder.kill()


def asked(pid, name, window):
    """(answers a second, 99th percentile) of a client in a container's network."""
    command = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", ASKER, name, "3", str(window)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ask for names: {done.stderr.strip()}")
    rate, late = map(float, done.stdout.split())
    return rate, late


def figures(text):
    """(requests a second, kilobytes a second) as the load generator tells them."""
    figure = lambda title: float(re.search(title + r":\s+([0-9.]+)", text)[1])
    return figure("Requests per second"), figure("Transfer rate")


def loaded_from_container(connection, network, words):
    """The load generator in a container on the network."""
    body = {"Image": TRAFFIC, "Cmd": ["ab", "-q", *words], "HostConfig": {"NetworkMode": network}}
    container = connection.call("POST", "/containers/create", body)["Id"]
    try:
        connection.start(container)
        connection.wait(container)
        # The stream's frames have heads of eight bytes; lines that are looked for are never cut by one.
        return figures(connection.call("GET", f"/containers/{container}/logs?stdout=1").decode(errors="replace"))
    finally:
        connection.remove(container)


class Lan:
    """Another host beside an engine: a network namespace, joined to that of process `engine` by a cable."""

    ADDRESSES = ("198.18.77.1", "198.18.77.2")

    def __init__(self, engine, root):
        self.root = root
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        here, there = self.ADDRESSES
        for pid, words in (
            (engine, f"link add mkbench-lan type veth peer name lan netns {self.holder.pid}"),
            (engine, f"address add {here}/30 dev mkbench-lan"), (engine, "link set mkbench-lan up"),
            (self.holder.pid, f"address add {there}/30 dev lan"), (self.holder.pid, "link set lan up"),
        ):
            subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *words.split()], check=True)

    def loaded(self, words):
        command = ["nsenter", "-t", str(self.holder.pid), "-n", "chroot", self.root, "ab", "-q", *words]
        return figures(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def close(self):
        """The cable goes with the namespace."""
        self.holder.kill()
        self.holder.wait()


def measure_traffic(endpoints, connections, lans, made, rows):
    """nginx behind a published port and beside the load generator: requests on connections that stay, new ones, and bytes."""
    command = "head -c 100000000 /dev/zero >/var/www/html/large; echo small >/var/www/html/small; exec nginx -g 'daemon off;'"
    ways = {}
    for name, connection in connections.items():
        body = {"Image": TRAFFIC, "Cmd": ["sh", "-c", command], "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": NETWORK, "PortBindings": {"80/tcp": [{"HostPort": ""}]}}}
        container = connection.call("POST", "/containers/create?name=bench-nginx", body)["Id"]
        made[name].append(container)
        connection.start(container)
        settings = connection.call("GET", f"/containers/{container}/json")["NetworkSettings"]
        port, network = settings["Ports"]["80/tcp"][0]["HostPort"], settings["Networks"][NETWORK]
        from_container = lambda where, words, connection=connection: loaded_from_container(connection, where, words)
        ways[name] = {
            "through a published port from another host": (lans[name].loaded, f"http://{Lan.ADDRESSES[0]}:{port}"),
            "through a published port from the host": (functools.partial(from_container, "host"), f"http://{network['Gateway']}:{port}"),
            "between containers": (functools.partial(from_container, NETWORK), f"http://{network['IPAddress']}"),
        }
    time.sleep(2)
    rounds = max(8, ROUNDS)
    kinds = (
        ("requests on 16 connections that stay", 0, rounds, ["-k", "-c", "16", "-n", "40000"], "/small", 1e6, "µs each"),
        # Fewer in all than the client has ports, since each keeps its own for a minute: the search for a free one would be what is measured.
        ("new connections, 16 at a time", 0, rounds, ["-c", "16", "-n", str(20000 // rounds)], "/small", 1e6, "µs each"),
        # The rate is in kilobytes. It differs by half from run to run, with where the scheduler puts whom.
        ("bytes", 1, 3 * rounds, ["-k", "-c", "2", "-n", "10"], "/large", 1e9, "ms for 1 GB"),
    )
    for where in ways["minke"]:
        for what, which, times, words, page, many, unit in kinds:
            say(f"networks: {what} {where}")
            rates = {name: [] for name in endpoints}
            for _ in range(times):
                for name in random.sample(sorted(endpoints), len(endpoints)):
                    load, url = ways[name][where]
                    rates[name].append(load([*words, url + page])[which])
            medians = {name: statistics.median(all_) for name, all_ in rates.items()}
            # A rate is better the higher it is: told as a time.
            cost = {name: many / rate for name, rate in medians.items()}
            rows.append((f"{what} {where}", "dockerd", cost.get("dockerd"), cost["minke"], unit))


def measure_networks(directory, rows):
    archive = directory / "image.tar"
    docker_archive(archive)
    traffic = directory / "traffic.tar"
    shutil.copy(subprocess.run([TOP / "scripts" / "debian-image", "apache2-utils", "nginx-light"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip(), traffic)
    root = directory / "traffic"
    root.mkdir()
    subprocess.run(["tar", "-xf", traffic, "-C", root], check=True)
    with engine(directory, alone=True) as (endpoint, pid), contextlib.ExitStack() as stack:
        endpoints = {"minke": endpoint} | ({"dockerd": PEER_DOCKER_HOST} if PEER_DOCKER_HOST else {})
        for name, address in endpoints.items():
            Side(name, address, [str(DIST / "minke")]).run("load", "-i", str(archive))
            Side(name, address, [str(DIST / "minke")]).run("import", str(traffic), TRAFFIC)
        connections = {name: Connection(address) for name, address in endpoints.items()}
        filled = {name: [] for name in endpoints}
        made = {name: [] for name in endpoints}
        try:
            for connection in connections.values():
                connection.call("POST", "/networks/create", {"Name": NETWORK, "Driver": "bridge"})
            measure(endpoints, connections, filled, made, pid, rows)
            measure_alone(endpoint, connections["minke"], filled["minke"], made["minke"], pid, rows)
            # Last, since each engine looks at the connections that it leaves behind in the kernel's table.
            # The peer runs in the host's own namespace.
            lans = {name: stack.enter_context(contextlib.closing(Lan(pid if name == "minke" else os.getpid(), root))) for name in endpoints}
            measure_traffic(endpoints, connections, lans, made, rows)
        finally:
            for name, connection in connections.items():
                for container in made[name] + filled[name]:
                    connection.remove(container)
                connection.call("DELETE", f"/networks/{NETWORK}")


def measure_alone(endpoint, connection, filled, made, pid, rows):
    """The curve's end, for minke: with most containers that one bridge takes."""
    say(f"networks: {ALONE} containers on one network")
    box, web, before = *made[:2], len(filled)
    fill(endpoint, ALONE, filled)
    for title, work in (("connect and disconnect", lambda: connect_and_disconnect(connection, box)), ("start and kill with a published port", lambda: start_and_stop(connection, web))):
        rows.append((f"API: {title}, {ALONE} others there", "", None, interleaved({"minke": work})["minke"], "ms"))
    rows.append((f"`ip`, and nothing else: a port of that bridge made and removed, {ALONE} others there", "", None, port_by_ip(connection, pid), "ms"))
    for container in filled[before:]:
        connection.remove(container)
    del filled[before:]


def measure(endpoints, connections, filled, made, pid, rows):
    def compare(title, work, **options):
        medians = interleaved({name: (lambda name=name: work(name)) for name in endpoints}, **options)
        rows.append((f"API: {title}", "dockerd", medians.get("dockerd"), medians["minke"], "ms"))

    say("networks: connect and disconnect")
    box, web = {}, {}
    for name, connection in connections.items():
        box[name] = on_network(connection, "bridge", "bench-box")
        made[name].append(box[name])
        connection.start(box[name])
    for count in sorted({0, 10, 100, ENDPOINTS}):
        for name, endpoint in endpoints.items():
            fill(endpoint, count, filled[name])
        compare(f"connect and disconnect, {count} others there", lambda name: connect_and_disconnect(connections[name], box[name]))
        rows.append((f"`ip`, and nothing else: a port of that bridge made and removed, {count} others there", "", None, port_by_ip(connections["minke"], pid), "ms"))

    say("networks: start and stop with a published port")
    for name, connection in connections.items():
        web[name] = on_network(connection, "bridge", "bench-web", PortBindings={"80/tcp": [{"HostPort": ""}]})
        made[name].append(web[name])
    compare(f"start and kill with a published port, {ENDPOINTS} others there", lambda name: start_and_stop(connections[name], web[name]))

    say("networks: names")
    pids, rates = {}, {name: [] for name in endpoints}
    for name, connection in connections.items():
        pids[name] = connection.call("GET", f"/containers/{filled[name][0]}/json")["State"]["Pid"]
    for _ in range(max(3, ROUNDS // 5)):
        for name in endpoints:
            rates[name].append(asked(pids[name], "bench-fill-1", 16))
    rate = {name: statistics.median(rate for rate, _ in all_) for name, all_ in rates.items()}
    late = {name: statistics.median(late for _, late in all_) for name, all_ in rates.items()}
    rows.append(("one answer of the name server (16 questions at a time)", "dockerd", 1e6 / rate["dockerd"] if "dockerd" in rate else None, 1e6 / rate["minke"], "µs"))
    rows.append(("99th percentile of the name server's answers", "dockerd", late.get("dockerd"), late["minke"], "ms"))
