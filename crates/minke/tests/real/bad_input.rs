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
