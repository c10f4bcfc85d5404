// What the tests of dockerode share: a client, and containers that go with their test.

const Docker = require("dockerode");
const { PassThrough } = require("node:stream");

const docker = new Docker();
const IMAGE = "busybox";
const REGISTRY = process.env.TEST_REGISTRY;

/** A container that is removed with the test. */
async function create(test, cmd, options = {}) {
  const container = await docker.createContainer({ Image: IMAGE, Cmd: cmd, ...options });
  test.after(() => container.remove({ force: true, v: true }).catch(ignoreMissing));
  return container;
}

/** The same, running. */
async function start(test, cmd, options) {
  const container = await create(test, cmd, options);
  await container.start();
  return container;
}

/** One that runs until the test ends. */
const idle = (test, options) => start(test, ["sleep", "600"], options);

function ignoreMissing(error) {
  if (error.statusCode !== 404) throw error;
}

/** All that a stream gives. */
async function text(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Both outputs of a framed stream. */
async function outputs(stream) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  stream.on("end", () => {
    out.end();
    err.end();
  });
  return Promise.all([text(out), text(err)]);
}

/** The lines that a pull, push or load sends. */
const progress = (stream) =>
  new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines))),
  );

/** Waits until it is so. */
async function until(what, done) {
  const deadline = Date.now() + 30_000;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within 30 s`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The call fails with this status, and its message has these words. */
const refused = (status, words) => (error) =>
  error.statusCode === status && error.json.message.includes(words);

module.exports = { docker, IMAGE, REGISTRY, create, start, idle, text, outputs, progress, until, refused };
