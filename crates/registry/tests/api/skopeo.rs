//! skopeo, a client that is none of ours; `scripts/setup test` fetches it.

use std::{env, fs, path::Path, process::Command};

use minke_registry::TlsFiles;

use crate::http::{Server, sha256};

/// Runs skopeo and returns what it printed.
async fn skopeo(args: &[&str]) -> String {
    let tools = minke_testkit::unpacked("skopeo");
    let mut command = Command::new(tools.join("usr/bin/skopeo"));
    command.arg("--insecure-policy").args(args);
    command.env("LD_LIBRARY_PATH", tools.join("usr/lib").join(format!("{}-linux-gnu", env::consts::ARCH)));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.expect("skopeo is there after `scripts/setup test`");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// An image of two layers in OCI layout.
fn layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |content: &[u8]| {
        let digest = sha256(content);
        fs::write(blobs.join(&digest[7..]), content).unwrap();
        (digest, content.len())
    };
    // An empty archive is two blocks of zeros; the second layer has a third one.
    let layers = [vec![0; 1024], vec![0; 1536]];
    let diffs: Vec<_> = layers.iter().map(|layer| sha256(layer)).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Labels": { "made": "here" } },
        "rootfs": { "type": "layers", "diff_ids": diffs },
    });
    let (config, config_size) = blob(config.to_string().as_bytes());
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let (digest, size) = blob(layer);
            serde_json::json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size })
        })
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
        "layers": layers,
    });
    let (manifest, size) = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size,
            "annotations": { "org.opencontainers.image.ref.name": "v1" },
        }],
    });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_in_and_out_inspects_lists_and_deletes() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in"), folder.path().join("out"));
    layout(&from);
    let source = format!("oci:{}:v1", from.display());
    let image = |name: &str| format!("docker://{}/{name}", server.address);
    // Without the option skopeo compresses the layers.
    skopeo(&["copy", "--preserve-digests", "--dest-tls-verify=false", &source, &image("team/app:v1")]).await;
    skopeo(&["copy", "--dest-tls-verify=false", "--format=v2s2", &source, &image("team/app:docker")]).await;
    // The same blobs in another repository: mounted, or found.
    skopeo(&[
        "copy",
        "--preserve-digests",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &image("team/app:v1"),
        &image("b:v1"),
    ])
    .await;
    let inspected = skopeo(&["inspect", "--tls-verify=false", &image("team/app:v1")]).await;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(
        (&inspected["Labels"]["made"], inspected["Layers"].as_array().unwrap().len()),
        (&"here".into(), 2)
    );
    let tags = skopeo(&["list-tags", "--tls-verify=false", &image("team/app")]).await;
    let tags: serde_json::Value = serde_json::from_str(&tags).unwrap();
    assert_eq!(tags["Tags"], serde_json::json!(["docker", "v1"]));
    let target = format!("oci:{}:v1", to.display());
    skopeo(&["copy", "--preserve-digests", "--src-tls-verify=false", &image("b:v1"), &target]).await;
    for blob in fs::read_dir(from.join("blobs/sha256")).unwrap() {
        let name = blob.unwrap().file_name();
        assert_eq!(
            fs::read(from.join("blobs/sha256").join(&name)).unwrap(),
            fs::read(to.join("blobs/sha256").join(&name)).unwrap()
        );
    }
    skopeo(&["delete", "--tls-verify=false", &image("team/app:v1")]).await;
    server.get("/v2/team/app/manifests/v1").await.refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(server.get("/v2/team/app/manifests/docker").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_speaks_tls_and_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("certs")).unwrap();
    let (certificate, key) = (path("certs/ca.crt"), path("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(path("htpasswd"), format!("ann:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let server = Server::with(|config| {
        config.tls = Some(TlsFiles { certificate: certificate.clone(), key });
        config.htpasswd = Some(path("htpasswd"));
    })
    .await;
    layout(&path("in"));
    let source = format!("oci:{}:v1", path("in").display());
    let image = format!("docker://{}/team/app:v1", server.address);
    let certs = path("certs").display().to_string();
    skopeo(&["copy", "--dest-cert-dir", &certs, "--dest-creds", "ann:secret", &source, &image]).await;
    let digest =
        skopeo(&["inspect", "--cert-dir", &certs, "--creds", "ann:secret", "--format={{.Digest}}", &image])
            .await;
    assert!(digest.starts_with("sha256:"), "{digest}");
    let tools = minke_testkit::unpacked("skopeo");
    let refused = Command::new(tools.join("usr/bin/skopeo"))
        .env("LD_LIBRARY_PATH", tools.join("usr/lib").join(format!("{}-linux-gnu", env::consts::ARCH)))
        .args(["inspect", "--cert-dir", &certs, "--creds", "ann:wrong", &image])
        .output()
        .unwrap();
    assert!(!refused.status.success(), "a wrong password");
}
