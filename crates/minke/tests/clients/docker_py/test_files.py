"""Files of containers, and volumes."""

import docker

from support import IMAGE, EngineTest, files_of, tar_of


class Files(EngineTest):
    def test_archives_go_in_and_come_out(self):
        for container in [self.idle(), self.create(["true"])]:
            self.assertTrue(container.put_archive("/tmp", tar_of({"tree/one": b"1", "tree/two": b"22"})))
            chunks, stat = container.get_archive("/tmp/tree")
            self.assertEqual(files_of(chunks), {"tree/one": b"1", "tree/two": b"22"})
            self.assertEqual(stat["name"], "tree")
            chunks, stat = container.get_archive("/tmp/tree/two")
            self.assertEqual((stat["name"], stat["size"], files_of(chunks)), ("two", 2, {"two": b"22"}))
            with self.assertRaises(docker.errors.NotFound):
                container.get_archive("/no/such/path")
            self.assertRefused(404, "/no/such/folder", container.put_archive, "/no/such/folder", tar_of({"x": b""}))
            self.assertRefused(400, "not a directory", container.put_archive, "/etc/passwd", tar_of({"x": b""}))

    def test_changes_and_an_export_show_them(self):
        container = self.start(["sh", "-c", "echo new > /tmp/new; rm /etc/group; echo more >> /etc/passwd"])
        container.wait()
        changes = {change["Path"]: change["Kind"] for change in container.diff()}
        self.assertEqual((changes["/tmp/new"], changes["/etc/group"], changes["/etc/passwd"]), (1, 2, 0))
        files = files_of(container.export())
        self.assertEqual(files["tmp/new"], b"new\n")
        self.assertNotIn("etc/group", files)

    def test_top_lists_processes(self):
        container = self.start(["sh", "-c", "sleep 601 & sleep 602"])
        commands = lambda **options: [" ".join(line) for line in container.top(**options)["Processes"]]
        self.until("both", lambda: len([line for line in commands() if "sleep 60" in line]) >= 2)
        self.assertEqual(container.top(ps_args="-eo pid,comm")["Titles"], ["PID", "COMMAND"])


class Volumes(EngineTest):
    def test_volumes_are_made_used_and_removed(self):
        volume = self.client.volumes.create("data-py", labels={"kind": "py"})
        self.addCleanup(lambda: [each.remove(force=True) for each in self.client.volumes.list(filters={"name": "data-py"})])
        self.assertEqual(volume.attrs["Driver"], "local")
        self.assertEqual([each.name for each in self.client.volumes.list(filters={"label": "kind=py"})], ["data-py"])
        self.client.containers.run(IMAGE, ["sh", "-c", "echo kept > /data/file"], volumes={"data-py": {"bind": "/data", "mode": "rw"}}, remove=True)
        mount = docker.types.Mount("/data", "data-py", read_only=True)
        said = self.client.containers.run(IMAGE, ["sh", "-c", "cat /data/file; touch /data/x 2>/dev/null || echo read-only"], mounts=[mount], remove=True)
        self.assertEqual(said, b"kept\nread-only\n")
        user = self.create(["true"], volumes=["data-py:/data"])
        self.assertRefused(409, "in use", volume.remove)
        user.remove()
        volume.remove()
        with self.assertRaises(docker.errors.NotFound):
            self.client.volumes.get("data-py")

    def test_a_part_of_a_volume_is_mounted(self):
        self.addCleanup(lambda: [each.remove(force=True) for each in self.client.volumes.list(filters={"name": "parts-py"})])
        fill = ["sh", "-c", "mkdir -p /all/part; echo here > /all/part/file"]
        self.client.containers.run(IMAGE, fill, volumes=["parts-py:/all"], remove=True)
        for read_only in [False, True]:
            mount = docker.types.Mount("/part", "parts-py", subpath="part", read_only=read_only)
            self.assertEqual(self.client.containers.run(IMAGE, ["cat", "/part/file"], mounts=[mount], remove=True), b"here\n")

    def test_anonymous_volumes_go_with_their_container(self):
        container = self.create(["true"], volumes=["/anonymous"])
        container.reload()
        name = container.attrs["Mounts"][0]["Source"].split("/")[-2]
        self.client.volumes.get(name)
        container.remove(v=True)
        with self.assertRaises(docker.errors.NotFound):
            self.client.volumes.get(name)

    def test_prune_removes_what_nobody_uses(self):
        volume = self.client.volumes.create(labels={"prune": "py"})
        report = self.client.volumes.prune(filters={"label": "prune=py"})
        self.assertEqual(report["VolumesDeleted"], [volume.name])
