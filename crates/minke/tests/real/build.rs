//! `build`: Dockerfiles of many kinds through Docker's classic call; the cache; hostile files; kills.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use minke_testkit::{Host, Ran, Run};

/// A directory to build from.
pub(crate) struct Project(tempfile::TempDir);

impl Project {
    pub(crate) fn new(dockerfile: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.write("Dockerfile", dockerfile);
        project
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

pub(crate) fn run<const N: usize>(host: &Host, project: &Project, args: [&str; N]) -> Run {
    let mut words = vec!["build"];
    words.extend(args);
    words.push(".");
    let run = Run::new(minke_testkit::docker_cli(), words).within(host.netns());
    run.env("DOCKER_HOST", host.endpoint()).env("DOCKER_BUILDKIT", "0").current_dir(project.path())
}

pub(crate) fn build<const N: usize>(host: &Host, project: &Project, args: [&str; N]) -> Ran {
    run(host, project, args).run()
}

fn id(host: &Host, image: &str) -> String {
    host.docker(["image", "inspect", "-f", "{{.Id}}", image]).ok()
}

#[test]
fn a_dockerfile_becomes_an_image_with_its_files_and_configuration() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nARG WHO=nobody\nENV GREETING=hello\nWORKDIR /srv/app\nCOPY --chown=33:33 --chmod=640 file.txt sub/ ./\n\
         RUN echo \"$GREETING $WHO\" >said && rm /etc/group\nLABEL a=b\nEXPOSE 80\nUSER 33\nENTRYPOINT [\"cat\"]\nCMD [\"said\"]\n",
    );
    project.write("file.txt", "text");
    project.write("sub/inner", "inner");
    let built = build(&host, &project, ["-t", "app:1", "--build-arg", "WHO=world", "--label", "c=d"]);
    let _ = built.expect_code(0).expect_stdout("Successfully tagged app:1");
    assert_eq!(host.docker(["run", "--rm", "app:1"]).ok(), "hello world");
    let seen = "stat -c '%a %u %g' file.txt inner; pwd; test -e /etc/group || echo gone; ls /";
    let seen = host.docker(["run", "--rm", "--entrypoint", "sh", "app:1", "-c", seen]).ok();
    assert!(seen.starts_with("640 33 33\n640 33 33\n/srv/app\ngone"), "{seen}");
    let of = |format: &str| host.docker(["image", "inspect", "-f", format, "app:1"]).ok();
    assert_eq!(of("{{.Config.Labels.a}} {{.Config.Labels.c}} {{.Config.User}}"), "b d 33");
    assert_eq!(of("{{json .Config.Cmd}} {{json .Config.ExposedPorts}}"), "[\"said\"] {\"80/tcp\":{}}");
    // WORKDIR, COPY and RUN are layers on the base's one.
    assert_eq!(of("{{len .RootFS.Layers}}"), "4");
    let history = host.docker(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "app:1"]).ok();
    assert!(history.contains("RUN") && history.contains("COPY"), "{history}");
    host.expect_nothing_left();
}

#[test]
fn a_touched_file_is_a_hit_and_a_changed_one_is_not() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nCOPY file /\nRUN cat /proc/sys/kernel/random/uuid >/stamp\nCOPY late /\n",
    );
    project.write("file", "same");
    project.write("late", "one");
    let _ = build(&host, &project, ["-t", "first"]).expect_code(0);
    std::thread::sleep(Duration::from_millis(20));
    project.write("file", "same");
    let again = build(&host, &project, ["-t", "second"]).expect_code(0);
    let _ = again.expect_stdout("Using cache");
    assert_eq!(id(&host, "first"), id(&host, "second"));
    project.write("late", "two");
    let _ = build(&host, &project, ["-t", "third"]).expect_code(0);
    let stamp = |image: &str| host.docker_run(["run", "--rm", image, "cat", "/stamp"]).ok();
    assert_eq!(stamp("first"), stamp("third"));
    assert_eq!(host.docker(["run", "--rm", "third", "cat", "/late"]).ok(), "two");
    let _ = build(&host, &project, ["-t", "fourth", "--no-cache"]).expect_code(0);
    assert_ne!(stamp("first"), stamp("fourth"));
    host.expect_nothing_left();
}

