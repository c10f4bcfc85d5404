//! Volumes and binds.

use minke_engine::*;

use crate::harness::with_engine;

fn list(items: &[&str]) -> Option<Vec<String>> {
    Some(items.iter().map(|item| (*item).to_owned()).collect())
}

#[test]
fn a_named_volume_keeps_its_content_and_is_filled_from_the_image() {
    with_engine(async |test| {
        let with_volume =
            |_: &mut _, host: &mut bollard_stubs::models::HostConfig| host.binds = list(&["data:/etc"]);
        let (_, output) = test.run("grep -c root /etc/passwd; echo mine > /etc/own", with_volume).await;
        assert_eq!(output, "1\n");
        let (_, output) = test.run("cat /etc/own", with_volume).await;
        assert_eq!(output, "mine\n");
        let error = test.engine.volume_remove("data", false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        for id in test.list().await {
            test.engine.remove(&id, RemoveOptions { force: false, volumes: true }).await.unwrap();
        }
        assert_eq!(test.engine.volume_inspect("data").await.unwrap().name, "data");
        test.engine.volume_remove("data", false).await.unwrap();
        assert_eq!(test.engine.volume_inspect("data").await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn anonymous_volumes_go_with_their_container_and_can_be_borrowed() {
    with_engine(async |test| {
        test.start("donor", "echo x > /data/y; exec sleep 1000", |body, _| body.volumes = list(&["/data"]))
            .await;
        test.until("donor", "running").await;
        let (_, output) = test
            .run("sleep 0.1; cat /data/y; touch /data/z 2>/dev/null || echo read-only", |_, host| {
                host.volumes_from = list(&["donor:ro"]);
            })
            .await;
        assert_eq!(output, "x\nread-only\n");
        let volumes =
            async || test.engine.volume_list(&Filters::default()).await.unwrap().volumes.unwrap().len();
        assert_eq!(volumes().await, 1);
        for id in test.list().await {
            test.engine.remove(&id, RemoveOptions { force: true, volumes: true }).await.unwrap();
        }
        assert_eq!(volumes().await, 0);
    });
}

#[test]
fn a_directory_of_the_host_is_bound_read_only_if_asked() {
    with_engine(async |test| {
        let source = test.dir.path().join("shared");
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("file"), "from the host\n").unwrap();
        let bind = format!("{}:/shared:ro", source.display());
        let (_, output) = test
            .run("cat /shared/file; touch /shared/x 2>/dev/null || echo read-only", |_, host| {
                host.binds = list(&[&bind]);
            })
            .await;
        assert_eq!(output, "from the host\nread-only\n");
        let missing = format!("{}/made:/made", test.dir.path().display());
        let (code, _) = test.run("touch /made/file", |_, host| host.binds = list(&[&missing])).await;
        assert_eq!(code, 0);
        assert!(test.dir.path().join("made/file").exists());
    });
}

#[test]
fn volumes_are_made_listed_and_pruned() {
    with_engine(async |test| {
        let request = serde_json::from_str(r#"{"Name":"one","Labels":{"a":"b"}}"#).unwrap();
        test.engine.volume_create(request).await.unwrap();
        test.engine.volume_create(serde_json::from_str("{}").unwrap()).await.unwrap();
        let labelled = test.engine.volume_list(&Filters::default().with("label", "a=b")).await.unwrap();
        assert_eq!(labelled.volumes.unwrap()[0].name, "one");
        let pruned = test.engine.volume_prune(&Filters::default()).await.unwrap();
        assert_eq!(pruned.volumes_deleted.unwrap().len(), 1);
        test.reopen().await;
        assert_eq!(test.engine.volume_list(&Filters::default()).await.unwrap().volumes.unwrap().len(), 1);
    });
}

#[test]
fn copying_into_a_stopped_container_reaches_its_volume() {
    with_engine(async |test| {
        let id =
            test.create("", "cat /data/note", |_, host| host.binds = list(&["data:/data"])).await.unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        builder.append_data(&mut header, "note", &b"text\n"[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        test.engine.archive_put(&id, "/data", PutOptions::default(), tar.as_slice()).await.unwrap();
        test.engine.start(&id).await.unwrap();
        test.wait(&id).await;
        assert_eq!(test.output(&id).await, "text\n");
    });
}
