//! Builds on a disk that fills up, of archives that are bombs, against each other, and killed at any moment.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{fs, io::Write, path::PathBuf, time::Duration};

use minke_testkit::{Host, Rootfs, Run};

use crate::build::{Project, build, run};

/// A host whose engine's root is a file system in memory of so many mebibytes.
struct Small {
    host: Host,
    root: PathBuf,
}

impl Small {
    fn new(mebibytes: u32) -> Self {
        let mut host = Host::without_engine();
        let root = host.path("root");
        fs::create_dir(&root).unwrap();
        let size = format!("size={mebibytes}m");
        let _ = Run::new("mount", ["-t", "tmpfs", "-o", &size, "minke-test"])
            .arg(&root.display().to_string())
            .run()
            .expect_code(0);
        host.start_daemon();
        host.import("busybox", Rootfs::busybox());
        Self { host, root }
    }

    /// Bytes of the file system that are taken.
    fn used(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.root).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    /// No workspace is there, and no more is taken than `before`, but for what a database grows by.
    fn expect_clean(&self, before: u64) {
        self.host.until("workspaces are gone", || {
            fs::read_dir(self.root.join("containers")).unwrap().count() == 0
        });
        self.host.until("the disk is as it was", || self.used() < before + (4 << 20));
        let staging = ["content/ingest", "layers/.staging"].map(|name| self.root.join(name));
        let left = staging.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().count();
        assert_eq!(left, 0);
    }

    fn end(mut self) {
        self.host.stop_daemon();
        let _ = Run::new("umount", [&self.root]).run().expect_code(0);
        self.host.start_daemon();
        self.host.expect_nothing_left();
    }
}

#[test]
fn a_disk_that_fills_up_ends_a_step_and_nothing_of_it_is_left() {
    let small = Small::new(64);
    let before = small.used();
    let project = Project::new("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=200\n");
    let full = build(&small.host, &project, ["-t", "full"]).expect_code(1);
    assert!(full.stdout.contains("No space left on device"), "{}", full.stdout);
    small.expect_clean(before);
    // There is room for what it wrote, and not for the layer that is made of it.
    project.write("Dockerfile", "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=36 2>/dev/null\n");
    let full = build(&small.host, &project, ["-t", "full"]).expect_code(1);
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
    small.expect_clean(before);
    project.write("Dockerfile", "FROM busybox\nRUN echo fits >/small\n");
    let _ = build(&small.host, &project, ["-t", "fits"]).expect_code(0);
    assert_eq!(small.host.docker(["run", "--rm", "fits", "cat", "/small"]).ok(), "fits");
    small.end();
}

#[test]
fn an_archive_that_is_a_bomb_fills_the_disk_and_nothing_else() {
    let small = Small::new(64);
    let before = small.used();
    let project = Project::new("FROM busybox\nADD bomb.tar.gz /\n");
    let bomb = Rootfs::empty().add("zeros", 0o644, minke_testkit::Entry::File(&vec![0; 256 << 20])).tar();
    let file = fs::File::create(project.path().join("bomb.tar.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&bomb).unwrap();
    encoder.finish().unwrap();
    let full = build(&small.host, &project, ["-t", "bomb"]).expect_code(1);
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
    small.expect_clean(before);
    // As a context, too.
    let body = fs::read(project.path().join("bomb.tar.gz")).unwrap();
    let full = small.host.minke_run(["build", "-"]).input(body).run().expect_code(1);
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
    small.expect_clean(before);
    small.end();
}

#[test]
fn archives_of_every_compression_are_unpacked_and_taken_as_contexts() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nADD a.tar.bz2 /bz2/\nADD a.tar.xz /xz/\nADD a.tar.gz /gz/\nADD half.tar.xz /half/\n",
    );
    fs::create_dir(host.path("files")).unwrap();
    fs::write(host.path("files/file"), "packed").unwrap();
    fs::write(host.path("files/Dockerfile"), "FROM busybox\nCOPY file /\n").unwrap();
    for (flag, name) in [("-j", "a.tar.bz2"), ("-J", "a.tar.xz"), ("-z", "a.tar.gz")] {
        let path = project.path().join(name).display().to_string();
        let words = ["-c", flag, "-f", &path, "-C", &host.path("files").display().to_string(), "."];
        let _ = Run::new("tar", words).run().expect_code(0);
        let context = fs::read(&path).unwrap();
        let _ = host.minke_run(["build", "-t", "context", "-"]).input(context).run().expect_code(0);
        assert_eq!(host.docker(["run", "--rm", "context", "cat", "/file"]).ok(), "packed");
    }
    // One that is cut off is an archive all the same, and no file to be copied as it is.
    let whole = fs::read(project.path().join("a.tar.xz")).unwrap();
    fs::write(project.path().join("half.tar.xz"), &whole[..whole.len() - 30]).unwrap();
    let _ = build(&host, &project, ["-t", "half"]).expect_code(1).expect_stderr("unpack an archive");
    project.write("Dockerfile", "FROM busybox\nADD a.tar.bz2 /bz2/\nADD a.tar.xz /xz/\nADD a.tar.gz /gz/\n");
    let _ = build(&host, &project, ["-t", "all"]).expect_code(0);
    assert_eq!(
        host.docker(["run", "--rm", "all", "cat", "/bz2/file", "/xz/file", "/gz/file"]).ok(),
        "packedpackedpacked"
    );
    for compress in ["bzip2", "xz"] {
        let path = host.path(format!("saved-{compress}.tar")).display().to_string();
        let _ = host.docker(["save", "-o", &path, "all"]).expect_code(0);
        let packed = std::process::Command::new(compress).args(["-c", "-1", &path]).output().unwrap().stdout;
        let _ = host.docker(["rmi", "all"]).expect_code(0);
        let _ = host.docker_run(["load"]).input(packed).run().expect_code(0);
        assert_eq!(host.docker(["run", "--rm", "all", "cat", "/xz/file"]).ok(), "packed");
    }
    host.expect_nothing_left();
}

