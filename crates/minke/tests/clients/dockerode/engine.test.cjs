// Images, volumes, networks, events, and the engine itself.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { docker, idle, IMAGE, progress, REGISTRY, refused, start } = require("./support.cjs");

test("an image is named, saved and loaded", async (t) => {
  const image = docker.getImage(IMAGE);
  await image.tag({ repo: "saved-js", tag: "1" });
  const archive = await docker.getImage("saved-js:1").get();
  await docker.getImage("saved-js:1").remove();
  const lines = await progress(await docker.loadImage(archive));
  assert.match(lines.map((line) => line.stream).join(""), /Loaded image: saved-js:1/);
  t.after(() => docker.getImage("saved-js:1").remove());
  assert.equal((await docker.getImage("saved-js:1").inspect()).Id, (await image.inspect()).Id);
  const listed = await docker.listImages({ filters: { reference: ["saved-js"] } });
  assert.equal(listed.length, 1);
  assert.ok((await image.history()).length >= 1);
});

test("an image travels through a registry", async (t) => {
  const name = `${REGISTRY}/travels-js`;
  await docker.getImage(IMAGE).tag({ repo: name, tag: "1" });
  const pushed = await progress(await docker.getImage(name).push({ tag: "1" }));
  const digest = pushed.find((line) => line.aux).aux.Digest;
  await docker.getImage(`${name}:1`).remove();
  const pulled = await progress(await docker.pull(`${name}:1`));
  assert.match(pulled.at(-1).status, /Downloaded newer image|up to date/);
  t.after(() => docker.getImage(`${name}:1`).remove());
  assert.deepEqual((await docker.getImage(`${name}:1`).inspect()).RepoDigests, [`${name}@${digest}`]);
  assert.equal((await docker.getImage(`${name}:1`).distribution()).Descriptor.digest, digest);
  await assert.rejects(docker.pull(`${REGISTRY}/nothing-js:1`), (error) => error.statusCode === 404);
});

test("volumes are made, listed, removed and pruned", async (t) => {
  const volume = await docker.createVolume({ Name: "data-js", Labels: { kind: "js" } });
  assert.equal((await docker.getVolume("data-js").inspect()).Labels.kind, "js");
  const user = await idle(t, { HostConfig: { Binds: ["data-js:/data"] } });
  await assert.rejects(docker.getVolume("data-js").remove(), refused(409, "in use"));
  await user.remove({ force: true });
  const listed = await docker.listVolumes({ filters: { label: ["kind=js"] } });
  assert.deepEqual(listed.Volumes.map((each) => each.Name), ["data-js"]);
  await docker.getVolume("data-js").remove();
  await assert.rejects(docker.getVolume("data-js").inspect(), refused(404, "data-js"));
  assert.deepEqual((await docker.pruneVolumes({ filters: { label: ["kind=js"] } })).VolumesDeleted ?? [], []);
});

test("networks are listed and inspected", async () => {
  const names = (await docker.listNetworks()).map((network) => network.Name);
  assert.deepEqual(names.sort(), ["bridge", "host", "none"]);
  assert.equal((await docker.getNetwork("bridge").inspect()).Driver, "bridge");
});

test("events stream as they happen", async (t) => {
  const stream = await docker.getEvents({ filters: { type: ["container"], label: ["events=js"] } });
  const seen = [];
  const done = new Promise((resolve) =>
    stream.on("data", (chunk) => {
      for (const line of chunk.toString().split("\n").filter(Boolean)) seen.push(JSON.parse(line).Action);
      if (seen.includes("die")) resolve();
    }),
  );
  await start(t, ["true"], { Labels: { events: "js" } });
  await done;
  stream.destroy();
  assert.deepEqual(seen, ["create", "start", "die"]);
});

test("the engine says what it is", async () => {
  assert.equal((await docker.ping()).toString(), "OK");
  const [version, info] = [await docker.version(), await docker.info()];
  assert.equal(version.Os, "linux");
  assert.equal(info.OSType, "linux");
  assert.ok((await docker.df()).Images.length >= 1);
  assert.equal((await docker.checkAuth({ username: "u", password: "p", serveraddress: `http://${REGISTRY}` })).Status, "Login Succeeded");
  assert.deepEqual(await docker.listPlugins(), []);
  await assert.rejects(docker.listServices(), refused(503, "swarm"));
});