/// A stage that waits for another must not take the engine's stack for it.
#[test]
fn stages_on_each_other_are_built_however_many() {
    let host = Host::with_busybox();
    let many = 150;
    let from = |number: usize| format!("FROM s{} AS s{number}\n", number - 1);
    let copy = |number: usize| format!("FROM scratch AS s{number}\nCOPY --from=s{} /f /f\n", number - 1);
    let texts: [&dyn Fn(usize) -> String; 2] = [&from, &copy];
    for text in texts {
        let rest: String = (1..many).map(text).collect();
        let project = Project::new(&format!("FROM busybox AS s0\nRUN echo deep >/f\n{rest}"));
        for name in ["first", "again"] {
            let _ = build(&host, &project, ["-q", "-t", name]).expect_code(0);
        }
        assert_eq!(id(&host, "first"), id(&host, "again"));
    }
    host.expect_nothing_left();
}

#[test]
fn only_the_stages_that_the_target_needs_are_built() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS broken\nRUN exit 9\nFROM busybox AS make\nRUN mkdir /out && echo made >/out/file && ln -s file /out/link\n\
         FROM scratch AS files\nCOPY --from=make /out/ /out/\nFROM busybox\nCOPY --from=files /out /got\nRUN cat /got/link >/read\n",
    );
    let _ = build(&host, &project, ["-t", "last"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "last", "cat", "/read"]).ok(), "made");
    let refused = build(&host, &project, ["--target", "broken"]);
    let _ = refused.expect_code(9).expect_stderr("returned a non-zero code: 9");
    host.expect_nothing_left();
}

#[test]
fn mounts_of_a_step_are_there_while_it_runs_and_never_in_a_layer() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS from\nRUN mkdir /data && echo bound >/data/file\nFROM busybox\n\
         RUN --mount=type=cache,target=/var/cache/x echo -n 1 >>/var/cache/x/count && cp /var/cache/x/count /count\n\
         RUN --mount=type=bind,from=from,source=/data,target=/mnt/a --mount=type=tmpfs,target=/mnt/b \
         cat /mnt/a/file >/bound && touch /mnt/b/gone && ! touch /mnt/a/new\n\
         RUN --mount=target=/ctx cat /ctx/file >>/bound\nRUN --network=none ! ip addr | grep -q eth0\n",
    );
    project.write("file", "context\n");
    let _ = build(&host, &project, ["-t", "one"]).expect_code(0);
    // A build without cache has an empty one, and leaves the other alone.
    let _ = build(&host, &project, ["-t", "two", "--no-cache"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "two", "cat", "/count", "/bound"]).ok(), "1bound\ncontext");
    let changed =
        fs::read_to_string(project.path().join("Dockerfile")).unwrap().replace("echo -n 1", "echo -n 2");
    project.write("Dockerfile", &changed);
    let _ = build(&host, &project, ["-t", "three"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "three", "cat", "/count"]).ok(), "12");
    assert_eq!(
        host.docker(["run", "--rm", "two", "sh", "-c", "ls /mnt /ctx /var/cache 2>/dev/null | wc -l"]).ok(),
        "0"
    );
    host.expect_nothing_left();
}

#[test]
fn caches_of_one_name_that_begin_differently_are_different_ones() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS from\nRUN mkdir /data && touch /data/filled\nFROM busybox\nRUN --mount=type=cache,target=/c touch /c/a\n\
         RUN --mount=type=cache,target=/c,from=from,source=/data ls /c >/begun\nUSER 10\n\
         RUN --mount=type=cache,uid=10,target=/c touch /c/b && ls /c >/tmp/own\n\
         USER 0\nRUN --mount=type=cache,target=/c ls /c >/plain\n",
    );
    let _ = build(&host, &project, ["-t", "caches"]).expect_code(0);
    assert_eq!(
        host.docker(["run", "--rm", "caches", "cat", "/plain", "/begun", "/tmp/own"]).ok(),
        "a\nfilled\nb"
    );
    host.expect_nothing_left();
}

