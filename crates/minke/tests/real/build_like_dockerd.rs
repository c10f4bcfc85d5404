//! The same Dockerfiles built on Debian's dockerd and on minke by the same client: equal configurations and equal files.
//!
//! That dockerd's BuildKit is of version 0.8. What it doesn't know is not in the tables: here-documents, `COPY --link`, `--parents` and
//! `--exclude`, `ADD` of repositories, words in `--chmod`. What it does otherwise than BuildKit does today is evened out, each with its reason.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod cases;
mod saved;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use minke_testkit::{Entry, Host, Ran, Rootfs, Run, buildx};
use serde_json::Value;

use saved::Saved;

/// A client's folder, and the two engines.
struct Both {
    folder: tempfile::TempDir,
    engines: [Host; 2],
}

impl Both {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let context = folder.path().join("context");
        std::fs::create_dir(&context).unwrap();
        let _ = Run::new("sh", ["-euc", cases::CONTEXT]).current_dir(&context).run().expect_code(0);
        let both = Self { folder, engines: [Host::with_dockerd(), Host::with_busybox()] };
        for engine in &both.engines {
            engine.import("base", base());
        }
        both
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Builds a Dockerfile without a network, which dockerd has none for.
    fn build(&self, engine: &Host, name: &str, dockerfile: &str) -> Ran {
        let secret = format!("id=key,src={}", self.path("key").display());
        let context = self.path("context");
        let words =
            ["build", "--network=none", "--label=of=all", "--build-arg=GIVEN=given one", "--secret", &secret];
        let own = ["-t", name, "-f", "-", context.to_str().unwrap()];
        let run = engine.client_words(buildx(), &[&words[..], &own].concat()).input(dockerfile);
        run.env("BUILDKIT_PROGRESS", "plain").env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").run()
    }

    /// Builds them, and reads what came of them.
    fn images(&self, engine: &Host, cases: &[(&str, &str)]) -> Vec<Saved> {
        let archive = engine.path("saved.tar");
        let saved = cases.iter().map(|(name, dockerfile)| {
            let _ = self.build(engine, name, dockerfile).expect_code(0);
            let _ = engine.docker(["save", "-o", archive.to_str().unwrap(), name]).expect_code(0);
            Saved::read(&archive)
        });
        saved.collect()
    }

    fn end(self) {
        let [dockerd, minke] = self.engines;
        // Its BuildKit keeps a control group, which goes with the machine.
        drop(dockerd);
        minke.expect_nothing_left();
    }
}

/// busybox with something to replace. What is mounted while a step runs is there, since BuildKit 0.8 leaves in the layer what it
/// mounts on, empty; later ones don't.
fn base() -> Rootfs {
    let mut rootfs = Rootfs::busybox();
    for directory in [
        "mnt",
        "mnt/bind",
        "mnt/cache",
        "mnt/other",
        "mnt/tmpfs",
        "run",
        "run/secrets",
        "old",
        "old/folder",
        "old/moved",
    ] {
        rootfs = rootfs.add(directory, 0o755, Entry::Dir);
    }
    rootfs = rootfs.add("old/deep", 0o700, Entry::Dir);
    for file in ["etc/hosts", "etc/resolv.conf", "mnt/key", "run/secrets/key"] {
        rootfs = rootfs.add(file, 0o644, Entry::File(b""));
    }
    for file in [
        "old/file",
        "old/deep/file",
        "old/folder/file",
        "old/moved/file",
        "old/other",
        "old/mode",
        "old/time",
    ] {
        rootfs = rootfs.add(file, 0o640, Entry::File(file.as_bytes()));
    }
    rootfs.add("old/link", 0o777, Entry::Link("folder")).add("old/to-file", 0o777, Entry::Link("other"))
}