/// CVE-2024-23651: two steps at the same time, of which one makes the other's part of a cache lead elsewhere.
#[test]
fn a_cache_whose_folder_becomes_a_link_shows_nothing_of_the_host() {
    let host = Host::with_busybox();
    let secret = host.path("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("found"), "of the host").unwrap();
    let swap = format!(
        "i=0; while [ $i -lt 300 ]; do rm -rf /c/sub; ln -s {} /c/sub; rm -f /c/sub; mkdir /c/sub; i=$((i+1)); done",
        secret.display()
    );
    let mount = "--mount=type=cache,id=shared,sharing=shared";
    let look = (0..6).map(|number| {
        format!("RUN {mount},source=/sub,target=/s cat /s/found /s/sub/found >/looked{number} 2>/dev/null; touch /s/by-{number} /s/sub/by 2>/dev/null; true\n")
    });
    let look: String = look.collect();
    let project = Project::new(&format!(
        "FROM busybox AS swap\nRUN {mount},target=/c {swap}\nFROM busybox AS look\n{look}FROM busybox\nCOPY --from=swap /bin/sh /a\nCOPY --from=look /looked* /\n"
    ));
    // Where the folder isn't there just then, or is the link, there is nothing to mount.
    let ran = build(&host, &project, ["-t", "raced"]);
    match ran.code {
        Some(0) => {
            let seen = host.docker(["run", "--rm", "raced", "sh", "-c", "cat /looked*"]).ok();
            assert_eq!(seen, "");
        }
        _ => assert!(ran.stderr.contains("failed to mount \"/sub\": not found"), "{ran}"),
    }
    let look = format!(
        "FROM busybox\nRUN {mount},target=/c rm -rf /c/sub; PUT\nRUN {mount},source=/sub,target=/s ls /s >/seen\n"
    );
    let link = format!("ln -s {} /c/sub", secret.display());
    let linked = build(&host, &Project::new(&look.replace("PUT", &link)), []).expect_code(1);
    assert!(linked.stderr.contains("failed to mount \"/sub\": not found"), "{linked}");
    let own = look.replace("PUT", "mkdir /c/sub && touch /c/sub/own");
    let _ = build(&host, &Project::new(&own), ["-t", "own"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "own", "cat", "/seen"]).ok(), "own");
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
    host.expect_nothing_left();
}

