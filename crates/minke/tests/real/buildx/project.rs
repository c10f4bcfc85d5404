//! An engine, docker with buildx, and a folder to build from.

use std::path::PathBuf;

use minke_testkit::{Host, Ran, Registry, buildx, docker_cli};

/// A folder to build from, and the engine that builds.
pub(super) struct Project {
    pub(super) host: Host,
    pub(super) context: PathBuf,
}

/// Lets a host's docker know buildx.
pub(super) fn link_buildx(host: &Host) {
    let plugins = host.path("docker-config/cli-plugins");
    std::fs::create_dir_all(&plugins).expect("a folder for plugins");
    std::os::unix::fs::symlink(buildx(), plugins.join("docker-buildx")).expect("buildx is linked");
}

impl Project {
    pub(super) fn new() -> Self {
        let host = Host::start();
        link_buildx(&host);
        let context = host.path("context");
        std::fs::create_dir_all(&context).expect("a folder");
        Self { host, context }
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.context.join(name), content).expect("a file");
    }

    pub(super) fn build(&self, args: &[&str]) -> Ran {
        let context = self.context.to_str().expect("a path in text");
        let words = [&["buildx", "build"], args, &[context]].concat();
        let run = self.host.client_words(docker_cli(), &words);
        run.env("BUILDKIT_PROGRESS", "plain").env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").run()
    }

    /// Builds, and gives what was told.
    pub(super) fn told(&self, args: &[&str]) -> String {
        self.build(args).expect_code(0).stderr
    }

    /// Another engine in the place of this one, which knows nothing.
    pub(super) fn renew(&mut self) {
        self.host.stop_daemon();
        std::fs::remove_dir_all(self.host.path("root")).expect("the root is removed");
        self.host.start_daemon();
    }

    pub(super) fn id(&self, image: &str) -> String {
        self.host.docker(["image", "inspect", "-f", "{{.Id}}", image]).ok()
    }

    pub(super) fn read(&self, image: &str, path: &str) -> String {
        self.host.docker(["run", "--rm", image, "cat", path]).ok()
    }

    /// How many layers the engine has.
    pub(super) fn layers(&self) -> usize {
        let entries = std::fs::read_dir(self.host.path("root/layers")).expect("a store");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| !name.to_string_lossy().starts_with('.')).count()
    }

    pub(super) fn end(self, registry: Option<Registry>) {
        drop(registry);
        self.host.expect_nothing_left();
    }
}
