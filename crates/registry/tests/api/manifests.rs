//! Manifests: by tag and digest, of every kind, refused when they are wrong.

use crate::http::{DOCKER_IMAGE, IMAGE, INDEX, Server, image, sha256, sha512};

#[tokio::test]
async fn an_image_comes_back_byte_for_byte_by_tag_and_by_digest() {
    let server = Server::start().await;
    let json = server.push_image("team/app", "v1", b"layer").await;
    let digest = sha256(json.as_bytes());
    for reference in ["v1", &digest] {
        let target = format!("/v2/team/app/manifests/{reference}");
        let answer = server.get(&target).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, IMAGE));
        assert_eq!(
            (answer.header("docker-content-digest"), &answer.body[..]),
            (digest.as_str(), json.as_bytes())
        );
        let head = server.call("HEAD", &target, &[], b"").await;
        assert_eq!((head.header("content-length"), head.body.len()), (json.len().to_string().as_str(), 0));
    }
    server.get("/v2/team/app/manifests/v2").await.refused(404, "MANIFEST_UNKNOWN");
    server.get("/v2/team/app/manifests/.not-a-tag").await.refused(404, "MANIFEST_UNKNOWN");
    server.get(&format!("/v2/other/manifests/{digest}")).await.refused(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_manifest_that_names_what_is_not_there_is_refused_with_its_names() {
    let server = Server::start().await;
    let (config, layer) = (server.push_blob("a", b"{}").await, sha256(b"missing"));
    let answer = server.push_manifest("a", "v1", IMAGE, &image(&config, &layer)).await;
    answer.refused(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"][0]["detail"]["digests"][0], layer);
    server.get("/v2/a/manifests/v1").await.refused(404, "MANIFEST_UNKNOWN");
    let blobs = server.folder.as_ref().unwrap().path().join("registry/content/blobs/sha256");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 1, "the configuration alone");
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"digest":"{layer}"}}]}}"#);
    server.push_manifest("a", "v1", INDEX, &index).await.refused(400, "MANIFEST_BLOB_UNKNOWN");
    let sparse = Server::with(|config| config.complete = false).await;
    assert_eq!(sparse.push_manifest("a", "v1", INDEX, &index).await.status, 201);
}

#[tokio::test]
async fn wrong_digests_types_and_lengths_are_refused() {
    let server = Server::start().await;
    let json = server.push_image("a", "v1", b"layer").await;
    server.push_manifest("a", &sha256(b"other"), IMAGE, &json).await.refused(400, "DIGEST_INVALID");
    server.push_manifest("a", "sha256:bad", IMAGE, &json).await.refused(400, "DIGEST_INVALID");
    server.push_manifest("a", ".bad", IMAGE, &json).await.refused(400, "MANIFEST_INVALID");
    server.push_manifest("a", "v1", DOCKER_IMAGE, &json).await.refused(400, "MANIFEST_INVALID");
    server.push_manifest("a", "v1", IMAGE, "{}").await.refused(400, "MANIFEST_INVALID");
    let long = json.replacen('{', &format!("{{{}", " ".repeat(4 << 20)), 1);
    server.push_manifest("a", "v1", IMAGE, &long).await.refused(413, "SIZE_INVALID");
    let nearly = json.replacen('{', &format!("{{{}", " ".repeat((4 << 20) - json.len())), 1);
    assert_eq!(server.push_manifest("a", "v1", IMAGE, &nearly).await.status, 201);
}

#[tokio::test]
async fn a_digest_of_sha512_and_several_tags_in_one_request() {
    let server = Server::start().await;
    let json = server.push_image("a", "v1", b"layer").await;
    let digest = sha512(json.as_bytes());
    let answer = server.push_manifest("a", &format!("{digest}?tag=x&tag=y"), IMAGE, &json).await;
    let tags: Vec<_> = answer.headers.get_all("oci-tag").iter().map(|tag| tag.to_str().unwrap()).collect();
    assert_eq!((answer.status.as_u16(), tags), (201, vec!["x", "y"]));
    let answer = server.get("/v2/a/manifests/y").await;
    assert_eq!(
        (answer.header("docker-content-digest"), &answer.body[..]),
        (digest.as_str(), json.as_bytes())
    );
    server
        .push_manifest("a", &format!("{digest}?tag=.x"), IMAGE, &json)
        .await
        .refused(400, "MANIFEST_INVALID");
}

