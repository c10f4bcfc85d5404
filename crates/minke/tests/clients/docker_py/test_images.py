"""Images: named, saved, loaded, imported, pushed and pulled."""

import docker

from support import IMAGE, REGISTRY, EngineTest, files_of, tar_of


class Images(EngineTest):
    def forget(self, *names):
        for name in names:
            try:
                self.client.images.remove(name, force=True)
            except docker.errors.ImageNotFound:
                pass

    def importing(self, name, content):
        self.addCleanup(self.forget, name)
        repository, tag = name.rsplit(":", 1)
        self.api.import_image_from_data(tar_of({"only": content}), repository=repository, tag=tag)
        return self.client.images.get(name)

    def test_an_image_is_listed_and_inspected(self):
        image = self.client.images.get(IMAGE)
        self.assertIn("busybox:latest", image.tags)
        self.assertTrue(image.id.startswith("sha256:"))
        self.assertEqual(image.attrs["Os"], "linux")
        self.assertIn(image.id, [each.id for each in self.client.images.list()])
        self.assertEqual([each.id for each in self.client.images.list(name="busybox")], [image.id])
        self.assertEqual(self.client.images.list(name="no-such-name"), [])
        self.assertGreaterEqual(len(image.history()), 1)

    def test_tags_come_and_go(self):
        image = self.importing("tagged-py:1", b"tagged")
        self.addCleanup(self.forget, "tagged-py:2")
        self.assertTrue(image.tag("tagged-py", "2"))
        image.reload()
        self.assertEqual(sorted(image.tags), ["tagged-py:1", "tagged-py:2"])
        self.client.images.remove("tagged-py:2")
        image.reload()
        self.assertEqual(image.tags, ["tagged-py:1"])

    def test_labels_and_dangling_images_are_found_by_filters(self):
        self.addCleanup(self.forget, "labelled-py:1")
        self.api.import_image_from_data(
            tar_of({"only": b"labelled"}), repository="labelled-py", tag="1", changes=["LABEL kind=special"]
        )
        found = self.client.images.list(filters={"label": "kind=special"})
        self.assertEqual([image.tags for image in found], [["labelled-py:1"]])
        self.assertEqual(self.client.images.list(filters={"label": ["kind=other"]}), [])

    def test_a_saved_image_loads_again(self):
        image = self.importing("saved-py:1", b"saved")
        archive = list(image.save(named=True))
        self.assertIn("manifest.json", files_of(archive))
        self.forget("saved-py:1")
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.images.get("saved-py:1")
        loaded = self.client.images.load(b"".join(archive))
        self.assertEqual([each.id for each in loaded], [image.id])
        self.assertEqual(loaded[0].tags, ["saved-py:1"])

    def test_an_image_travels_through_a_registry(self):
        name = f"{REGISTRY}/travels-py"
        image = self.importing(f"{name}:1", b"travels")
        lines = list(self.client.images.push(name, tag="1", stream=True, decode=True))
        self.assertFalse([line for line in lines if "error" in line], lines)
        pushed = [line["aux"] for line in lines if "aux" in line]
        self.assertEqual(pushed[0]["Tag"], "1")
        self.forget(f"{name}:1")
        pulled = self.client.images.pull(name, tag="1")
        self.assertEqual(pulled.id, image.id)
        self.assertIn(f"{name}@{pushed[0]['Digest']}", pulled.attrs["RepoDigests"])
        data = self.client.images.get_registry_data(f"{name}:1")
        self.assertEqual(data.id, pushed[0]["Digest"])
        self.assertTrue(data.has_platform("linux/amd64"))
        self.forget(f"{name}:1")
        by_digest = self.client.images.pull(f"{name}@{pushed[0]['Digest']}")
        self.assertEqual(by_digest.id, image.id)
        self.forget(by_digest.id)

    def test_all_tags_are_pulled_when_asked(self):
        name = f"{REGISTRY}/many-py"
        for tag in ["1", "2"]:
            self.importing(f"{name}:{tag}", tag.encode())
            self.client.images.push(name, tag=tag)
            self.forget(f"{name}:{tag}")
        pulled = self.client.images.pull(name, all_tags=True)
        self.assertEqual(sorted(tag for image in pulled for tag in image.tags), [f"{name}:1", f"{name}:2"])

    def test_a_pull_of_nothing_is_not_found(self):
        with self.assertRaises(docker.errors.NotFound):
            self.client.images.pull(f"{REGISTRY}/nothing-py", tag="1")

    def test_what_a_container_uses_is_kept(self):
        image = self.importing("used-py:1", b"used")
        container = self.client.containers.create("used-py:1", "/only")
        self.addCleanup(self.discard, container)
        self.assertRefused(409, "image is being used by stopped container", self.client.images.remove, image.id)
        container.remove()
        self.client.images.remove(image.id)

    def test_prune_removes_what_has_no_name(self):
        image = self.importing("dangling-py:1", b"first")
        self.importing("dangling-py:1", b"second")
        self.assertIn(image.id, [each.id for each in self.client.images.list(filters={"dangling": True})])
        report = self.client.images.prune(filters={"dangling": True})
        self.assertIn(image.id, [line.get("Deleted") for line in report["ImagesDeleted"]])
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.images.get(image.id)
