//! `minke build` over BuildKit's API: what needs a session with whoever builds, and what `docker buildx build` can say.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod folders;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use minke_testkit::{Host, Ran, Registry, RegistryKind};
use serde_json::Value;

/// A folder with files, and what is built in it.
struct Project<'a> {
    host: &'a Host,
    folder: PathBuf,
}

impl<'a> Project<'a> {
    fn new(host: &'a Host, dockerfile: &str) -> Self {
        let project = Self { host, folder: host.path("project") };
        project.write("Dockerfile", dockerfile);
        project
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Copies a program of the host's, with what it is linked to.
    fn copy_program(&self, program: &str) {
        let linked = Command::new("ldd").arg(program).output().unwrap();
        let linked = String::from_utf8(linked.stdout).unwrap();
        let paths = linked.split_whitespace().filter(|word| word.starts_with('/'));
        for path in paths.chain([program]) {
            let to = self.folder.join(path.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        }
    }

    fn build(&self, args: &[&str]) -> Ran {
        let folder = self.folder.display().to_string();
        self.host.minke_words(&[&["build"], args, &[&folder]].concat()).run()
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.file_name().to_str().unwrap().to_owned()),
        }
    }
    found.sort();
    found
}

#[test]
fn secrets_of_files_and_variables_are_there_and_in_no_layer() {
    let host = Host::with_busybox();
    let project = Project::new(
        &host,
        "FROM busybox\nRUN --mount=type=secret,id=key cat /run/secrets/key >/key\n\
         RUN --mount=type=secret,id=word,env=WORD echo $WORD >/word && ls /run/secrets >/left 2>&1 || true\n",
    );
    let key = project.write("../key.txt", "from a file");
    let secret = format!("id=key,src={key}");
    let args = ["build", "-t", "made", "--secret", &secret, "--secret", "id=word,env=THE_WORD"];
    let folder = project.folder.display().to_string();
    let run = host.minke_words(&[&args[..], &[&folder]].concat()).env("THE_WORD", "from a variable");
    let _ = run.run().expect_code(0);
    assert_eq!(
        host.minke(["run", "--rm", "made", "cat", "/key", "/word"]).ok(),
        "from a filefrom a variable"
    );
    let missing = project.build(&["--secret", "id=key,src=/nowhere"]);
    let _ = missing.expect_code(1).expect_stderr("/nowhere");
    host.expect_nothing_left();
}

/// Makes a key whose comment is `the-key`.
fn ssh_key(path: &Path, args: &[&str]) {
    let made =
        Command::new("ssh-keygen").args(["-q", "-C", "the-key"]).args(args).arg("-f").arg(path).status();
    assert!(made.unwrap().success());
}

/// An agent with one key, which ends with this.
struct SshAgent {
    child: Child,
    socket: PathBuf,
}

impl SshAgent {
    fn start(host: &Host) -> Self {
        let (socket, key) = (host.path("agent.sock"), host.path("id"));
        let mut command = Command::new("ssh-agent");
        let child = command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self { child, socket };
        host.until("the agent listens", || agent.socket.exists());
        ssh_key(&key, &["-t", "ed25519", "-N", ""]);
        let added = Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &agent.socket).output();
        assert!(added.unwrap().status.success());
        agent
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_ssh_agent_shows_its_keys_to_a_step_and_takes_no_order_from_it() {
    let host = Host::start();
    let project = Project::new(
        &host,
        "FROM scratch AS with\nCOPY . /\nRUN --mount=type=ssh [\"/usr/bin/ssh-add\", \"-L\"]\n\
         FROM with\nRUN --mount=type=ssh [\"/usr/bin/ssh-add\", \"-D\"]\n",
    );
    project.copy_program("/usr/bin/ssh-add");
    let agent = SshAgent::start(&host);
    let ssh = format!("default={}", agent.socket.display());
    let told = project.build(&["--progress", "plain", "--ssh", &ssh, "--target", "with"]).expect_code(0);
    assert!(told.stderr.contains("the-key"), "{}", told.stderr);
    let folder = project.folder.display().to_string();
    let run = host.minke_run(["build", "--ssh", "default", &folder]).env("SSH_AUTH_SOCK", &agent.socket);
    let refused = run.run();
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    let keys = Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &agent.socket).output().unwrap();
    assert!(String::from_utf8_lossy(&keys.stdout).contains("the-key"));
    let without = host.minke_run(["build", "--ssh", "default", &folder]).env_remove("SSH_AUTH_SOCK").run();
    let _ = without.expect_code(1).expect_stderr("SSH_AUTH_SOCK");
}