/// Without what is different each time, and without what BuildKit 0.8 writes in other words.
fn evened(config: &Value) -> Value {
    let mut config = config.clone();
    let layers = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    config["rootfs"] = layers.into();
    // Of the time and the container of a build there may be anything.
    let fields = config.as_object_mut().unwrap();
    fields.retain(|name, _| {
        !matches!(
            name.as_str(),
            "created" | "docker_version" | "container" | "container_config" | "os.version"
        )
    });
    for entry in config["history"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("created");
        let said = entry["created_by"].as_str().unwrap_or_default();
        entry["created_by"] = match said.split_once(' ') {
            // Go's ways to print these have changed; what they say is in the configuration.
            Some((name @ ("EXPOSE" | "HEALTHCHECK"), _)) => name.into(),
            // The value that was given is said since.
            Some(("ARG", rest)) => rest.split('=').next().into(),
            // Flags are said since.
            Some((name @ ("COPY" | "ADD"), rest)) => format!(
                "{name} {}",
                rest.split(' ').filter(|word| !word.starts_with("--")).collect::<Vec<_>>().join(" ")
            )
            .into(),
            _ => said.into(),
        };
    }
    without_empty(&config)
}

/// Fields that are empty and fields that are missing mean the same.
fn without_empty(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let fields = fields.iter().map(|(name, value)| (name.clone(), without_empty(value)));
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    // Sets have empty objects for values.
    fields.filter(|(name, value)| says(value) || name.contains('/')).collect::<serde_json::Map<_, _>>().into()
}

/// Where two images differ, a line each.
fn differences(theirs: &Saved, ours: &Saved, began: u64) -> String {
    let mut found = String::new();
    let mut compare = |what: &str, theirs: Option<&str>, ours: Option<&str>| {
        if theirs != ours {
            let shown = |side: Option<&str>| side.unwrap_or("nothing").to_owned();
            writeln!(found, "  {what}\n    dockerd: {}\n    minke:   {}", shown(theirs), shown(ours))
                .unwrap();
        }
    };
    let configs = [evened(&theirs.config), evened(&ours.config)];
    let lines = configs.each_ref().map(saved::leaves);
    for name in lines.iter().flat_map(|lines| lines.keys()).collect::<BTreeSet<_>>() {
        compare(name, lines[0].get(name).map(String::as_str), lines[1].get(name).map(String::as_str));
    }
    let files = [theirs.described(began), ours.described(began)];
    for path in files.iter().flat_map(|files| files.keys()).collect::<BTreeSet<&PathBuf>>() {
        let of = |side: usize| files[side].get::<Path>(path).map(String::as_str);
        compare(&path.display().to_string(), of(0), of(1));
    }
    found
}

fn expect_equal_images(cases: &[(&str, &str)]) {
    let both = Both::start();
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let [theirs, ours] = thread::scope(|scope| {
        let built = both.engines.each_ref().map(|engine| scope.spawn(|| both.images(engine, cases)));
        built.map(|images| images.join().expect("all are built"))
    });
    let mut report = String::new();
    for ((name, _), (theirs, ours)) in cases.iter().zip(theirs.iter().zip(&ours)) {
        assert!(!theirs.config["history"].as_array().unwrap().is_empty(), "{name}");
        let found = differences(theirs, ours, began);
        if !found.is_empty() {
            writeln!(report, "{name}:\n{found}").unwrap();
        }
    }
    assert!(report.is_empty(), "images differ\n{report}");
    both.end();
}

#[test]
fn copied_and_unpacked_files_are_equal() {
    expect_equal_images(&cases::COPIES);
}

#[test]
fn configurations_and_histories_are_equal() {
    expect_equal_images(&cases::CONFIGURATIONS);
}

#[test]
fn what_steps_see_and_leave_is_equal() {
    expect_equal_images(&cases::RUNS);
}

#[test]
fn both_refuse_the_same() {
    let both = Both::start();
    let mut report = String::new();
    for dockerfile in cases::REFUSED {
        let codes = both.engines.each_ref().map(|engine| both.build(engine, "refused", dockerfile).code);
        if codes != [Some(1); 2] {
            writeln!(report, "{dockerfile:?}: {codes:?}").unwrap();
        }
    }
    assert!(report.is_empty(), "dockerd and minke end with\n{report}");
    both.end();
}