#[tokio::test]
async fn deleting_a_tag_leaves_the_manifest_and_deleting_the_manifest_takes_its_tags() {
    let server = Server::start().await;
    let json = server.push_image("a", "v1", b"layer").await;
    for tag in ["v2", "v3"] {
        assert_eq!(server.push_manifest("a", tag, IMAGE, &json).await.status, 201);
    }
    let digest = sha256(json.as_bytes());
    assert_eq!(server.call("DELETE", "/v2/a/manifests/v1", &[], b"").await.status, 202);
    server.get("/v2/a/manifests/v1").await.refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(server.get("/v2/a/manifests/v2").await.status, 200);
    let target = format!("/v2/a/manifests/{digest}");
    assert_eq!(server.call("DELETE", &target, &[], b"").await.status, 202);
    for reference in ["v2", "v3", &digest] {
        server.get(&format!("/v2/a/manifests/{reference}")).await.refused(404, "MANIFEST_UNKNOWN");
    }
    server.call("DELETE", &target, &[], b"").await.refused(404, "MANIFEST_UNKNOWN");
    server.call("DELETE", "/v2/unheard/manifests/v1", &[], b"").await.refused(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn a_client_that_knows_no_indexes_gets_the_image_for_linux_amd64() {
    let server = Server::start().await;
    let json = server.push_image("a", "image", b"layer").await;
    let digest = sha256(json.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"digest":"{digest}","mediaType":"{IMAGE}","platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#
    );
    assert_eq!(server.push_manifest("a", "multi", INDEX, &index).await.status, 201);
    let target = "/v2/a/manifests/multi";
    for accept in ["*/*", INDEX, &format!("{IMAGE}, {INDEX}")] {
        assert_eq!(
            server.call("GET", target, &[("accept", accept)], b"").await.header("content-type"),
            INDEX
        );
    }
    assert_eq!(server.get(target).await.header("content-type"), INDEX);
    let only_image = server.call("GET", target, &[("accept", IMAGE)], b"").await;
    assert_eq!((only_image.header("content-type"), &only_image.body[..]), (IMAGE, json.as_bytes()));
}

#[tokio::test]
async fn a_subject_is_answered_with_and_its_referrers_are_listed_by_type() {
    let server = Server::start().await;
    let json = server.push_image("a", "v1", b"layer").await;
    let subject = sha256(json.as_bytes());
    let artifact = |kind: &str| {
        json.replacen(
            "\"schemaVersion\":2",
            &format!(
                r#""schemaVersion":2,"artifactType":"{kind}","subject":{{"mediaType":"{IMAGE}","digest":"{subject}","size":1}},"annotations":{{"k":"v"}}"#
            ),
            1,
        )
    };
    let empty = server.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(
        (empty.header("content-type"), empty.json()["manifests"].as_array().unwrap().len()),
        (INDEX, 0)
    );
    for kind in ["text/x", "text/y+z"] {
        let answer =
            server.push_manifest("a", &sha256(artifact(kind).as_bytes()), IMAGE, &artifact(kind)).await;
        assert_eq!((answer.status.as_u16(), answer.header("oci-subject")), (201, subject.as_str()));
    }
    assert_eq!(
        server.get(&format!("/v2/a/referrers/{subject}")).await.json()["manifests"].as_array().unwrap().len(),
        2
    );
    let filtered = server.get(&format!("/v2/a/referrers/{subject}?artifactType=text/y%2Bz")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let list = filtered.json()["manifests"].clone();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!((&list[0]["artifactType"], &list[0]["annotations"]["k"]), (&"text/y+z".into(), &"v".into()));
    assert_eq!(list[0]["size"], artifact("text/y+z").len());
    let one = list[0]["digest"].as_str().unwrap();
    assert_eq!(server.call("DELETE", &format!("/v2/a/manifests/{one}"), &[], b"").await.status, 202);
    assert_eq!(
        server.get(&format!("/v2/a/referrers/{subject}")).await.json()["manifests"].as_array().unwrap().len(),
        1
    );
    server.get("/v2/a/referrers/sha256:x").await.refused(400, "DIGEST_INVALID");
    assert_eq!(server.get(&format!("/v2/unheard/referrers/{subject}")).await.status, 200);
}

#[tokio::test]
async fn a_read_only_registry_and_one_without_deletion_say_405() {
    let server = Server::with(|config| config.deletion = false).await;
    server.push_image("a", "v1", b"layer").await;
    server.call("DELETE", "/v2/a/manifests/v1", &[], b"").await.refused(405, "UNSUPPORTED");
    server
        .call("DELETE", &format!("/v2/a/blobs/{}", sha256(b"{}")), &[], b"")
        .await
        .refused(405, "UNSUPPORTED");
    assert_eq!(server.get("/v2/a/manifests/v1").await.status, 200);
    let server = Server::with(|config| config.read_only = true).await;
    server.call("POST", "/v2/a/blobs/uploads/", &[], b"").await.refused(405, "UNSUPPORTED");
    server.push_manifest("a", "v1", IMAGE, "{}").await.refused(405, "UNSUPPORTED");
    assert_eq!(server.get("/v2/").await.status, 200);
}
