"""Networks: made, listed, connected and removed."""

from docker.types import IPAMConfig, IPAMPool

from support import EngineTest


class NetworksTest(EngineTest):
    def network(self, name, **options):
        """A network that is removed with the test."""
        network = self.client.networks.create(name, **options)
        self.addCleanup(network.remove)
        return network

    def test_a_network_has_what_it_was_made_with(self):
        pool = IPAMPool(subnet="10.91.0.0/16", gateway="10.91.0.254")
        ipam = IPAMConfig(pool_configs=[pool])
        network = self.network("py-made", driver="bridge", ipam=ipam, labels={"tier": "back"}, internal=True, options={"com.docker.network.driver.mtu": "1400"})
        network.reload()
        self.assertEqual(network.attrs["IPAM"]["Config"], [{"Subnet": "10.91.0.0/16", "Gateway": "10.91.0.254"}])
        self.assertEqual(network.attrs["Labels"], {"tier": "back"})
        self.assertTrue(network.attrs["Internal"])
        self.assertEqual([found.name for found in self.client.networks.list(filters={"label": "tier=back"})], ["py-made"])
        self.assertEqual(self.client.networks.list(names=["py-made"])[0].id, network.id)

    def test_containers_come_and_go(self):
        network = self.network("py-live")
        container = self.idle(name="py-box")
        network.connect(container, aliases=["db"])
        network.reload()
        self.assertEqual([one.id for one in network.containers], [container.id])
        container.reload()
        endpoint = container.attrs["NetworkSettings"]["Networks"]["py-live"]
        self.assertEqual(endpoint["NetworkID"], network.id)
        self.assertIn("db", endpoint["Aliases"])
        self.assertTrue(endpoint["IPAddress"])
        self.assertRefused(403, "already exists in network py-live", network.connect, container)
        self.assertRefused(403, "has active endpoints", network.remove)
        network.disconnect(container)
        network.reload()
        self.assertEqual(network.containers, [])

    def test_a_container_starts_on_a_network_by_its_old_fashioned_configuration(self):
        network = self.network("py-config")
        config = self.api.create_networking_config({"py-config": self.api.create_endpoint_config(aliases=["web"])})
        container = self.api.create_container("busybox", ["sleep", "600"], networking_config=config)
        self.addCleanup(self.api.remove_container, container, force=True)
        self.api.start(container)
        networks = self.api.inspect_container(container)["NetworkSettings"]["Networks"]
        self.assertEqual(list(networks), ["py-config"])
        self.assertEqual(networks["py-config"]["NetworkID"], network.id)

    def test_what_cannot_be_is_refused(self):
        self.network("py-twice")
        self.assertRefused(409, "network with name py-twice already exists", self.client.networks.create, "py-twice")
        self.assertRefused(403, "predefined", self.client.networks.create, "host")
        self.assertRefused(404, "network py-nosuch not found", self.client.networks.get, "py-nosuch")

    def test_prune_removes_what_nobody_uses(self):
        self.client.networks.create("py-unused", labels={"prune": "py"})
        pruned = self.client.networks.prune(filters={"label": ["prune=py"]})
        self.assertEqual(pruned["NetworksDeleted"], ["py-unused"])
