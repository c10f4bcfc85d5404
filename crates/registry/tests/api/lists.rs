//! Lists: tags and repositories, page by page.

use crate::http::{IMAGE, Server};

#[tokio::test]
async fn tags_come_in_order_and_page_by_page() {
    let server = Server::start().await;
    let json = server.push_image("a", "b", b"layer").await;
    for tag in ["c", "A", "d", "B"] {
        assert_eq!(server.push_manifest("a", tag, IMAGE, &json).await.status, 201);
    }
    // A neighbour in the database.
    server.push_image("a-b", "z", b"layer").await;
    let all = server.get("/v2/a/tags/list").await;
    assert_eq!(all.json(), serde_json::json!({ "name": "a", "tags": ["A", "B", "b", "c", "d"] }));
    assert!(all.headers.get("link").is_none());
    let mut target = "/v2/a/tags/list?n=2".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = server.get(&target).await;
        pages.push(page.json()["tags"].as_array().unwrap().len());
        let Some(link) = page.headers.get("link") else { break };
        let link = link.to_str().unwrap();
        target = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(pages, [2, 2, 1]);
    assert_eq!(server.get("/v2/a/tags/list?last=b").await.json()["tags"], serde_json::json!(["c", "d"]));
    let none = server.get("/v2/a/tags/list?n=0").await;
    assert_eq!((none.json()["tags"].as_array().unwrap().len(), none.headers.get("link")), (0, None));
    assert_eq!(server.get("/v2/a/tags/list?n=99999999999999999999999").await.status, 200);
    server.get("/v2/a/tags/list?n=-1").await.refused(400, "UNSUPPORTED");
    server.get("/v2/unheard/tags/list").await.refused(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn the_catalog_has_every_repository_page_by_page() {
    let server = Server::start().await;
    for name in ["b/c", "a", "b"] {
        server.push_blob(name, name.as_bytes()).await;
    }
    assert_eq!(server.get("/v2/_catalog").await.json()["repositories"], serde_json::json!(["a", "b", "b/c"]));
    let page = server.get("/v2/_catalog?n=2").await;
    assert_eq!(page.header("link"), "</v2/_catalog?n=2&last=b>; rel=\"next\"");
    let page = server.get("/v2/_catalog?n=2&last=b").await;
    assert_eq!((page.json()["repositories"][0].as_str(), page.headers.get("link")), (Some("b/c"), None));
}

#[tokio::test]
async fn a_list_has_no_more_entries_than_a_page_may() {
    let server = Server::with(|config| config.limits.page = 1).await;
    for name in ["a", "b"] {
        server.push_blob(name, name.as_bytes()).await;
    }
    let page = server.get("/v2/_catalog?n=50").await;
    assert_eq!(page.json()["repositories"].as_array().unwrap().len(), 1);
    assert_eq!(page.header("link"), "</v2/_catalog?n=1&last=a>; rel=\"next\"");
}