#[test]
fn links_lead_nowhere_outside() {
    let host = Host::with_busybox();
    fs::write(host.path("secret"), "of the host").unwrap();
    let secret = host.path("secret");
    let project = Project::new(&format!(
        "FROM busybox AS evil\nRUN ln -s {} /out && ln -s / /top && mkdir /d && ln -s /etc /d/etc\nFROM busybox\nCOPY --from=evil /out /stolen\n",
        secret.display()
    ));
    let refused = build(&host, &project, ["-t", "evil"]);
    assert!(!refused.stdout.contains("of the host") && refused.code != Some(0));
    // A link in the context is one in the image; one that a copy goes through ends at the context's top.
    project.write("Dockerfile", "FROM busybox\nCOPY link /copied\n");
    symlink(&secret, project.path().join("link")).unwrap();
    let _ = build(&host, &project, ["-t", "evil"]).expect_code(1);
    // A destination is the container's own.
    project
        .write("Dockerfile", "FROM busybox\nRUN rm -rf /srv && ln -s /../../etc /srv\nCOPY file /srv/here\n");
    project.write("file", "x");
    let _ = build(&host, &project, ["-t", "inside"]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "inside", "cat", "/etc/here"]).ok(), "x");
    assert!(!Path::new("/etc/here").exists());
    host.expect_nothing_left();
}

#[test]
fn what_needs_an_entitlement_is_refused_without_one() {
    let host = Host::with_busybox();
    let project = Project::new("# syntax=docker/dockerfile:1\nFROM busybox\nRUN --security=insecure true\n");
    let _ =
        build(&host, &project, ["-t", "x"]).expect_code(1).expect_stderr("security.insecure is not allowed");
    host.expect_nothing_left();
}

#[test]
fn two_builds_of_one_epoch_have_one_digest() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nCOPY file /dir/\nRUN echo x >/made && mkdir /m\nWORKDIR /w\n");
    project.write("file", "x");
    let epoch = ["--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-t"];
    let [a, b, c, d] = epoch;
    let _ = build(&host, &project, [a, b, c, d, "one"]).expect_code(0);
    std::thread::sleep(Duration::from_millis(1100));
    let _ = build(&host, &project, [a, b, c, d, "two"]).expect_code(0);
    assert_eq!(id(&host, "one"), id(&host, "two"));
    host.expect_nothing_left();
}

#[test]
fn ignored_files_heredocs_and_triggers_are_as_in_docker() {
    let host = Host::with_busybox();
    let base = Project::new("FROM busybox\nONBUILD RUN echo triggered >/triggered\n");
    let _ = build(&host, &base, ["-t", "base"]).expect_code(0);
    let project = Project::new(
        "FROM base\nCOPY . /all/\nCOPY <<EOF /made\nhere\nEOF\nRUN <<EOF\necho one >/two\necho two >>/two\nEOF\nHEALTHCHECK CMD true\n",
    );
    project.write(".dockerignore", "*.log\nnode_modules\n!keep.log\n");
    for name in ["a.log", "keep.log", "node_modules/x", "src/b.log", "main"] {
        project.write(name, name);
    }
    let _ = build(&host, &project, ["-t", "kinds"]).expect_code(0);
    let seen =
        host.docker(["run", "--rm", "kinds", "sh", "-c", "cat /triggered /made /two; cd /all; ls -d *"]).ok();
    assert_eq!(seen, "triggered\nhere\none\ntwo\nDockerfile\nkeep.log\nmain\nsrc");
    host.expect_nothing_left();
}