#[test]
fn keys_of_files_are_lent_to_a_step_without_an_agent() {
    let host = Host::start();
    let sign = "\"/usr/bin/ssh-keygen\", \"-Y\", \"sign\", \"-U\", \"-n\", \"test\", \"-f\"";
    let project = Project::new(
        &host,
        &format!(
            "FROM scratch AS signed\nCOPY . /\nRUN --mount=type=ssh [\"/usr/bin/ssh-add\", \"-L\"]\n\
             RUN --mount=type=ssh [{sign}, \"/a.pub\", \"/text\"]\nRUN --mount=type=ssh [{sign}, \"/b.pub\", \"/other\"]\n\
             FROM scratch AS out\nCOPY --from=signed /text.sig /other.sig /\n\
             FROM signed AS order\nRUN --mount=type=ssh [\"/usr/bin/ssh-add\", \"-D\"]\n"
        ),
    );
    for program in ["/usr/bin/ssh-add", "/usr/bin/ssh-keygen"] {
        project.copy_program(program);
    }
    // OpenSSH asks who it is.
    let _ = project.write("etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
    let (a, b) = (host.path("a"), host.path("b"));
    ssh_key(&a, &["-t", "ed25519", "-N", ""]);
    ssh_key(&b, &["-t", "rsa", "-b", "2048", "-N", ""]);
    for (name, text) in [("a", "text"), ("b", "other")] {
        let key = fs::read_to_string(host.path(format!("{name}.pub"))).unwrap();
        let _ = project.write(&format!("{name}.pub"), &key);
        let _ = project.write(text, text);
    }
    let ssh = format!("default={},{}", a.display(), b.display());
    let out = host.path("out");
    let output = format!("type=local,dest={}", out.display());
    let args = ["--progress", "plain", "--ssh", &ssh, "--target"];
    let told = project.build(&[&args[..], &["out", "-o", &output]].concat()).expect_code(0);
    for key in ["a.pub", "b.pub"] {
        let key = fs::read_to_string(host.path(key)).unwrap();
        assert!(told.stderr.contains(key.trim()), "{key} {}", told.stderr);
    }
    for text in ["text", "other"] {
        let file = fs::File::open(project.folder.join(text)).unwrap();
        let mut check = Command::new("ssh-keygen");
        check.args(["-Y", "check-novalidate", "-n", "test", "-s"]).arg(out.join(format!("{text}.sig")));
        assert!(check.stdin(file).status().unwrap().success(), "{text}");
    }
    let _ = project.build(&[&args[..], &["order"]].concat()).expect_code(1);
    let compose = "services: {a: {build: {context: ., target: signed, ssh: ['default=../a,../b']}}}\n";
    let compose = project.write("compose.yaml", compose);
    let told = host.minke_words(&["compose", "-f", &compose, "build"]).run().expect_code(0);
    assert!((told.stdout + &told.stderr).matches("the-key").count() >= 2);
    let locked = host.path("locked");
    ssh_key(&locked, &["-t", "ed25519", "-N", "passphrase"]);
    let told =
        |path: &Path| project.build(&["--ssh", &format!("default={}", path.display())]).expect_code(1).stderr;
    assert!(told(&locked).contains("locked: it has a passphrase; add it to an agent with ssh-add"));
    assert!(told(&host.path("a.pub")).contains("a.pub: it is a public key; name the private one"));
}

#[test]
fn outputs_go_to_a_folder_an_archive_and_standard_output() {
    let host = Host::start();
    let project = Project::new(&host, "FROM scratch\nCOPY a /dir/\n");
    project.write("a", "content");
    let (folder, file) = (host.path("out"), host.path("out.tar"));
    fs::create_dir_all(folder.join("mine")).unwrap();
    symlink("/nowhere", folder.join("dir")).unwrap();
    let _ = project.build(&["-o", folder.to_str().unwrap()]).expect_code(0);
    assert_eq!(fs::read_to_string(folder.join("dir/a")).unwrap(), "content");
    assert!(folder.join("mine").is_dir());
    for kind in ["tar", "oci"] {
        let output = format!("type={kind},dest={}", file.display());
        let _ = project.build(&["--output", &output]).expect_code(0);
        let mut archive = tar::Archive::new(fs::File::open(&file).unwrap());
        let names =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        let names: Vec<_> = names.collect();
        let wanted = if kind == "tar" { "dir/a" } else { "index.json" };
        assert!(names.iter().any(|name| name.ends_with(wanted)), "{kind}: {names:?}");
    }
    let words = format!(
        "{} build -o - {} | tar -tf -",
        minke_testkit::program("minke").display(),
        project.folder.display()
    );
    let listed = host.client_run(PathBuf::from("sh"), ["-c", &words]).run().ok();
    assert!(listed.contains("dir/a"), "{listed}");
    let _ = project.build(&["-o", "type=local"]).expect_code(1).expect_stderr("dest is required");
    let _ = project.build(&["-o", "type=s3,bucket=x"]).expect_code(1).expect_stderr("could not be found");
    host.expect_nothing_left();
}

#[test]
fn of_twenty_thousand_files_three_are_sent() {
    let host = Host::start();
    let project = Project::new(&host, "FROM scratch\nCOPY many/7/7 x /\nCOPY link/8 /\n");
    for folder in 0..100 {
        for file in 0..200 {
            project.write(&format!("many/{folder}/{file}"), "1");
        }
    }
    project.write("x", "x");
    symlink("many/9", project.folder.join("link")).unwrap();
    let _ = project.build(&["-t", "made"]).expect_code(0);
    let sent: Vec<_> = fs::read_dir(host.path("root/build/contexts")).unwrap().flatten().collect();
    let sent: Vec<_> = sent.iter().flat_map(|slot| files_below(&slot.path())).collect();
    let mut sent: Vec<_> = sent.iter().map(String::as_str).filter(|name| *name != "Dockerfile").collect();
    sent.sort_unstable();
    assert_eq!(sent, ["7", "8", "link", "x"]);
    let _ = host.minke(["image", "rm", "made"]).expect_code(0);
}

#[test]
fn contexts_have_names_and_ignore_files_are_followed() {
    let host = Host::with_busybox();
    let project = Project::new(
        &host,
        "FROM base\nCOPY --from=more in /in\nCOPY . /all\nRUN --mount=from=more,target=/m cp /m/in /mounted\n",
    );
    for (name, text) in [("a", "a"), ("b.log", "b"), ("keep.log", "k"), ("../more/in", "more")] {
        project.write(name, text);
    }
    project.write(".dockerignore", "*.log\n!keep.log\n");
    let more = format!("more={}", host.path("more").display());
    let args = ["-t", "made", "--build-context", &more, "--build-context", "base=docker-image://busybox"];
    let _ = project.build(&args).expect_code(0);
    let listed = host.minke(["run", "--rm", "made", "sh", "-c", "ls /all; cat /in /mounted"]).ok();
    assert!(
        listed.contains("keep.log") && !listed.contains("b.log") && listed.ends_with("moremore"),
        "{listed}"
    );
    // A Dockerfile elsewhere has an ignore file of its own, and the rest of its folder is nobody's business.
    let elsewhere = project.write("../elsewhere/x.Dockerfile", "FROM busybox\nCOPY . /all\n");
    project.write("../elsewhere/x.Dockerfile.dockerignore", "a\n");
    let _ = project.build(&["-t", "made", "-f", &elsewhere]).expect_code(0);
    let listed = host.minke(["run", "--rm", "made", "ls", "/all"]).ok();
    assert_eq!(listed, "Dockerfile\nb.log\nkeep.log");
    host.expect_nothing_left();
}

#[test]
fn standard_input_is_an_archive_or_a_dockerfile() {
    let host = Host::with_busybox();
    let project = Project::new(&host, "FROM busybox\nCOPY a /\n");
    project.write("a", "from the folder");
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", &project.folder).unwrap();
    let tar = tar.into_inner().unwrap();
    for classic in ["", "0"] {
        let build = |args: &[&str], input: Vec<u8>| {
            host.minke_words(args).env("DOCKER_BUILDKIT", classic).input(input).run().expect_code(0)
        };
        let _ = build(&["build", "-t", "tar", "-"], tar.clone());
        assert_eq!(host.minke(["run", "--rm", "tar", "cat", "/a"]).ok(), "from the folder");
        let _ = build(&["build", "-t", "text", "-"], b"FROM busybox\nRUN echo hi >/said\n".to_vec());
        assert_eq!(host.minke(["run", "--rm", "text", "cat", "/said"]).ok(), "hi");
        let folder = project.folder.display().to_string();
        let _ = build(&["build", "-t", "both", "-f", "-", &folder], b"FROM busybox\nCOPY a /b\n".to_vec());
        assert_eq!(host.minke(["run", "--rm", "both", "cat", "/b"]).ok(), "from the folder");
    }
    host.expect_nothing_left();
}

#[test]
fn files_of_metadata_and_ids_are_written_as_buildx_writes_them() {
    let host = Host::with_busybox();
    let project = Project::new(&host, "FROM busybox\nCMD [\"true\"]\n");
    let (id, metadata) = (host.path("id"), host.path("metadata.json"));
    let args =
        ["-t", "made", "--iidfile", id.to_str().unwrap(), "--metadata-file", metadata.to_str().unwrap()];
    let _ = project.build(&args).expect_code(0);
    let image = host.minke(["image", "inspect", "-f", "{{.Id}}", "made"]).ok();
    assert_eq!(fs::read_to_string(id).unwrap(), image);
    let metadata: Value = serde_json::from_str(&fs::read_to_string(metadata).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.config.digest"], *image);
    assert!(metadata["buildx.build.ref"].as_str().unwrap().starts_with("default/default/"));
    assert!(metadata["image.name"].as_str().unwrap().contains("made"));
    assert_eq!(project.build(&["-q"]).ok(), image);
    host.expect_nothing_left();
}

#[test]
fn a_build_is_asked_what_it_takes_and_what_is_wrong_with_it() {
    let host = Host::with_busybox();
    let project = Project::new(
        &host,
        "FROM busybox AS One\nARG LEVEL=3\nRUN --mount=type=secret,id=key,required true\nFROM scratch AS two\nCOPY --from=One /bin/sh /\n",
    );
    let checked = project.build(&["--check"]).expect_code(1);
    assert!(checked.stdout.contains("StageNameCasing"), "{}", checked.stdout);
    let outline = project.build(&["--call", "outline"]).expect_code(0);
    for word in ["TARGET:", "LEVEL", "key"] {
        assert!(outline.stdout.contains(word), "{word}: {}", outline.stdout);
    }
    let targets = project.build(&["--call", "targets,format=json"]).expect_code(0);
    let targets: Value = serde_json::from_str(&targets.stdout).unwrap();
    assert_eq!(targets["targets"][1]["name"], "two");
    host.expect_nothing_left();
}

#[test]
fn a_failed_step_shows_its_lines_and_limits_take_the_classic_way() {
    let host = Host::with_busybox();
    let project = Project::new(&host, "FROM busybox\nRUN echo the reason >&2; exit 3\n");
    let failed = project.build(&[]).expect_code(3);
    for text in [
        "the reason",
        "Dockerfile:2",
        ">>> RUN echo the reason",
        "did not complete successfully: exit code: 3",
    ] {
        assert!(failed.stderr.contains(text), "{text}: {}", failed.stderr);
    }
    project.write("Dockerfile", "FROM busybox\nRUN true\n");
    let _ = project.build(&["--memory", "64m"]).expect_code(0);
    let both = project.build(&["--memory", "64m", "--secret", "id=a,env=PATH"]);
    let _ = both.expect_code(1).expect_stderr("--secret needs BuildKit");
    let missing = project.build(&["-f", "nowhere"]);
    let _ = missing.expect_code(1).expect_stderr("failed to read dockerfile: open nowhere");
    host.expect_nothing_left();
}

#[test]
fn what_is_built_is_pushed_and_its_steps_come_back_from_a_registry() {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let (image, cache) =
        (registry.name("app:1"), format!("type=registry,ref={}", registry.name("app:cache")));
    let cache_to = format!("{cache},mode=max");
    let project = Project::new(&host, "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid >/made\n");
    let _ = project.build(&["--push", "-t", &image, "--cache-to", &cache_to]).expect_code(0);
    let _ = host.minke(["rmi", "-f", &image]);
    let _ = host.minke(["pull", "-q", &image]).expect_code(0);
    let made = host.minke(["run", "--rm", &image, "cat", "/made"]).ok();
    let _ = host.minke(["rmi", "-f", &image]).expect_code(0);
    let _ = host.minke(["builder", "prune", "-a", "-f"]).expect_code(0);
    let again = project.build(&["-t", "again", "--cache-from", &cache]).expect_code(0);
    assert!(again.stderr.contains("CACHED"), "{again}");
    assert_eq!(host.minke(["run", "--rm", "again", "cat", "/made"]).ok(), made);
    drop(registry);
    host.expect_nothing_left();
}
