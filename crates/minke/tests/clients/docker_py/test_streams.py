"""What flows: logs, attach, exec, stats and events."""

import socket as sockets
import threading
import time

from docker.utils.socket import frames_iter

from support import IMAGE, EngineTest


class Streams(EngineTest):
    def test_logs_are_kept_apart_and_counted(self):
        container = self.start(["sh", "-c", "seq 5; echo oops >&2"])
        container.wait()
        self.assertEqual(container.logs(stdout=True, stderr=False), b"1\n2\n3\n4\n5\n")
        self.assertEqual(container.logs(stdout=False, stderr=True), b"oops\n")
        self.assertEqual(container.logs(until=1), b"")

    def test_the_tail_of_a_log_has_its_times(self):
        container = self.start(["seq", "5"])
        container.wait()
        self.assertEqual(container.logs(tail=2), b"4\n5\n")
        stamped = container.logs(timestamps=True, tail=1)
        self.assertRegex(stamped, rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z 5\n$")

    def test_followed_logs_end_with_the_container(self):
        container = self.start(["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"])
        self.assertEqual(b"".join(container.logs(stream=True, follow=True)), b"1\n2\n3\n")

    def test_following_can_be_given_up(self):
        container = self.start(["sh", "-c", "echo first; sleep 600"])
        stream = container.logs(stream=True, follow=True)
        self.assertEqual(next(stream), b"first\n")
        stream.close()
        self.assertEqual(container.exec_run("echo well").output, b"well\n")

    def test_attach_streams_and_demultiplexes(self):
        container = self.create(["sh", "-c", "echo out; echo err >&2"])
        stream = container.attach(stdout=True, stderr=True, stream=True, demux=True)
        container.start()
        out, err = map(b"".join, zip(*((out or b"", err or b"") for out, err in stream)))
        self.assertEqual((out, err), (b"out\n", b"err\n"))
        self.assertEqual(container.attach(stdout=True, stderr=False, logs=True), b"out\n")

    def test_attached_input_reaches_the_process(self):
        container = self.create(["sh", "-c", "read line; echo got $line; cat; exit 9"], stdin_open=True)
        socket = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        container.start()
        socket._sock.sendall(b"a line\nand the rest")
        socket._sock.shutdown(sockets.SHUT_WR)
        said = b"".join(data for stream, data in frames_iter(socket, tty=False) if stream == 1)
        socket.close()
        self.assertEqual(said, b"got a line\nand the rest")
        self.assertEqual(container.wait()["StatusCode"], 9)

    def test_a_terminal_is_one_stream_and_has_a_size(self):
        container = self.create(["sh", "-c", "read line; stty size; echo got $line"], tty=True, stdin_open=True)
        socket = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        container.start()
        container.resize(height=30, width=90)
        socket._sock.sendall(b"word\n")
        said = b"".join(data for _, data in frames_iter(socket, tty=True))
        socket.close()
        self.assertTrue(said.endswith(b"30 90\r\ngot word\r\n"), said)

    def test_exec_returns_output_and_code(self):
        container = self.idle()
        result = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 5"], demux=True)
        self.assertEqual(result, (5, (b"out\n", b"err\n")))
        result = container.exec_run(["sh", "-c", "echo $A $(id -u) $(pwd)"], environment={"A": "b"}, user="1000", workdir="/tmp")
        self.assertEqual(result.output, b"b 1000 /tmp\n")
        self.assertEqual(container.exec_run("no-such-program").exit_code, 127)
        code, stream = container.exec_run(["sh", "-c", "echo a; sleep 0.1; echo b"], stream=True)
        self.assertEqual((code, b"".join(stream)), (None, b"a\nb\n"))
        self.assertEqual(container.exec_run(["tty"], tty=True).output, b"/dev/pts/0\r\n")

    def test_exec_takes_input(self):
        container = self.idle()
        code, socket = container.exec_run(["cat"], stdin=True, socket=True)
        self.assertIsNone(code)
        socket._sock.sendall(b"there and back")
        socket._sock.shutdown(sockets.SHUT_WR)
        said = b"".join(data for _, data in frames_iter(socket, tty=False))
        socket.close()
        self.assertEqual(said, b"there and back")

    def test_exec_is_resized_inspected_and_detached(self):
        container = self.idle()
        prepared = self.api.exec_create(container.id, ["sh", "-c", "read line; stty size; exit 6"], tty=True, stdin=True)["Id"]
        self.assertIsNone(self.api.exec_inspect(prepared)["ExitCode"])
        socket = self.api.exec_start(prepared, tty=True, socket=True)
        self.api.exec_resize(prepared, height=20, width=70)
        socket._sock.sendall(b"\n")
        said = b"".join(data for _, data in frames_iter(socket, tty=True))
        socket.close()
        self.assertTrue(said.endswith(b"20 70\r\n"), said)
        self.until("ended", lambda: self.api.exec_inspect(prepared)["ExitCode"] == 6)
        container.exec_run(["sh", "-c", "echo x > /tmp/mark"], detach=True)
        self.until("the mark", lambda: container.exec_run(["cat", "/tmp/mark"]).output == b"x\n")
        self.assertRefused(404, "No such exec instance", self.api.exec_inspect, "f" * 64)

    def test_an_exec_has_the_form_that_its_start_asks_for(self):
        container = self.idle()
        prepare = lambda **options: self.api.exec_create(container.id, ["echo", "hi"], **options)["Id"]
        self.assertEqual(self.api.exec_start(prepare(tty=True), tty=False), b"hi\r\n")
        self.assertEqual(self.api.exec_start(prepare(tty=False), tty=True), b"hi\n")

    def test_stats_once_and_as_a_stream(self):
        container = self.idle(mem_limit="64m")
        once = container.stats(stream=False)
        self.assertEqual(once["memory_stats"]["limit"], 64 << 20)
        self.assertGreater(once["precpu_stats"]["system_cpu_usage"], 0)
        shot = self.api.stats(container.id, stream=False, one_shot=True)
        self.assertEqual(shot["pids_stats"]["current"], 1)
        self.assertEqual(shot["precpu_stats"]["cpu_usage"]["total_usage"], 0)
        stream = container.stats(stream=True, decode=True)
        first, second = next(stream), next(stream)
        self.assertEqual(second["preread"], first["read"])
        self.assertIn("eth0", second["networks"])
        stream.close()

    def test_events_come_in_order_and_are_filtered(self):
        events = self.client.events(decode=True, filters={"type": "container", "label": "events=py"})
        seen = []

        def read():
            for event in events:
                seen.append((event["Action"], event["Actor"]["Attributes"].get("exitCode")))
                if event["Action"] == "destroy":
                    return

        reader = threading.Thread(target=read)
        reader.start()
        container = self.start(["sh", "-c", "exit 2"], labels={"events": "py"})
        container.wait()
        self.until("the end is known", lambda: self.client.containers.get(container.id).status == "exited")
        container.remove()
        reader.join(30)
        events.close()
        self.assertEqual(seen, [("create", None), ("start", None), ("die", "2"), ("destroy", None)])

    def test_past_events_are_told(self):
        container = self.start(["true"], labels={"past": "py"})
        container.wait()
        self.until("the end is known", lambda: self.client.containers.get(container.id).status == "exited")
        for options in [{"since": 0}, {}]:
            now = f"{time.time():.9f}"
            past = self.client.events(decode=True, until=now, filters={"label": "past=py"}, **options)
            self.assertEqual([event["Action"] for event in past], ["create", "start", "die"])