#[test]
fn a_dockerfile_may_lie_outside_of_its_context_or_come_by_standard_input() {
    let host = Host::with_busybox();
    let outside = Project::new("FROM busybox\nCOPY . /all/\nRUN cd /all && ls -a >/list\n");
    let project = Project::new("FROM busybox\nRUN false\n");
    project.write("file", "x");
    project.write(".dockerignore", "Dockerfile\n");
    let path = outside.path().join("Dockerfile").display().to_string();
    let _ = build(&host, &project, ["-t", "one", "-f", &path]).expect_code(0);
    let text = fs::read_to_string(&path).unwrap();
    let _ = run(&host, &project, ["-t", "two", "-f", "-"]).input(text).run().expect_code(0);
    for image in ["one", "two"] {
        assert_eq!(host.docker(["run", "--rm", image, "cat", "/list"]).ok(), ".\n..\n.dockerignore\nfile");
    }
    host.expect_nothing_left();
}

#[test]
fn an_archive_is_unpacked_by_add_and_copied_by_copy() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nADD a.tar /added/\nCOPY a.tar /copied/\n");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o4755);
    header.set_uid(7);
    header.set_gid(8);
    header.set_cksum();
    tar.append_data(&mut header, "dir/file", &b"file"[..]).unwrap();
    fs::write(project.path().join("a.tar"), tar.into_inner().unwrap()).unwrap();
    let _ = build(&host, &project, ["-t", "archives"]).expect_code(0);
    let seen = "stat -c '%a %u %g' /added/dir/file; ls /copied";
    assert_eq!(host.docker(["run", "--rm", "archives", "sh", "-c", seen]).ok(), "4755 7 8\na.tar");
    host.expect_nothing_left();
}

#[test]
fn a_mistake_is_shown_with_its_line() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUNN echo\n");
    let _ = build(&host, &project, ["-t", "x"]).expect_code(1).expect_stderr("unknown instruction: RUNN");
    project.write("Dockerfile", "FROM busybox\nCOPY missing /\n");
    let _ = build(&host, &project, ["-t", "x"]).expect_code(1).expect_stderr("missing");
    host.expect_nothing_left();
}

#[test]
fn the_cache_is_shown_and_pruned() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null\n");
    let _ = build(&host, &project, ["-t", "big"]).expect_code(0);
    let shown = host.docker(["system", "df", "-v"]).ok();
    assert!(shown.contains("regular"), "{shown}");
    let _ = host.docker(["rmi", "big"]).ok();
    // What a filter leaves out stays.
    for (filter, told) in [
        ("inuse=true", "0B"),
        ("type=source.local", "0B"),
        ("id=^nothing", "0B"),
        ("shared=perhaps", "true or false"),
    ] {
        let pruned = host.docker(["builder", "prune", "-a", "-f", "--filter", filter]);
        let all = format!("{}{}", pruned.stdout, pruned.stderr);
        assert!(all.contains(told), "{filter}: {all}");
    }
    let pruned = host.docker(["builder", "prune", "-a", "-f"]).ok();
    assert!(pruned.contains("3.1"), "{pruned}");
    let layers = fs::read_dir(host.path("root/layers")).map(Iterator::count).unwrap_or(0);
    let _ = build(&host, &project, ["-t", "big"]).expect_code(0).expect_stdout("Running in");
    assert!(layers < 10);
    host.expect_nothing_left();
}

#[test]
fn an_engine_killed_in_the_middle_leaves_nothing_and_what_was_finished_counts() {
    let mut host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUN cat /proc/sys/kernel/random/uuid >/stamp\nRUN sleep 60\n");
    let mut child = run(&host, &project, ["-t", "x"]).spawn();
    let layers = host.path("");
    host.until("the second step runs", || {
        let _ = &layers;
        host.docker(["system", "df", "-v"]).stdout.contains("regular")
    });
    host.kill_daemon();
    let _ = child.wait();
    host.start_daemon();
    project.write("Dockerfile", "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid >/stamp\n");
    let _ = build(&host, &project, ["-t", "y"]).expect_code(0).expect_stdout("Using cache");
    host.expect_nothing_left();
}

