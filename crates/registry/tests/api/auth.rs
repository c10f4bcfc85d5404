//! Users.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::http::Server;

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn status(server: &Server, authorization: &str) -> u16 {
    server.call("GET", "/v2/", &[("authorization", authorization)], b"").await.status.as_u16()
}

#[tokio::test]
async fn only_users_of_the_password_file_come_in_and_a_changed_file_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, format!("ann:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let server = Server::with(|config| config.htpasswd = Some(path.clone())).await;
    let refused = server.get("/v2/").await;
    refused.refused(401, "UNAUTHORIZED");
    assert!(refused.header("www-authenticate").starts_with("Basic realm="));
    server.get("/v2/_catalog").await.refused(401, "UNAUTHORIZED");
    server.call("POST", "/v2/a/blobs/uploads/", &[], b"").await.refused(401, "UNAUTHORIZED");
    for _ in 0..2 {
        assert_eq!(status(&server, &basic("ann", "secret")).await, 200);
        assert_eq!(status(&server, &basic("ann", "wrong")).await, 401);
        assert_eq!(status(&server, &basic("bob", "secret")).await, 401);
        assert_eq!(status(&server, "Bearer x").await, 401);
    }
    let two = format!("bob:{}\n#\nann:{}\n", bcrypt::hash("b", 4).unwrap(), bcrypt::hash("new", 4).unwrap());
    std::fs::write(&path, two).unwrap();
    assert_eq!(status(&server, &basic("bob", "b")).await, 200);
    assert_eq!(status(&server, &basic("ann", "secret")).await, 401);
    std::fs::write(&path, "not a password file").unwrap();
    assert_eq!(status(&server, &basic("ann", "new")).await, 200, "the users stay as they were");
}
