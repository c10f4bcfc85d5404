//! Dockerfiles of the kinds that people write: steps that install packages by apt-get, pip and npm, and a program that one stage makes
//! for another. And what of the user's settings reaches such steps.
//!
//! The packages come over the engine's default network from a server on the host, so nothing outside of the test is needed.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use minke_testkit::{Host, Run, docker_cli, on_path, program, unpacked};

/// Packages of Python and Node that say a word, as their indexes have them.
const PACKAGES: &str = r#"
ln -s "$repository" debian
mkdir -p pypi/greeting npm package wheel/greeting wheel/greeting-1.0.dist-info
echo 'word = "hello from Python"' >wheel/greeting/__init__.py
printf 'Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n' >wheel/greeting-1.0.dist-info/METADATA
printf 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n' >wheel/greeting-1.0.dist-info/WHEEL
: >wheel/greeting-1.0.dist-info/RECORD
(cd wheel && python3 -m zipfile -c ../pypi/greeting/greeting-1.0-py3-none-any.whl greeting greeting-1.0.dist-info)
echo '{"name": "greeting", "version": "1.0.0"}' >package/package.json
echo 'module.exports = "hello from Node"' >package/index.js
tar -czf npm/greeting-1.0.0.tgz package
cat >npm/greeting <<'END'
{"name": "greeting", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0":
 {"name": "greeting", "version": "1.0.0", "dist": {"tarball": "http://packages:8000/npm/greeting-1.0.0.tgz"}}}}
END
"#;

/// The host's node, or the one of `scripts/setup test`, with its npm.
const NODE: &str = r#"
node=$(readlink -f "$node")
npm=$(readlink -f "$(command -v npm || echo "${node%/bin/node}/lib/node_modules/npm/bin/npm-cli.js")")
mkdir -p bin lib/node_modules
cp "$node" bin/node
cp -a "${npm%/bin/npm-cli.js}" lib/node_modules/npm
ln -s ../lib/node_modules/npm/bin/npm-cli.js bin/npm
"#;

/// An engine with a Debian, and a server of packages that its steps know as `packages:8000`.
struct Kitchen {
    host: Host,
    server: Child,
}

impl Kitchen {
    fn start() -> Self {
        let host = Host::start();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/debian-image");
        let rootfs = Run::new(script, [""; 0]).limit(Duration::from_secs(300)).ok();
        let _ = host.minke(["import", &rootfs, "debian"]).expect_code(0);
        let packages = host.path("packages");
        fs::create_dir_all(&packages).unwrap();
        let made = Run::new("sh", ["-euc", PACKAGES])
            .current_dir(&packages)
            .env("repository", unpacked("repository"));
        let _ = made.run().expect_code(0);
        let mut serve = Command::new("python3");
        serve
            .args(["-m", "http.server", "8000", "--directory"])
            .arg(&packages)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = host.netns().enter(move || serve.spawn()).unwrap();
        let _ = host.fetch("127.0.0.1:8000");
        Self { host, server }
    }

    /// Builds the image `made` of these files.
    fn build(&self, files: &[(&str, &str)], further: &[&str]) {
        let folder = self.host.path("context");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        let words = [
            "build",
            "--progress=plain",
            "-t",
            "made",
            "--add-host=packages=host-gateway",
            folder.to_str().unwrap(),
        ];
        let _ = self.host.minke_words(&[&words[..], further].concat()).run().expect_code(0);
    }

    fn end(mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.host.expect_nothing_left();
    }
}

/// What people write, and what is there in their images of Debian: the package manager needn't wait for the disk.
const APT: &str = "RUN echo 'deb [trusted=yes] http://packages:8000/debian ./' >/etc/apt/sources.list && echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/quick\n";

#[test]
fn a_compiler_is_installed_and_its_program_is_all_of_the_image() {
    let kitchen = Kitchen::start();
    let dockerfile = format!(
        "FROM debian AS build\n{APT}RUN --mount=type=cache,target=/var/cache/apt apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \\\n  \
         && rm -rf /var/lib/apt/lists/*\nWORKDIR /src\nCOPY main.c .\nRUN gcc -Wall -O2 -static -o /hello main.c\n\
         FROM scratch\nCOPY --from=build /hello /hello\nENTRYPOINT [\"/hello\"]\n"
    );
    let main = "#include <stdio.h>\nint main(void) { puts(\"hello from C\"); return 0; }\n";
    kitchen.build(&[("Dockerfile", &dockerfile), ("main.c", main)], &[]);
    assert_eq!(kitchen.host.minke(["run", "--rm", "made"]).ok(), "hello from C");
    kitchen.end();
}

#[test]
fn pip_installs_what_a_program_requires() {
    let kitchen = Kitchen::start();
    let dockerfile = format!(
        "FROM debian\n{APT}RUN apt-get update && apt-get install -y --no-install-recommends python3-pip\nENV PIP_BREAK_SYSTEM_PACKAGES=1\nWORKDIR /app\n\
         COPY requirements.txt .\nRUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=pip,target=/etc/pip.conf pip install -r requirements.txt\n\
         COPY . .\nUSER nobody\nCMD [\"python3\", \"app.py\"]\n"
    );
    let settings = "[global]\nindex-url = http://packages:8000/pypi\ntrusted-host = packages\n";
    let files = [
        ("Dockerfile", &*dockerfile),
        ("requirements.txt", "greeting == 1.0\n"),
        ("app.py", "import greeting\nprint(greeting.word)\n"),
        ("pip.conf", settings),
    ];
    let secret = format!("id=pip,src={}", kitchen.host.path("context/pip.conf").display());
    kitchen.build(&files, &["--secret", &secret]);
    assert_eq!(kitchen.host.minke(["run", "--rm", "made"]).ok(), "hello from Python");
    kitchen.end();
}

