//! Requests that no well-behaved client sends.

use std::io::{Read, Write};

use minke_testkit::Host;

fn ask(host: &Host, request: &str) -> String {
    let mut socket = std::os::unix::net::UnixStream::connect(host.path("docker.sock")).expect("a socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("the socket works");
    socket.write_all(request.as_bytes()).expect("the socket works");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(host: &Host, path: &str, body: &str) -> String {
    let length = body.len();
    ask(
        host,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

#[test]
fn errors_are_dockers_in_status_and_form() {
    let host = Host::with_busybox();
    let table = [
        ("/v1.43/containers/create", "{\"Image\": ", "400", "message"),
        ("/v1.43/containers/create", "{\"Image\": 7}", "400", "message"),
        (
            "/v1.43/containers/create",
            "{\"Image\": \"no-such-image\"}",
            "404",
            "No such image: no-such-image:latest",
        ),
        (
            "/v1.43/containers/create?name=%2F..%2Fevil",
            "{\"Image\": \"busybox\"}",
            "400",
            "Invalid container name",
        ),
        ("/v1.43/containers/nobody/start", "", "404", "No such container: nobody"),
        ("/v1.99/containers/nobody/start", "", "400", "too new"),
        ("/v1.1/containers/nobody/start", "", "400", "too old"),
        ("/v1.43/no/such/route", "", "404", "page not found"),
        (
            "/v1.43/containers/create",
            "{\"Image\":\"busybox\",\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"70000\"}]}}}",
            "400",
            "70000",
        ),
    ];
    for (path, body, status, text) in table {
        let answer = post(&host, path, body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(text),
            "POST {path} {body}\n{answer}"
        );
        assert!(answer.contains("{\"message\":"), "{answer}");
    }
    host.expect_nothing_left();
}

#[test]
fn nonsense_is_the_clients_mistake() {
    let host = Host::with_busybox();
    let create = "/v1.51/containers/create";
    let image = |fields: &str| format!("{{\"Image\":\"busybox\",{fields}}}");
    let table = [
        (create, String::new(), "got EOF"),
        (create, "null".to_owned(), "null"),
        (create, "[]".to_owned(), "invalid JSON"),
        (create, "\"busybox\"".to_owned(), "invalid JSON"),
        (create, "{} {}".to_owned(), "trailing"),
        (create, format!("{{\"Image\":{}", "[".repeat(200_000)), "invalid JSON"),
        (create, image("\"Labels\":[1,2]"), "Labels"),
        (create, image("\"Cmd\":{\"a\":1}"), "Cmd"),
        (create, image("\"HostConfig\":7"), "HostConfig"),
        (create, image("\"HostConfig\":{\"Memory\":\"1g\"}"), "HostConfig.Memory"),
        (create, image("\"HostConfig\":{\"Memory\":1e300}"), "HostConfig.Memory"),
        (create, image("\"HostConfig\":{\"Memory\":-5}"), "memory"),
        (create, image("\"HostConfig\":{\"Binds\":[\"/a:/b:/c:/d\"]}"), "/a:/b:/c:/d"),
        (create, image("\"Image\":\"\\ud800\""), "invalid JSON"),
        ("/v1.51/containers/create?name=a%00b", image("\"Tty\":false"), "Invalid container name"),
        ("/v1.51/containers/create?name=%FF%FE", image("\"Tty\":false"), "Invalid container name"),
        ("/v1.51/containers/create?name=%2e%2e%2f%2e%2e", image("\"Tty\":false"), "Invalid container name"),
        ("/v1.51/containers/x/exec", "{\"Cmd\":7}".to_owned(), "Cmd"),
        ("/v1.51/containers/x/update", "{\"Memory\":\"x\"}".to_owned(), "Memory"),
        ("/v1.51/containers/x/resize?h=x&w=1", String::new(), "height"),
        ("/v1.51/containers/x/wait?condition=sometime", String::new(), "sometime"),
        ("/v1.51/volumes/create", "{\"Name\":\"../../etc\"}".to_owned(), "invalid characters"),
        ("/v1.51/images/busybox/tag?repo=UPPER&tag=1", String::new(), "UPPER"),
        ("/v1.51/containers/prune?filters=%7B", String::new(), "invalid filters"),
        ("/v1.51/containers/prune?filters=%7B%22label%22%3A7%7D", String::new(), "invalid filters"),
    ];
    for (path, body, text) in table {
        let answer = post(&host, path, &body);
        let shown: String = body.chars().take(80).collect();
        let head = answer.lines().next().unwrap_or_default();
        assert!(head.starts_with("HTTP/1.1 40") && answer.contains(text), "POST {path} {shown}\n{answer}");
        let message = answer.rsplit("\r\n\r\n").next().expect("a body");
        let message: serde_json::Value = serde_json::from_str(message).expect("JSON");
        assert!(message["message"].as_str().is_some_and(|message| !message.contains('\n')), "{message}");
    }
    assert_eq!(host.docker(["ps", "-aq"]).ok(), "");
    host.expect_nothing_left();
}

#[test]
fn what_is_too_much_is_refused_and_not_kept() {
    let host = Host::start();
    let headers: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let many = format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{headers}\r\n");
    let long = format!("GET /_ping HTTP/1.1\r\nHost: d\r\nX: {}\r\n\r\n", "y".repeat(4 << 20));
    let target = format!("GET /_ping?{} HTTP/1.1\r\nHost: d\r\n\r\n", "y".repeat(4 << 20));
    for request in [many, long, target] {
        let answer = ask_until_refused(&host, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414"), "{answer}");
    }
    let body = format!("{{\"Image\":\"{}\"}}", "x".repeat(64 << 20));
    let length = body.len();
    let huge = format!(
        "POST /v1.51/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let answer = ask_until_refused(&host, huge.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("{\"message\":"), "{answer}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.daemon_pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 256 << 10, "the engine has kept what it refused: {peak} KiB at most");
    assert!(host.answers());
    host.expect_nothing_left();
}

/// Sends as much as the engine takes, and reads what it says to that.
fn ask_until_refused(host: &Host, request: &[u8]) -> String {
    let mut socket = std::os::unix::net::UnixStream::connect(host.path("docker.sock")).expect("a socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("the socket works");
    let _ = socket.write_all(request);
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn noise_on_the_socket_leaves_the_engine_well() {
    let host = Host::start();
    for noise in [
        "\0\0\0\0",
        "GET",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /v1.43/containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999\r\n\r\n{",
    ] {
        let mut socket = std::os::unix::net::UnixStream::connect(host.path("docker.sock")).expect("a socket");
        socket.write_all(noise.as_bytes()).unwrap();
    }
    assert!(host.answers());
    host.expect_nothing_left();
}
