"""testcontainers as a test suite uses it: a server that is waited for, talked to, and gone afterwards."""

import os
import unittest
import urllib.request

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy, HttpWaitStrategy, LogMessageWaitStrategy, PortWaitStrategy

IMAGE = "busybox:latest"
SERVE = "echo page > /var/www/index.html; echo serving; exec httpd -f -p 80 -h /var/www"


def server():
    return DockerContainer(IMAGE).with_command(["sh", "-c", SERVE]).with_exposed_ports(80)


def page(container):
    address = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(80)}/"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()


class Containers(unittest.TestCase):
    def test_a_server_is_waited_for_by_its_log(self):
        with server().waiting_for(LogMessageWaitStrategy("serving")) as container:
            wrapped = container.get_wrapped_container()
            self.assertEqual(container.get_logs(), (b"serving\n", b""))
        with self.assertRaises(docker.errors.NotFound):
            docker.from_env().containers.get(wrapped.id)

    def test_a_server_is_waited_for_by_its_port_and_its_page(self):
        with server().waiting_for(PortWaitStrategy(80)) as container:
            self.assertEqual(page(container), b"page\n")
        with server().waiting_for(HttpWaitStrategy(80, "/").for_status_code(200)) as container:
            self.assertEqual(page(container), b"page\n")

    def test_a_server_is_waited_for_by_a_command(self):
        with server().waiting_for(ExecWaitStrategy(["test", "-e", "/var/www/index.html"])) as container:
            self.assertEqual(container.exec(["sh", "-c", "echo $((6 * 7)); exit 3"]), (3, b"42\n"))

    def test_it_has_what_it_was_given(self):
        given = (
            DockerContainer(IMAGE)
            .with_command(["sh", "-c", "cat /given; echo $NAME; sleep 600"])
            .with_env("NAME", "value")
            .with_name("given-tc")
            .with_volume_mapping(os.path.dirname(__file__), "/here", "ro")
            .with_copy_into_container(b"copied\n", "/given")
            .with_kwargs(mem_limit="64m")
            .waiting_for(LogMessageWaitStrategy("value"))
        )
        with given as container:
            self.assertEqual(container.get_logs()[0], b"copied\nvalue\n")
            self.assertEqual(container.exec(["ls", "/here"]).output, b"".join(f"{name}\n".encode() for name in sorted(os.listdir(os.path.dirname(__file__)))))
            self.assertEqual(container.get_wrapped_container().attrs["HostConfig"]["Memory"], 64 << 20)