#[test]
fn npm_installs_what_a_program_requires() {
    let kitchen = Kitchen::start();
    let node = kitchen.host.path("node");
    fs::create_dir_all(&node).unwrap();
    let _ =
        Run::new("sh", ["-euc", NODE]).current_dir(&node).env("node", on_path("node")).run().expect_code(0);
    let files = [
        (
            "Dockerfile",
            "FROM debian\nCOPY --from=node / /usr/local/\nWORKDIR /app\nCOPY package.json .\n\
             RUN --mount=type=secret,id=npm,target=/root/.npmrc npm install --no-audit --no-fund\nCOPY index.js .\nCMD [\"node\", \"index.js\"]\n",
        ),
        ("package.json", "{\"name\": \"app\", \"dependencies\": {\"greeting\": \"^1.0.0\"}}"),
        ("index.js", "console.log(require('greeting'))"),
        (".npmrc", "registry=http://packages:8000/npm\n"),
    ];
    let secret = format!("id=npm,src={}", kitchen.host.path("context/.npmrc").display());
    let context = format!("node={}", node.display());
    kitchen.build(&files, &["--secret", &secret, "--build-context", &context]);
    assert_eq!(kitchen.host.minke(["run", "--rm", "made"]).ok(), "hello from Node");
    kitchen.end();
}

#[test]
fn files_by_url_and_repositories_come_by_the_engines_proxy() {
    let mut host = Host::with_busybox();
    let proxy = host.netns().enter(|| TcpListener::bind("127.0.0.1:3128")).unwrap();
    let asked = thread::spawn(move || {
        // The second is what no file is read from.
        let answers = ["200 OK\r\nContent-Length: 7", "404 Not Found\r\nContent-Length: 7"];
        answers.map(|answer| {
            let (client, _) = proxy.accept().unwrap();
            let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
            let first = lines.next().unwrap();
            assert!(lines.any(|line| line.is_empty()));
            write!(&client, "HTTP/1.1 {answer}\r\nConnection: close\r\n\r\nproxied").unwrap();
            first
        })
    });
    host.stop_daemon();
    host.set_flags(&["--http-proxy", "http://127.0.0.1:3128"]);
    host.start_daemon();
    let context = host.path("context");
    fs::create_dir_all(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM busybox\nADD http://files.example/a /a\n").unwrap();
    let _ = host.minke(["build", "-t", "made", &context.display().to_string()]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "made", "cat", "/a"]).ok(), "proxied");
    let _ = host.minke(["build", "http://repositories.example/b.git"]).expect_code(1).expect_stderr("b.git");
    let asked = asked.join().unwrap();
    assert_eq!(asked[0], "GET http://files.example/a HTTP/1.1");
    assert!(asked[1].starts_with("GET http://repositories.example/b.git/info/refs"), "{}", asked[1]);
    host.expect_nothing_left();
}

#[test]
fn the_users_proxies_reach_a_step_and_nothing_else() {
    let host = Host::with_busybox();
    let settings = host.path("docker-config");
    fs::create_dir_all(&settings).unwrap();
    let proxies =
        "{\"proxies\": {\"default\": {\"httpProxy\": \"http://proxy:1\", \"noProxy\": \"*.local\"}}}";
    fs::write(settings.join("config.json"), proxies).unwrap();
    let context = host.path("context");
    fs::create_dir_all(&context).unwrap();
    let dockerfile = "FROM busybox\nARG NO_PROXY\nRUN env | grep -i proxy | sort >/seen\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let project = "name: p\nservices: {made: {image: made, build: {context: ., args: {NO_PROXY: mine}}}}\n";
    fs::write(context.join("compose.yaml"), project).unwrap();
    let build = ["build", "--no-cache", "-t", "made", "--build-arg=NO_PROXY=mine", "."];
    let compose = ["compose", "build", "--no-cache"];
    let minke = program("minke");
    for (program, words, buildkit) in [
        (&minke, &build[..], "1"),
        (&minke, &build, "0"),
        (&docker_cli(), &build, "0"),
        (&minke, &compose, "1"),
        (&minke, &compose, "0"),
    ] {
        let run = host.client_words(program.clone(), words).current_dir(&context);
        let _ = run.env("DOCKER_BUILDKIT", buildkit).run().expect_code(0);
        let seen = host.docker(["run", "--rm", "made", "cat", "/seen"]).ok();
        for line in ["HTTP_PROXY=http://proxy:1", "http_proxy=http://proxy:1", "NO_PROXY=mine"] {
            assert!(seen.lines().any(|seen| seen == line), "{words:?} {buildkit}: {line}: {seen}");
        }
        let shown = host.docker(["history", "--no-trunc", "made"]).ok()
            + &host.docker(["image", "inspect", "made"]).ok();
        assert!(!shown.contains("proxy:1"), "{shown}");
    }
    host.expect_nothing_left();
}