#[test]
fn a_client_that_leaves_ends_its_build() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUN echo begun && sleep 77\n");
    let mut child = run(&host, &project, []).spawn();
    let sleeping = || {
        let list = std::process::Command::new("pgrep").args(["-x", "-f", "sleep 77"]).output().unwrap();
        !list.stdout.is_empty()
    };
    host.until("the step runs", sleeping);
    child.kill().unwrap();
    let _ = child.wait();
    host.until("the step is gone", || !sleeping());
    host.expect_nothing_left();
}

#[test]
fn an_engine_that_ends_when_a_client_has_just_left_waits_until_its_build_is_gone() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUN sleep 78\n");
    let mut child = run(&host, &project, []).spawn();
    host.until("the step runs", || {
        let list = std::process::Command::new("pgrep").args(["-x", "-f", "sleep 78"]).output().unwrap();
        !list.stdout.is_empty()
    });
    child.kill().unwrap();
    let _ = child.wait();
    host.expect_nothing_left();
}

#[test]
fn a_step_that_takes_too_much_memory_says_so() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUN tail /dev/zero\n");
    let _ = build(&host, &project, ["--memory", "32m", "--memory-swap", "32m"]).expect_code(137);
    host.expect_nothing_left();
}

#[test]
fn programs_of_steps_have_long_turns_and_those_of_containers_the_usual() {
    let host = Host::with_busybox();
    let turn = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("se.slice"))?;
        line.rsplit(' ').next()?.parse::<u64>().ok()
    };
    // Linux shows it where it takes it, since 6.12.
    let usual = turn(&fs::read_to_string("/proc/self/sched").unwrap());
    let project = Project::new("FROM busybox\nRUN cat /proc/self/sched >/sched\n");
    let _ = build(&host, &project, ["-t", "turns"]).expect_code(0);
    let of_the_step = host.docker(["run", "--rm", "turns", "cat", "/sched"]).ok();
    assert_eq!(turn(&of_the_step), usual.map(|_| 100_000_000), "{of_the_step}");
    assert_eq!(turn(&host.docker(["run", "--rm", "turns", "cat", "/proc/self/sched"]).ok()), usual);
    host.expect_nothing_left();
}

#[test]
fn modes_of_scripts_survive_and_a_program_that_is_not_there_has_its_code() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nCOPY run.sh /\nRUN /run.sh\n");
    project.write("run.sh", "#!/bin/sh\necho ran >/ran\n");
    fs::set_permissions(project.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let _ = build(&host, &project, ["-t", "script"]).expect_code(0);
    project.write("Dockerfile", "FROM busybox\nRUN [\"/nowhere\"]\n");
    let _ = build(&host, &project, ["-t", "x"]).expect_code(127);
    host.expect_nothing_left();
}

#[test]
fn minkes_own_command_builds_and_shows_what_failed() {
    let host = Host::with_busybox();
    let project =
        Project::new("FROM busybox\nARG WHO\nRUN echo hello $WHO >/said\nCMD [\"cat\", \"/said\"]\n");
    let (directory, id_file) = (project.path().display().to_string(), host.path("iid").display().to_string());
    let args = ["build", "-t", "own", "--build-arg", "WHO=you", "--iidfile", &id_file, &directory];
    let built = host.minke(args).expect_code(0);
    assert!(built.stderr.contains("RUN echo hello") && built.stderr.contains("DONE"), "{}", built.stderr);
    assert_eq!(host.minke(["run", "--rm", "own"]).ok(), "hello you");
    assert_eq!(fs::read_to_string(&id_file).unwrap(), id(&host, "own"));
    let again = host.minke(["build", "-q", "--build-arg", "WHO=you", &directory]).ok();
    assert_eq!(again, id(&host, "own"));
    project.write("Dockerfile", "FROM busybox\nRUN echo the reason >&2; exit 3\n");
    let failed = host.minke(["build", &directory]).expect_code(3);
    assert!(failed.stderr.matches("the reason").count() >= 2, "{}", failed.stderr);
    host.expect_nothing_left();
}

