"""What the tests of the Docker SDK for Python share: a client, and containers that go with their test."""

import io
import os
import tarfile
import time
import unittest

import docker

IMAGE = "busybox"
REGISTRY = os.environ["TEST_REGISTRY"]
PATIENCE = 30


class EngineTest(unittest.TestCase):
    """A test with a client of its own; what it started goes when it ends."""

    def setUp(self):
        self.client = docker.from_env()
        self.addCleanup(self.client.close)
        self.api = self.client.api

    def create(self, command=None, **options):
        """A container that is removed with the test."""
        container = self.client.containers.create(IMAGE, command, **options)
        self.addCleanup(self.discard, container)
        return container

    def start(self, command, **options):
        """The same, running."""
        container = self.create(command, **options)
        container.start()
        return container

    def idle(self, **options):
        """One that runs until the test ends."""
        return self.start(["sleep", "600"], **options)

    def discard(self, container):
        try:
            container.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass

    def until(self, what, done):
        """Waits until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            self.assertLess(time.monotonic(), deadline, f"{what}: not within {PATIENCE} s")
            time.sleep(0.01)

    def assertRefused(self, status, words, call, *args, **kwargs):
        """The call fails with this status, and its message has these words."""
        with self.assertRaises(docker.errors.APIError) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.status_code, status, caught.exception)
        self.assertIn(words, caught.exception.explanation)


def tar_of(files):
    """A tar with these files: names and their bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def files_of(chunks):
    """The files of a tar that comes in chunks: names and their bytes."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}