/// CVE-2024-23652: what a mount was on is taken away after the step, whatever has become of its place.
#[test]
fn taking_a_mount_point_away_touches_no_file_of_the_host() {
    let host = Host::with_busybox();
    let victim = host.path("victim");
    fs::create_dir_all(victim.join("deep")).unwrap();
    fs::write(victim.join("empty"), "").unwrap();
    let project = Project::new(&format!(
        "FROM busybox\n\
         RUN --mount=type=tmpfs,target=/a/empty mv /a /b && ln -s {victim} /a\n\
         RUN --mount=type=cache,target=/c/deep mv /c /d && ln -s {victim} /c\n\
         RUN --mount=type=bind,target=/e/empty mv /e /f && ln -s {victim} /e\n\
         RUN --mount=type=tmpfs,target=/g/h/deep mv /g/h /i && ln -s ../../../../../../../../..{victim} /g/h\n",
        victim = victim.display()
    ));
    let _ = build(&host, &project, ["-t", "moved"]).expect_code(0);
    assert!(victim.join("empty").exists() && victim.join("deep").exists());
    host.expect_nothing_left();
}

#[test]
fn an_engine_killed_at_any_moment_of_a_build_leaves_nothing_behind() {
    let mut host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS one\nRUN dd if=/dev/urandom of=/a bs=1M count=30 2>/dev/null\nRUN sleep 0.2; cp /a /b\nFROM busybox\n\
         RUN --mount=type=cache,target=/c dd if=/dev/urandom of=/c/x bs=1M count=20 2>/dev/null; cp /c/x /d\n\
         COPY --from=one /a /b /\nRUN rm /b\n",
    );
    for delay in [20, 80, 160, 250, 350, 500, 700] {
        let mut child = run(&host, &project, ["-t", "killed"]).spawn();
        std::thread::sleep(Duration::from_millis(delay));
        host.kill_daemon();
        let _ = child.wait();
        host.start_daemon();
        host.until("workspaces are swept", || {
            fs::read_dir(host.path("root/containers")).unwrap().count() == 0
        });
        let listed = host.docker(["images", "-q", "killed"]).ok();
        if !listed.is_empty() {
            let _ = host.docker(["run", "--rm", "killed", "cat", "/a"]).expect_code(0);
        }
    }
    let _ = build(&host, &project, ["-t", "killed"]).expect_code(0);
    let sizes = host.docker(["run", "--rm", "killed", "sh", "-c", "stat -c %s /a /d; ls /b"]);
    assert!(sizes.stdout.starts_with("31457280\n20971520"), "{}", sizes.stdout);
    let _ = host.docker(["rmi", "killed"]).ok();
    let _ = host.docker(["builder", "prune", "-a", "-f"]).ok();
    // What no image has is gone with the cache: busybox is one layer.
    let layers = || fs::read_dir(host.path("root/layers")).unwrap().flatten();
    let count = || layers().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count();
    host.until("layers are gone", || count() == 1);
    let blobs = fs::read_dir(host.path("root/content/blobs/sha256")).unwrap().count();
    assert!(blobs <= 3, "{blobs} blobs");
    host.expect_nothing_left();
}

#[test]
fn what_a_step_may_not_do_is_refused_by_buildx_and_by_the_engine() {
    let host = crate::buildx::host();
    let text = "FROM base\nRUN --security=insecure grep CapEff /proc/self/status >/caps\n";
    let context = crate::buildx::files(&host, "context", &[("Dockerfile", text)]);
    let refused = crate::buildx::build(&host, ["build", "-t", "x", &context]).expect_code(1);
    assert!(refused.stderr.contains("security.insecure is not allowed"), "{}", refused.stderr);
    let text = "FROM base\nRUN mkdir /mnt; mount -t tmpfs none /mnt || mknod /dev/x b 8 0 || echo 1 >/proc/sys/vm/drop_caches || echo confined >/said\n";
    let context = crate::buildx::files(&host, "confined", &[("Dockerfile", text)]);
    let _ = crate::buildx::build(&host, ["build", "-t", "confined", &context]).expect_code(0);
    host.expect_nothing_left();
}

/// The processes whose command line has these words.
fn processes(words: &[&str]) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        words.iter().all(|word| line.contains(word))
    };
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has).collect()
}

/// The step's program goes with its supervisor: nothing writes into a folder that is being deleted.
#[test]
fn a_step_whose_supervisor_is_killed_ends_the_build() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUN sleep 43210 & exec sleep 43210\n");
    let mut child = run(&host, &project, ["-t", "never"]).spawn();
    host.until("the step runs", || processes(&["sleep 43210"]).len() >= 2);
    let supervisors = processes(&[" supervise ", &host.path("").display().to_string()]);
    assert_eq!(supervisors.len(), 1);
    let supervisor = rustix::process::Pid::from_raw(supervisors[0]).unwrap();
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(processes(&["sleep 43210"]), Vec::<i32>::new());
    host.expect_nothing_left();
}
