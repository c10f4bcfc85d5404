// Containers, what flows from them, and their files.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const tar = require("tar-fs");
const { mkdtemp, readFile, writeFile } = require("node:fs/promises");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { pipeline } = require("node:stream/promises");
const { PassThrough } = require("node:stream");
const { create, docker, IMAGE, idle, outputs, refused, start, text, until } = require("./support.cjs");

test("run writes both outputs and gives the exit code", async (t) => {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const script = ["sh", "-c", "echo out; echo err >&2; exit 4"];
  const [end, container] = await docker.run(IMAGE, script, [out, err], { Tty: false });
  t.after(() => container.remove());
  out.end();
  err.end();
  assert.deepEqual([await text(out), await text(err), end.StatusCode], ["out\n", "err\n", 4]);
});

test("a container lives through its states", async (t) => {
  const container = await create(t, ["sleep", "600"], { name: "states-js", Labels: { kind: "js" } });
  const state = async () => (await container.inspect()).State.Status;
  assert.equal(await state(), "created");
  await container.start();
  assert.equal(await state(), "running");
  await container.pause();
  assert.equal(await state(), "paused");
  await container.unpause();
  await container.rename({ name: "renamed-js" });
  assert.equal((await docker.getContainer("renamed-js").inspect()).Id, container.id);
  await container.update({ Memory: 64 << 20, MemorySwap: 128 << 20 });
  assert.equal((await container.inspect()).HostConfig.Memory, 64 << 20);
  await container.restart({ t: 0 });
  assert.equal(await state(), "running");
  const listed = await docker.listContainers({ filters: { label: ["kind=js"] } });
  assert.deepEqual(listed.map((line) => [line.Id, line.State, line.Names]), [[container.id, "running", ["/renamed-js"]]]);
  const ended = container.wait();
  await container.stop({ t: 0 });
  assert.equal((await ended).StatusCode, 137);
  // 304, which dockerode tells as an error.
  await assert.rejects(container.stop(), (error) => error.statusCode === 304);
  await container.remove();
  await assert.rejects(container.inspect(), refused(404, "No such container"));
});

test("attached input reaches the process, and its end too", async (t) => {
  const container = await create(t, ["sh", "-c", "cat; echo done"], { OpenStdin: true, StdinOnce: true });
  const stream = await container.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
  const said = outputs(stream);
  await container.start();
  stream.write("one\n");
  stream.end("two\n");
  assert.deepEqual(await said, ["one\ntwo\ndone\n", ""]);
  assert.equal((await container.wait()).StatusCode, 0);
});

test("a terminal is resized and is one stream", async (t) => {
  const container = await create(t, ["sh", "-c", "read line; stty size; echo got $line"], { Tty: true, OpenStdin: true });
  const stream = await container.attach({ stream: true, hijack: true, stdin: true, stdout: true });
  const said = text(stream);
  await container.start();
  await container.resize({ h: 33, w: 99 });
  stream.write("word\n");
  assert.match(await said, /33 99\r\ngot word\r\n$/);
});

test("logs are read, followed, and given up", async (t) => {
  const ticking = await start(t, ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done; echo err >&2"]);
  const stream = await ticking.logs({ follow: true, stdout: true, stderr: true });
  assert.deepEqual(await outputs(stream), ["1\n2\n3\n", "err\n"]);
  const counting = await start(t, ["seq", "3"]);
  await counting.wait();
  const last = (await counting.logs({ stdout: true, tail: 1, timestamps: true })).subarray(8).toString();
  assert.match(last, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z 3\n$/);
  const silent = await start(t, ["sh", "-c", "echo only; sleep 600"]);
  const abort = new AbortController();
  const following = await silent.logs({ follow: true, stdout: true, abortSignal: abort.signal });
  await new Promise((resolve) => following.once("data", resolve));
  following.on("error", () => {});
  abort.abort();
  assert.equal((await silent.inspect()).State.Running, true);
});

test("exec has streams, a terminal and an exit code", async (t) => {
  const container = await idle(t);
  const exec = await container.exec({ Cmd: ["sh", "-c", "cat; echo err >&2; exit 6"], AttachStdin: true, AttachStdout: true, AttachStderr: true });
  const stream = await exec.start({ hijack: true, stdin: true });
  const said = outputs(stream);
  stream.end("input");
  assert.deepEqual(await said, ["input", "err\n"]);
  await until("the exit code", async () => (await exec.inspect()).ExitCode === 6);
  const terminal = await container.exec({ Cmd: ["sh", "-c", "read line; stty size"], Tty: true, AttachStdin: true, AttachStdout: true });
  const screen = await terminal.start({ hijack: true, stdin: true, Tty: true });
  const shown = text(screen);
  await terminal.resize({ h: 25, w: 75 });
  screen.write("\n");
  assert.match(await shown, /25 75\r\n$/);
  // Without a hijack: output as the answer's body.
  const plain = await container.exec({ Cmd: ["echo", "plain"], AttachStdout: true });
  assert.deepEqual(await outputs(await plain.start({})), ["plain\n", ""]);
});

test("files go in and come out", async (t) => {
  const container = await idle(t);
  const folder = await mkdtemp(join(tmpdir(), "dockerode-"));
  await writeFile(join(folder, "file"), "content");
  await container.putArchive(tar.pack(folder), { path: "/tmp" });
  const back = await mkdtemp(join(tmpdir(), "dockerode-"));
  await pipeline(await container.getArchive({ path: "/tmp/file" }), tar.extract(back));
  assert.equal(await readFile(join(back, "file"), "utf8"), "content");
  const head = await container.infoArchive({ path: "/tmp/file" });
  head.resume();
  const stat = JSON.parse(Buffer.from(head.headers["x-docker-container-path-stat"], "base64").toString());
  assert.deepEqual([stat.name, stat.size], ["file", 7]);
  const changes = await container.changes();
  assert.ok(changes.some((change) => change.Path === "/tmp/file" && change.Kind === 1), JSON.stringify(changes));
  assert.ok((await text(await container.export())).includes("tmp/file"));
  await assert.rejects(container.getArchive({ path: "/none" }), (error) => error.statusCode === 404);
});

test("top and stats show its processes", async (t) => {
  const container = await idle(t);
  assert.match((await container.top()).Processes.flat().join(" "), /sleep 600/);
  const once = await container.stats({ stream: false });
  assert.equal(once.pids_stats.current, 1);
  const stream = await container.stats({ stream: true });
  const first = await new Promise((resolve) => stream.once("data", resolve));
  stream.destroy();
  assert.equal(JSON.parse(first).id, container.id);
});
