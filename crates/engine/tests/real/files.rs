//! `cp`, `export`, `diff`.

use std::io::Read;

use futures_util::StreamExt;
use minke_engine::*;

use crate::harness::{Test, with_engine};

async fn collect(stream: ByteStream) -> Vec<u8> {
    stream.map(|piece| piece.unwrap()).collect::<Vec<_>>().await.concat()
}

fn names(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
        .collect()
}

fn one_file(name: &str, content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

async fn copy_both_ways(test: &Test, id: &str) {
    let tar = one_file("note", "text");
    test.engine.archive_put(id, "/tmp", PutOptions::default(), tar.as_slice()).await.unwrap();
    let (stat, stream) = test.engine.archive_get(id, "/tmp/note").await.unwrap();
    assert_eq!((stat.name.as_str(), stat.size), ("note", 4));
    let back = collect(stream).await;
    let mut archive = tar::Archive::new(back.as_slice());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    assert_eq!((entry.path().unwrap().to_str(), text.as_str()), (Some("note"), "text"));
    let (_, stream) = test.engine.archive_get(id, "/etc").await.unwrap();
    assert!(names(&collect(stream).await).contains(&"etc/passwd".to_owned()));
    assert_eq!(test.engine.archive_stat(id, "/nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
    let error =
        test.engine.archive_put(id, "/etc/passwd", PutOptions::default(), tar.as_slice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
}

#[test]
fn files_are_copied_both_ways_whether_it_runs_or_not() {
    with_engine(async |test| {
        let stopped = test.create("", "true", |_, _| {}).await.unwrap();
        copy_both_ways(test, &stopped).await;
        let running = test.start("", "exec sleep 1000", |_, _| {}).await;
        copy_both_ways(test, &running).await;
    });
}

#[test]
fn links_in_a_container_never_lead_to_the_host() {
    with_engine(async |test| {
        let id = test
            .start(
                "",
                "ln -s /etc /out; ln -s ../../../../../../../etc /up; echo ready; exec sleep 1000",
                |_, _| {},
            )
            .await;
        test.until_logged(&id, "ready").await;
        let host_only = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        for path in ["/out/shadow", "/up/shadow", "/proc/self/root/etc/shadow"] {
            assert!(test.engine.archive_get(&id, path).await.is_err(), "{path} {host_only}");
        }
        let tar = one_file("planted", "text");
        test.engine.archive_put(&id, "/out", PutOptions::default(), tar.as_slice()).await.unwrap();
        assert!(!std::path::Path::new("/etc/planted").exists());
        assert_eq!(test.engine.archive_stat(&id, "/etc/planted").await.unwrap().size, 4);
    });
}

#[test]
fn read_only_containers_are_not_written_to() {
    with_engine(async |test| {
        let id = test.create("", "true", |_, host| host.readonly_rootfs = Some(true)).await.unwrap();
        let tar = one_file("x", "");
        let error =
            test.engine.archive_put(&id, "/tmp", PutOptions::default(), tar.as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
    });
}

#[test]
fn changes_are_told_and_the_whole_is_exported() {
    with_engine(async |test| {
        let id = test.start("", "echo x > /tmp/new; rm /etc/group; chmod 600 /etc/passwd", |_, _| {}).await;
        test.wait(&id).await;
        let changes = test.engine.changes(&id).await.unwrap();
        let told: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.kind as u8)).collect();
        assert_eq!(told, [("/etc", 0), ("/etc/group", 2), ("/etc/passwd", 0), ("/tmp", 0), ("/tmp/new", 1)]);
        let all = names(&collect(test.engine.export(&id).await.unwrap()).await);
        let has =
            |name: &str| all.iter().any(|other| other.trim_start_matches("./").trim_end_matches('/') == name);
        assert!(has("tmp/new") && has("bin/busybox") && !has("etc/group"), "{all:?}");
    });
}
