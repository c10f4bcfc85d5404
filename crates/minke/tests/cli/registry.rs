//! `registry serve` and `registry prune`: a registry without an engine, spoken to over plain HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use minke_testkit::{Run, program};

struct Served {
    process: Child,
    address: String,
}

impl Served {
    fn start(root: &Path, flags: &[&str]) -> Self {
        let mut process = Command::new(program("minke"))
            .args(["registry", "serve", "--listen", "127.0.0.1:0", "--root"])
            .arg(root)
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().to_owned();
        assert!(line.starts_with("Registry listens on http://127.0.0.1:"), "{line}");
        Self { process, address }
    }

    /// One request on a connection of its own; the answer with its head.
    fn ask(&self, request: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: r\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(mut self) {
        let pid = self.process.id().to_string();
        let _ = Run::new("kill", ["-TERM", &pid]).run().expect_code(0);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn what_is_pushed_is_there_after_a_restart_and_gone_after_prune() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    assert!(served.ask("GET /v2/", "").starts_with("HTTP/1.1 200"));
    let pushed = served.ask(&format!("POST /v2/a/b/blobs/uploads/?digest={HELLO}"), "hello");
    assert!(pushed.starts_with("HTTP/1.1 201"), "{pushed}");
    served.stop();
    let served = Served::start(dir.path(), &["--read-only"]);
    let pulled = served.ask(&format!("GET /v2/a/b/blobs/{HELLO}"), "");
    assert!(pulled.starts_with("HTTP/1.1 200") && pulled.ends_with("\r\n\r\nhello"), "{pulled}");
    let pushed = served.ask(&format!("POST /v2/a/b/blobs/uploads/?digest={HELLO}"), "hello");
    assert!(pushed.starts_with("HTTP/1.1 405") || pushed.starts_with("HTTP/1.1 403"), "{pushed}");
    served.stop();
    let root = dir.path().to_str().unwrap();
    let pruned = Run::new(program("minke"), ["registry", "prune", "--root", root]).run().expect_code(0);
    assert_eq!(pruned.stdout, "Removed 1 blobs\nTotal reclaimed space: 5B\n");
    let served = Served::start(dir.path(), &[]);
    assert!(served.ask(&format!("GET /v2/a/b/blobs/{HELLO}"), "").starts_with("HTTP/1.1 404"));
    served.stop();
}

#[test]
fn mistakes_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let serve = |flags: &[&str]| {
        let all: Vec<&str> = ["registry", "serve", "--root", root].iter().chain(flags).copied().collect();
        Run::new(program("minke"), all).run()
    };
    for (flags, part) in [
        (&["--listen", "nowhere"][..], "nowhere"),
        (&["--tls-cert", "/cert"], "--tls-key"),
        (&["--tls-cert", "/no/cert", "--tls-key", "/no/key"], "/no/cert"),
        (&["--htpasswd", "/no/users"], "/no/users"),
    ] {
        let outcome = serve(flags);
        assert_ne!(outcome.code, Some(0), "{flags:?}");
        assert!(outcome.stderr.contains(part), "{flags:?}: {}", outcome.stderr);
    }
    let served = Served::start(dir.path(), &[]);
    let pruned = Run::new(program("minke"), ["registry", "prune", "--root", root]).run();
    assert_ne!(pruned.code, Some(0), "another process serves it");
    served.stop();
}
