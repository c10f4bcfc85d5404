"""Containers from their creation to their removal."""

import docker

from support import IMAGE, EngineTest


class Life(EngineTest):
    def test_run_returns_what_was_printed(self):
        self.assertEqual(self.client.containers.run(IMAGE, "echo hello", remove=True), b"hello\n")
        both = self.client.containers.run(
            IMAGE, ["sh", "-c", "echo out; echo err >&2"], remove=True, stdout=True, stderr=True
        )
        self.assertEqual(sorted(both.splitlines()), [b"err", b"out"])

    def test_run_raises_what_failed(self):
        with self.assertRaises(docker.errors.ContainerError) as caught:
            self.client.containers.run(IMAGE, ["sh", "-c", "echo why >&2; exit 3"], remove=True)
        self.assertEqual((caught.exception.exit_status, caught.exception.stderr), (3, b"why\n"))
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.containers.create("no-such-image-py")
        with self.assertRaises(docker.errors.APIError):
            self.client.containers.run(IMAGE, "no-such-program", remove=True)

    def test_what_was_asked_for_is_what_runs(self):
        container = self.start(
            ["sh", "-c", 'echo "$A $(hostname) $(id -u):$(id -g) $(pwd)"; cat /proc/sys/net/ipv4/ip_forward'],
            name="asked-py",
            hostname="inside",
            environment={"A": "b"},
            user="1000:33",
            working_dir="/tmp",
            labels={"kind": "asked"},
            tmpfs={"/scratch": "size=1m"},
            mem_limit="64m",
            pids_limit=50,
            cpu_shares=512,
            cap_drop=["ALL"],
            dns=["9.9.9.9"],
            extra_hosts={"other": "10.0.0.9"},
            shm_size="8m",
            ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)],
            sysctls={"net.ipv4.ip_forward": "0"},
            restart_policy={"Name": "no"},
            read_only=True,
            log_config=docker.types.LogConfig(type="json-file", config={"max-file": "2"}),
        )
        self.assertEqual(container.wait()["StatusCode"], 0, container.logs())
        self.assertEqual(container.logs(), b"b inside 1000:33 /tmp\n0\n")
        container.reload()
        self.assertEqual((container.name, container.status), ("asked-py", "exited"))
        self.assertEqual(container.labels["kind"], "asked")
        host = container.attrs["HostConfig"]
        self.assertEqual((host["Memory"], host["PidsLimit"], host["CpuShares"]), (64 << 20, 50, 512))
        self.assertEqual(host["LogConfig"], {"Type": "json-file", "Config": {"max-file": "2"}})
        self.assertEqual(host["ExtraHosts"], ["other:10.0.0.9"])
        self.assertEqual(host["Ulimits"], [{"Name": "nofile", "Soft": 100, "Hard": 200}])

    def test_a_container_is_waited_for_by_condition(self):
        container = self.create(["sh", "-c", "exit 4"])
        container.start()
        self.assertEqual(container.wait(condition="not-running")["StatusCode"], 4)
        running = self.idle(auto_remove=True)
        running.kill()
        try:
            self.assertEqual(running.wait(condition="removed")["StatusCode"], 137)
        except docker.errors.NotFound:
            pass
        self.until("--rm", lambda: not self.client.containers.list(all=True, filters={"id": running.id}))

    def test_stop_restart_and_kill(self):
        container = self.start(["sh", "-c", "trap 'exit 7' TERM; trap 'exit 8' USR1; echo ready; while :; do sleep 0.05; done"])
        ready = lambda: container.logs().endswith(b"ready\n")
        self.until("ready", ready)
        container.stop(timeout=20)
        container.reload()
        self.assertEqual((container.status, container.attrs["State"]["ExitCode"]), ("exited", 7))
        container.restart(timeout=20)
        self.until("ready again", lambda: container.logs().count(b"ready") == 2)
        container.kill(signal="SIGUSR1")
        self.assertEqual(container.wait()["StatusCode"], 8)
        self.assertRefused(409, "is not running", container.kill)

    def test_what_was_killed_can_be_removed_at_once(self):
        for _ in range(10):
            container = self.idle()
            container.kill()
            container.reload()
            self.assertEqual((container.status, container.attrs["State"]["ExitCode"]), ("exited", 137))
            container.remove()

    def test_variables_without_a_value_are_taken_away(self):
        container = self.start(["env"], environment=["PATH", "KEPT=1"], entrypoint=["/bin/busybox"])
        container.wait()
        self.assertIn("PATH", container.attrs["Config"]["Env"])
        said = container.logs().decode().split()
        self.assertIn("KEPT=1", said)
        self.assertFalse([line for line in said if line.startswith("PATH=")])

    def test_pause_and_unpause(self):
        container = self.idle()
        container.pause()
        container.reload()
        self.assertEqual(container.status, "paused")
        self.assertRefused(409, "is already paused", container.pause)
        self.assertRefused(409, "unpause", container.exec_run, "true")
        container.unpause()
        container.reload()
        self.assertEqual(container.status, "running")

    def test_rename_and_update(self):
        container = self.idle(name="before-py", mem_limit="64m")
        container.rename("after-py")
        self.assertEqual(self.client.containers.get("after-py").id, container.id)
        with self.assertRaises(docker.errors.NotFound):
            self.client.containers.get("before-py")
        container.update(mem_limit="96m", memswap_limit="192m", restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
        container.reload()
        self.assertEqual(container.attrs["HostConfig"]["Memory"], 96 << 20)
        self.assertEqual(container.attrs["HostConfig"]["RestartPolicy"], {"Name": "on-failure", "MaximumRetryCount": 2})

    def test_lists_are_filtered(self):
        running = self.idle(name="list-running-py", labels={"group": "list"})
        created = self.create(["true"], name="list-created-py", labels={"group": "list", "own": "x"})
        names = lambda **options: sorted(each.name for each in self.client.containers.list(**options))
        group = {"label": "group=list"}
        self.assertEqual(names(filters=group), ["list-running-py"])
        self.assertEqual(names(all=True, filters=group), ["list-created-py", "list-running-py"])
        self.assertEqual(names(all=True, filters={"label": ["group=list", "own"]}), ["list-created-py"])
        self.assertEqual(names(all=True, filters={"status": "created", **group}), ["list-created-py"])
        self.assertEqual(names(all=True, filters={"name": "list-r.*-py"}), ["list-running-py"])
        self.assertEqual(names(all=True, filters={"id": created.id[:12]}), ["list-created-py"])
        self.assertEqual(names(all=True, filters={"ancestor": IMAGE, **group}), ["list-created-py", "list-running-py"])
        self.assertEqual(names(all=True, filters={"since": running.id, **group}), ["list-created-py"])
        self.assertEqual(names(all=True, filters={"before": created.id, **group}), ["list-running-py"])
        sparse = self.client.containers.list(filters=group, sparse=True)
        self.assertEqual([each.attrs["Names"] for each in sparse], [["/list-running-py"]])
        sized = self.api.containers(size=True, filters=group)
        self.assertIn("SizeRootFs", sized[0])

    def test_ports_are_published(self):
        container = self.idle(ports={"80/tcp": ("127.0.0.1", None), "53/udp": 5353, "81/tcp": [8081, 8082]})
        container.reload()
        published = container.attrs["NetworkSettings"]["Ports"]
        self.assertEqual(published["80/tcp"][0]["HostIp"], "127.0.0.1")
        self.assertGreater(int(published["80/tcp"][0]["HostPort"]), 1023)
        self.assertEqual({line["HostPort"] for line in published["53/udp"]}, {"5353"})
        self.assertEqual({line["HostPort"] for line in published["81/tcp"]}, {"8081", "8082"})
        self.assertEqual(self.api.port(container.id, 80), published["80/tcp"])

    def test_health_is_reported(self):
        check = {"test": ["CMD", "test", "-e", "/tmp/well"], "interval": 50_000_000, "retries": 2}
        container = self.idle(healthcheck=check)
        health = lambda: self.client.containers.get(container.id).health
        self.until("unhealthy", lambda: health() == "unhealthy")
        self.assertEqual(container.exec_run(["touch", "/tmp/well"]).exit_code, 0)
        self.until("healthy", lambda: health() == "healthy")
        log = self.client.containers.get(container.id).attrs["State"]["Health"]["Log"]
        self.assertEqual(log[-1]["ExitCode"], 0)

    def test_prune_removes_what_has_stopped(self):
        container = self.start(["true"], labels={"prune": "py"})
        container.wait()
        kept = self.idle(labels={"prune": "py"})
        report = self.client.containers.prune(filters={"label": ["prune=py"]})
        self.assertEqual(report["ContainersDeleted"], [container.id])
        self.assertGreaterEqual(report["SpaceReclaimed"], 0)
        self.assertEqual(self.client.containers.get(kept.id).status, "running")

    def test_what_conflicts_or_is_missing_is_said(self):
        container = self.idle(name="taken-py")
        self.assertRefused(409, "already in use", self.create, ["true"], name="taken-py")
        self.assertRefused(409, "force", container.remove)
        self.assertRefused(404, "No such container: nobody-py", self.client.containers.get, "nobody-py")
        self.assertRefused(400, "name", self.create, ["true"], name="not/a/name")
        self.assertRefused(400, "NO_SUCH_SIGNAL", container.kill, signal="NO_SUCH_SIGNAL")
        # Starting what runs is no error.
        container.start()
