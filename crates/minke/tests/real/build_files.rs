//! What COPY, ADD and WORKDIR make of files: where they go, and whose they are.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use minke_testkit::Host;

use crate::build::{Project, build};

fn chmod(project: &Project, name: &str, mode: u32) {
    fs::set_permissions(project.path().join(name), Permissions::from_mode(mode)).unwrap();
}

fn seen(host: &Host, image: &str, script: &str) -> String {
    host.docker(["run", "--rm", image, "sh", "-c", script]).ok()
}

#[test]
fn several_files_onto_a_name_replace_each_other_unless_it_is_a_directory_by_then() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nCOPY w/*.txt /one\nCOPY w/a.txt w/b.txt /two\nADD w/a.txt w/b.txt /slash/\nCOPY w/d w/a.txt /made\nCOPY w/a.txt w/b.txt /tmp\n",
    );
    for (name, text) in [("w/a.txt", "a"), ("w/b.txt", "b"), ("w/d/inner", "inner")] {
        project.write(name, text);
    }
    let _ = build(&host, &project, ["-t", "several"]).expect_code(0);
    let found = seen(&host, "several", "cat /one /two && echo && ls /slash /made /tmp");
    assert_eq!(found, "bb\n/made:\na.txt\ninner\n\n/slash:\na.txt\nb.txt\n\n/tmp:\na.txt\nb.txt");
    host.expect_nothing_left();
}

#[test]
fn directories_on_the_way_of_parents_are_as_in_the_source_and_the_pivots_are_not() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nCOPY --parents x/y/z/f x/y/g /p/\nRUN mkdir -m 755 -p /q/x && chown 5:6 /q/x\nCOPY --parents x/y/./z/f x/y/g /q/\n\
         COPY --parents ./x/./ /r/\nCOPY --parents --chown=7 --chmod=750 x/y/z/* x/y/** /s/\n",
    );
    for name in ["x/y/z/f", "x/y/g"] {
        project.write(name, name);
    }
    for (name, mode) in [("x", 0o700), ("x/y", 0o2775), ("x/y/z", 0o1777), ("x/y/z/f", 0o640)] {
        chmod(&project, name, mode);
    }
    let _ = build(&host, &project, ["-t", "parents"]).expect_code(0);
    let modes = |paths: &str| seen(&host, "parents", &format!("stat -c '%a %u:%g %n' {paths}"));
    assert_eq!(
        modes("/p /p/x /p/x/y /p/x/y/z /p/x/y/z/f"),
        "755 0:0 /p\n700 0:0 /p/x\n2775 0:0 /p/x/y\n1777 0:0 /p/x/y/z\n640 0:0 /p/x/y/z/f"
    );
    // Of a directory that is there already the mode changes.
    assert_eq!(modes("/q /q/x /q/z"), "755 0:0 /q\n700 5:6 /q/x\n1777 0:0 /q/z");
    assert_eq!(modes("/r /r/y"), "755 0:0 /r\n2775 0:0 /r/y");
    assert_eq!(modes("/s/x/y/z /s/x/y/z/f"), "750 7:7 /s/x/y/z\n750 7:7 /s/x/y/z/f");
    // A copy is made anew when only a directory on its way has changed.
    chmod(&project, "x/y", 0o711);
    let _ = build(&host, &project, ["-t", "parents"]).expect_code(0);
    assert_eq!(modes("/p/x/y"), "711 0:0 /p/x/y");
    host.expect_nothing_left();
}

#[test]
fn unknown_users_files_are_roots_and_only_a_program_needs_its_user() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nCOPY --chown=nosuch:nosuch file /root-owned\nCOPY --chown=5:nosuch file /five\nUSER nosuch\nWORKDIR /made\n",
    );
    project.write("file", "text");
    let _ = build(&host, &project, ["-t", "unknown"]).expect_code(0);
    let owners =
        ["run", "--rm", "-u", "0", "unknown", "stat", "-c", "%u:%g", "/root-owned", "/five", "/made"];
    assert_eq!(host.docker(owners).ok(), "0:0\n5:5\n0:0");
    project.write("Dockerfile", "FROM busybox\nUSER nosuch\nRUN true\n");
    let _ =
        build(&host, &project, ["-t", "unknown"]).expect_code(1).expect_stderr("unable to find user nosuch");
    host.expect_nothing_left();
}

#[test]
fn an_archive_may_begin_with_an_entry_without_a_name() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nADD e.tar /e/\n");
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, std::io::empty()).unwrap();
    tar.append_data(&mut header, "x", std::io::empty()).unwrap();
    fs::write(project.path().join("e.tar"), tar.into_inner().unwrap()).unwrap();
    let _ = build(&host, &project, ["-t", "nameless"]).expect_code(0);
    assert_eq!(seen(&host, "nameless", "ls /e"), "x");
    host.expect_nothing_left();
}

#[test]
fn mount_points_behind_links_do_not_stay() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS linked\nRUN mkdir -p /run /var && ln -s /run /var/run && ln -s ../srv/later /opt && touch -d '2001-02-03 04:05:06' /run\n\
         FROM linked\nRUN --mount=type=tmpfs,target=/var/run/a/b --mount=type=cache,target=/opt/cache touch /var/run/a/b/x /opt/cache/x\n",
    );
    let _ = build(&host, &project, ["-t", "linked"]).expect_code(0);
    let found =
        seen(&host, "linked", "stat -c %y /run | cut -c 1-19; ls -A /run; ls -d /srv/later || readlink /opt");
    assert_eq!(found, "2001-02-03 04:05:06\n../srv/later");
    host.expect_nothing_left();
}

#[test]
fn directories_that_only_mounts_were_made_in_keep_their_dates() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS dated\nRUN mkdir -p /srv/a /srv/b && touch -d '2001-02-03 04:05:06' /srv/a /srv/b\n\
         FROM dated\nRUN --mount=type=cache,target=/srv/a/cache/deep --mount=type=tmpfs,target=/srv/b/mounted touch /srv/b/new /srv/a/cache/deep/x\n",
    );
    let _ = build(&host, &project, ["-t", "dated"]).expect_code(0);
    let found = seen(
        &host,
        "dated",
        "stat -c %y /srv/a | cut -c 1-19; stat -c %y /srv/b | cut -c 1-4; ls /srv/a /srv/b",
    );
    let (date, rest) = found.split_once('\n').unwrap();
    assert_eq!(date, "2001-02-03 04:05:06");
    let (year, names) = rest.split_once('\n').unwrap();
    assert_ne!(year, "2001", "the step made a file there");
    assert_eq!(names, "/srv/a:\n\n/srv/b:\nnew");
    host.expect_nothing_left();
}

#[test]
fn a_copied_directory_gives_its_date_to_where_it_goes() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS made\nRUN mkdir -p /d/in && touch -d '2001-02-03 04:05:06' /d/in /d\n\
         FROM busybox\nRUN mkdir -m 700 /there\nCOPY --from=made /d /there\nCOPY --from=made /d /new/place\nCOPY --from=made /d /new/none/\n",
    );
    let _ = build(&host, &project, ["-t", "dated"]).expect_code(0);
    let found = seen(&host, "dated", "cd /; stat -c '%a %Y %n' there there/in new/place new/none");
    let date = 981_173_106;
    assert_eq!(
        found,
        format!("700 {date} there\n755 {date} there/in\n755 {date} new/place\n755 {date} new/none")
    );
    host.expect_nothing_left();
}

#[test]
fn a_mode_is_that_of_pipes_and_in_digits_that_of_directories_on_the_way() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS made\nRUN mkdir /s && mkfifo -m 4666 /s/p && echo >/s/f\n\
         FROM busybox\nCOPY --from=made /s /kept\nCOPY --from=made --chmod=723 /s /a/digits\n\
         COPY --from=made --chmod=710 /s/f /b/c/\nCOPY --from=made --chmod=u=rwX,go=x /s /d/letters\n",
    );
    let _ = build(&host, &project, ["-t", "modes"]).expect_code(0);
    let of = |paths: &str| seen(&host, "modes", &format!("cd /; stat -c '%a %n' {paths}"));
    assert_eq!(of("kept kept/p"), "755 kept\n4666 kept/p");
    assert_eq!(of("a a/digits a/digits/p"), "723 a\n723 a/digits\n723 a/digits/p");
    assert_eq!(of("b b/c b/c/f"), "710 b\n710 b/c\n710 b/c/f");
    assert_eq!(of("d d/letters d/letters/p"), "755 d\n755 d/letters\n611 d/letters/p");
    host.expect_nothing_left();
}

#[test]
fn more_linked_files_than_descriptors_are_copied_with_their_links() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox AS made\nRUN mkdir /d && cd /d && seq 21000 | xargs touch && cd / && cp -al d e && mkdir /all && mv d e /all\n\
         FROM busybox\nCOPY --from=made /all /all\n",
    );
    let _ = build(&host, &project, ["-t", "linked"]).expect_code(0);
    let found =
        seen(&host, "linked", "find /all -type f -links 2 | wc -l; cd /all; [ d/77 -ef e/77 ] && echo same");
    assert_eq!(found, "42000\nsame");
    host.expect_nothing_left();
}

#[test]
fn deep_trees_are_read_without_a_deep_stack() {
    let host = Host::with_busybox();
    let project = Project::new(&format!(
        "FROM busybox AS made\nRUN mkdir -p /t/{}\n\
         FROM busybox\nCOPY --from=made /t /t\nRUN --mount=type=bind,from=made,source=/t,target=/m find /t /m | wc -l >/count\n",
        "d/".repeat(1000)
    ));
    let _ = build(&host, &project, ["-t", "deep"]).expect_code(0);
    assert_eq!(seen(&host, "deep", "cat /count"), "2002");
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox AS made\nRUN mkdir -p /t/{}\nFROM busybox\nCOPY --from=made /t /t\n",
            "d/".repeat(1100)
        ),
    );
    let _ = build(&host, &project, ["-t", "deep"]).expect_code(1).expect_stderr("in each other");
    host.expect_nothing_left();
}

#[test]
fn an_archive_goes_through_links_that_lead_nowhere_yet_and_leaves_its_destination_as_it_is() {
    let host = Host::with_busybox();
    let project = Project::new("FROM busybox\nADD x.tar /home/\n");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let mut add = |name: &str, kind: tar::EntryType, link: Option<&str>| {
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o700);
        header.set_uid(1000);
        match link {
            Some(target) => tar.append_link(&mut header, name, target).unwrap(),
            None => tar.append_data(&mut header, name, std::io::empty()).unwrap(),
        }
    };
    add("./", tar::EntryType::Directory, None);
    add("run", tar::EntryType::Symlink, Some("/made/here"));
    add("run/file", tar::EntryType::Regular, None);
    fs::write(project.path().join("x.tar"), tar.into_inner().unwrap()).unwrap();
    let _ = build(&host, &project, ["-t", "linked"]).expect_code(0);
    let script = "stat -c '%a %u' /home; stat -c %u /home/made/here/file";
    // The archive's root is where it goes.
    assert_eq!(seen(&host, "linked", script), "755 0\n1000");
    host.expect_nothing_left();
}
