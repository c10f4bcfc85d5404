//! The registry as a process: killed at any instant, and on a disk that is full.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::http::{self, Answer, IMAGE, image, sha256};

/// A registry in a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
}

/// The example next to this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/serve")
}

impl Process {
    fn start(root: &Path) -> Self {
        Self::run(Command::new(program()).arg(root).arg("127.0.0.1:0"))
    }

    /// With its folder on a file system of this size, in a mount namespace of its own.
    fn start_small(root: &Path, size: &str, reserve: &str) -> Self {
        let script = r#"mount -t tmpfs -o size="$3" registry "$2" && dd if=/dev/zero of="$2/ballast" bs=1M count=2 status=none && exec "$1" "$2" 127.0.0.1:0"#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(program()).arg(root).arg(size);
        Self::run(command.env("RESERVE", reserve))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap_or_else(|_| panic!("{line:?}")), child }
    }

    async fn call(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        http::call(self.address, method, target, &[], body).await
    }

    async fn push(&self, name: &str, content: &[u8]) -> Answer {
        let target = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(content));
        self.call("POST", &target, content).await
    }

    /// The folder as the process sees it.
    fn folder(&self, root: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.child.id(), root.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number that depends on nothing but the seed (splitmix64).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One push as a client that does not care for panics: `None` as soon as the server is gone.
async fn push_image(address: SocketAddr, number: u64, length: usize) -> Option<(String, Vec<u8>)> {
    let layer: Vec<u8> = (0..length).map(|at| (at as u64 ^ number).to_le_bytes()[0]).collect();
    let json = image(&sha256(b"{}"), &sha256(&layer));
    let all = tokio::spawn(async move {
        for content in [&b"{}"[..], &layer] {
            let target = format!("/v2/a/blobs/uploads/?digest={}", sha256(content));
            assert_eq!(http::call(address, "POST", &target, &[], content).await.status, 201);
        }
        let target = format!("/v2/a/manifests/t{number}");
        let json = image(&sha256(b"{}"), &sha256(&layer));
        let put = http::call(address, "PUT", &target, &[("content-type", IMAGE)], json.as_bytes()).await;
        assert_eq!(put.status, 201);
        layer
    });
    all.await.ok().map(|layer| (json, layer))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill_at_any_instant() {
    const SEED: u64 = 20_261_123;
    let folder = tempfile::tempdir().unwrap();
    let mut seed = SEED;
    let mut acknowledged: Vec<(u64, String, Vec<u8>)> = Vec::new();
    for round in 0..20 {
        let process = Process::start(folder.path());
        for (tag, json, layer) in &acknowledged {
            let manifest = process.call("GET", &format!("/v2/a/manifests/t{tag}"), b"").await;
            assert_eq!(manifest.body, String::as_bytes(json), "seed {SEED}, round {round}");
            let blob = process.call("GET", &format!("/v2/a/blobs/{}", sha256(layer)), b"").await;
            assert!(blob.body == *layer, "seed {SEED}, round {round}");
        }
        let address = process.address;
        let pushing = tokio::spawn(async move {
            let mut done = Vec::new();
            for number in round * 1000.. {
                let Some((json, layer)) = push_image(address, number, 200_000).await else { break };
                done.push((number, json, layer));
            }
            done
        });
        tokio::time::sleep(Duration::from_micros(random(&mut seed) % 60_000)).await;
        drop(process);
        acknowledged.extend(pushing.await.unwrap());
        acknowledged.drain(..acknowledged.len().saturating_sub(10));
    }
    assert!(!acknowledged.is_empty());
    for entry in std::fs::read_dir(folder.path().join("content/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let digest = sha256(&std::fs::read(&path).unwrap());
        assert!(path.ends_with(&digest[7..]), "{path:?} is half-written");
    }
}

#[tokio::test]
async fn a_full_disk_is_507_and_the_registry_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_small(folder.path(), "24m", "4194304");
    assert_eq!(process.push("a", b"small").await.status, 201);
    let big = vec![1; 40 << 20];
    let begun = process.call("POST", "/v2/a/blobs/uploads/", b"").await;
    let at = begun.header("location");
    let full = process.call("PATCH", at, &big).await;
    full.refused(507, "UNKNOWN");
    process.call("GET", at, b"").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    assert!(full.json()["errors"][0]["message"].as_str().unwrap().contains("disk is full"));
    let uploads = process.folder(folder.path()).join("uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0, "what came of it is in nobody's way");
    let medium = vec![2; 6 << 20];
    assert_eq!(process.push("a", &medium).await.status, 201);
    let target = format!("/v2/a/blobs/{}", sha256(&medium));
    assert_eq!(process.call("DELETE", &target, b"").await.status, 202);
    assert_eq!(process.push("a", &medium).await.status, 201, "its room is free again");
}

#[tokio::test]
async fn a_disk_without_a_byte_left_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_small(folder.path(), "16m", "0");
    assert_eq!(process.push("a", b"small").await.status, 201);
    let mut refused = 0;
    for (size, name) in [(1 << 20, "b"), (64 << 10, "c"), (4 << 10, "d"), (1, "e")] {
        for number in 0..200_u8 {
            let mut content = vec![number; size];
            content[0] ^= size.to_le_bytes()[1];
            let answer = process.push(&format!("{name}{number}"), &content).await;
            if answer.status != 201 {
                answer.refused(507, "UNKNOWN");
                refused += 1;
                break;
            }
        }
    }
    assert!(refused > 0);
    let mut mounted = 0;
    let failed = loop {
        // What a mount needs is room for the database alone.
        let name = format!("{}{mounted}", "m".repeat(200));
        let target = format!("/v2/{name}/blobs/uploads/?mount={}&from=a", sha256(b"small"));
        let answer = process.call("POST", &target, b"").await;
        if answer.status != 201 || mounted == 20_000 {
            break answer;
        }
        mounted += 1;
    };
    failed.refused(507, "UNKNOWN");
    let target = format!("/v2/a/blobs/{}", sha256(b"small"));
    assert_eq!(&process.call("GET", &target, b"").await.body[..], b"small");
    std::fs::remove_file(process.folder(folder.path()).join("ballast")).unwrap();
    assert_eq!(process.push("a", b"after").await.status, 201);
    assert_eq!(&process.call("GET", &target, b"").await.body[..], b"small");
}