#[test]
fn taking_mount_points_away_follows_no_link_of_the_steps() {
    let host = Host::with_busybox();
    fs::create_dir(host.path("victim")).unwrap();
    fs::write(host.path("victim/x"), "").unwrap();
    let victim = host.path("victim");
    let text = format!(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/m/x mv /m /n && ln -s {} /m\n",
        victim.display()
    );
    let _ = build(&host, &Project::new(&text), ["-t", "moved"]).expect_code(0);
    assert!(victim.join("x").exists());
    host.expect_nothing_left();
}

#[test]
fn an_endless_log_is_cut_off_and_the_step_goes_on() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nRUN yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 40000000; echo done >/done\n",
    );
    let built = build(&host, &project, ["-t", "long"]).expect_code(0);
    assert!(
        built.stdout.contains("output clipped, log limit 2MiB reached") && built.stdout.len() < 3 << 20,
        "{}",
        built.stdout.len()
    );
    assert_eq!(host.docker(["run", "--rm", "long", "cat", "/done"]).ok(), "done");
    host.expect_nothing_left();
}

#[test]
fn a_build_in_anothers_network_has_its_names_and_is_told_unused_arguments() {
    let host = Host::with_busybox();
    let _ = host
        .docker(["run", "-d", "--name", "box", "--add-host", "known:10.1.2.3", "busybox", "sleep", "600"])
        .ok();
    let project = Project::new("FROM busybox\nARG USED\nRUN cat /etc/hosts\n");
    let args = ["--network", "container:box", "--build-arg", "USED=1", "--build-arg", "OTHER=2"];
    let built = build(&host, &project, args).expect_code(0);
    let _ = built
        .expect_stdout("10.1.2.3")
        .expect_stdout("[Warning] One or more build-args [OTHER] were not consumed");
    host.expect_nothing_left();
}

#[test]
fn a_program_runs_again_where_the_build_gives_it_something_else() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nRUN cat /proc/sys/kernel/random/uuid >/when\n");
    let mut seen = std::collections::BTreeSet::new();
    let ways: [&[&str]; 6] = [
        &[],
        &["--network", "none"],
        &["--add-host", "there:10.0.0.1"],
        &["--add-host", "elsewhere:10.0.0.1"],
        &["--shm-size", "5m"],
        &["--ulimit", "nofile=99"],
    ];
    for way in ways {
        let built = |tag: &str| {
            let mut words = vec!["build"];
            words.extend(way);
            words.extend(["-q", "-t", tag, "."]);
            let run = Run::new(minke_testkit::docker_cli(), words).within(host.netns());
            let run = run.env("DOCKER_HOST", host.endpoint()).env("DOCKER_BUILDKIT", "0");
            run.current_dir(project.path()).run().ok()
        };
        let first = built("first");
        assert_eq!(built("again"), first, "{way:?}");
        assert!(seen.insert(first), "{way:?}");
    }
    let _ = build(&host, &project, ["-t", "there", "--add-host", "there:10.0.0.2"]).expect_code(0);
    assert!(seen.contains(&id(&host, "there")), "an address alone makes no difference, as in BuildKit");
    host.expect_nothing_left();
}

#[test]
fn what_would_be_lost_can_not_be_written() {
    let host = Host::with_busybox();
    for file in ["hosts", "resolv.conf"] {
        let project = Project::new(&format!("FROM busybox\nRUN echo lost >>/etc/{file}\n"));
        let _ = build(&host, &project, []).expect_code(1).expect_stdout("Read-only file system");
    }
    host.expect_nothing_left();
}
