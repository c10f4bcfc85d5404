"""The engine itself: what it is, what it holds, how it answers what it has not."""

import docker

from support import IMAGE, REGISTRY, EngineTest


class System(EngineTest):
    def test_it_says_what_it_is(self):
        self.assertTrue(self.client.ping())
        version, info = self.client.version(), self.client.info()
        self.assertEqual((version["Os"], version["ApiVersion"]), ("linux", self.client.api._version))
        self.assertIn("Engine", [part["Name"] for part in version["Components"]])
        self.assertEqual(info["OSType"], "linux")
        self.assertGreaterEqual(info["Images"], 1)
        self.assertEqual(info["Swarm"]["LocalNodeState"], "inactive")
        self.assertGreater(info["MemTotal"], 0)

    def test_every_version_of_the_api_is_spoken(self):
        oldest = docker.from_env(version="1.24")
        self.addCleanup(oldest.close)
        self.assertIn("busybox:latest", oldest.images.get(IMAGE).tags)
        container = oldest.containers.run(IMAGE, ["sleep", "600"], detach=True)
        self.addCleanup(self.discard, container)
        self.assertEqual(container.exec_run("echo old").output, b"old\n")
        container.kill()
        self.assertEqual(container.wait()["StatusCode"], 137)
        too_new = docker.from_env(version="1.99")
        self.addCleanup(too_new.close)
        self.assertRefused(400, "too new", too_new.info)

    def test_disk_usage_counts_what_is_there(self):
        container = self.idle()
        usage = self.client.df()
        self.assertIn(container.id, [each["Id"] for each in usage["Containers"]])
        self.assertIn(self.client.images.get(IMAGE).id, [each["Id"] for each in usage["Images"]])
        self.assertGreater(usage["LayersSize"], 0)

    def test_networks_are_listed(self):
        names = [network.name for network in self.client.networks.list()]
        self.assertEqual(sorted(names), ["bridge", "host", "none"])
        container = self.idle()
        bridge = self.client.networks.list(names=["bridge"], greedy=True)[0]
        self.assertIn(container.id, [each.id for each in bridge.containers])
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        self.assertTrue(bridge.attrs["Containers"][container.id]["IPv4Address"].startswith(f"{address}/"))
        self.assertRefused(404, "no-such-network", self.client.networks.get, "no-such-network")
        self.assertRefused(403, "pre-defined", bridge.remove)

    def test_a_swarm_and_plugins_are_not_there(self):
        self.assertEqual(self.client.plugins.list(), [])
        self.assertRefused(503, "not a swarm manager", self.client.services.list)
        self.assertRefused(503, "not a swarm manager", self.client.nodes.list)
        self.assertRefused(404, "nothing-py", self.client.plugins.get, "nothing-py")

    def test_a_registry_without_passwords_takes_any(self):
        self.assertEqual(self.client.login("somebody", "secret", registry=f"http://{REGISTRY}", reauth=True)["Status"], "Login Succeeded")
