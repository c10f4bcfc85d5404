//! Every route of the table is asked for something, over the socket, and answers as Docker does in the same state: a
//! container that was created and never started, one image, one volume, no swarm.

use std::collections::BTreeSet;

use minke_docker_api::routes::ROUTES;

use crate::Rig;

/// What Docker's clients look for in the answer of an engine that is in no swarm.
const NO_MANAGER: &str = "This node is not a swarm manager.";

/// Method, path of the route, what stands for its parameter and behind it, JSON body, status, a part of the answer.
type Probe = (&'static str, &'static str, &'static str, &'static str, u16, &'static str);

/// In this order: later ones find what earlier ones have made.
const PROBES: &[Probe] = &[
    ("HEAD", "/_ping", "", "", 200, ""),
    ("GET", "/_ping", "", "", 200, "OK"),
    ("GET", "/version", "", "", 200, "\"ApiVersion\":\"1.51\""),
    ("GET", "/info", "", "", 200, "\"LocalNodeState\":\"inactive\""),
    ("GET", "/events", "?since=0&until=1", "", 200, ""),
    ("GET", "/system/df", "", "", 200, "\"LayersSize\""),
    ("POST", "/auth", "", r#"{"serveraddress":"127.0.0.1:1"}"#, 500, "127.0.0.1:1"),
    (
        "POST",
        "/containers/create",
        "?name=box",
        r#"{"Image":"app:1","HostConfig":{"NetworkMode":"none"}}"#,
        201,
        "\"Warnings\":[]",
    ),
    ("GET", "/containers/json", "?all=1", "", 200, "\"/box\""),
    ("GET", "/containers/{name*}/json", "box", "", 200, "\"Status\":\"created\""),
    ("GET", "/containers/{name*}/top", "box", "", 409, "is not running"),
    ("GET", "/containers/{name*}/changes", "box", "", 200, ""),
    ("GET", "/containers/{name*}/export", "box", "", 200, "hello"),
    ("GET", "/containers/{name*}/logs", "box?stdout=1", "", 200, ""),
    ("GET", "/containers/{name*}/stats", "box?stream=0&one-shot=1", "", 200, "\"cpu_stats\""),
    ("GET", "/containers/{name*}/attach/ws", "box", "", 400, "not a WebSocket handshake"),
    ("POST", "/containers/{name*}/attach", "box?logs=1&stdout=1", "", 200, ""),
    ("POST", "/containers/{name*}/start", "box", "", 500, "minke-oci"),
    ("POST", "/containers/{name*}/stop", "box", "", 304, ""),
    ("POST", "/containers/{name*}/restart", "box", "", 500, "minke-oci"),
    ("POST", "/containers/{name*}/kill", "box", "", 409, "is not running"),
    ("POST", "/containers/{name*}/pause", "box", "", 409, "is not running"),
    ("POST", "/containers/{name*}/unpause", "box", "", 409, "is not paused"),
    ("POST", "/containers/{name*}/wait", "box", "", 200, "\"StatusCode\""),
    ("POST", "/containers/{name*}/resize", "box?h=1&w=1", "", 409, "is not running"),
    ("POST", "/containers/{name*}/update", "box", r#"{"CpuShares":512}"#, 200, "\"Warnings\""),
    ("POST", "/containers/{name*}/rename", "box?name=web", "", 204, ""),
    ("HEAD", "/containers/{name*}/archive", "web?path=/hello", "", 200, ""),
    ("GET", "/containers/{name*}/archive", "web?path=/hello", "", 200, "hello"),
    ("PUT", "/containers/{name*}/archive", "web?path=/nowhere", "", 404, "/nowhere"),
    ("GET", "/containers/{name}/checkpoints", "web", "", 501, "checkpoints"),
    ("POST", "/containers/{name}/checkpoints", "web", "{}", 501, "checkpoints"),
    ("DELETE", "/containers/{name}/checkpoints/{checkpoint}", "web", "", 501, "checkpoints"),
    ("POST", "/commit", "?container=web&repo=committed", "", 201, "sha256:"),
    ("POST", "/containers/{name*}/exec", "web", r#"{"Cmd":["true"]}"#, 409, "is not running"),
    ("POST", "/exec/{name}/start", "nosuch", "{}", 404, "No such exec instance"),
    ("POST", "/exec/{name}/resize", "nosuch?h=1&w=1", "", 404, "No such exec instance"),
    ("GET", "/exec/{name}/json", "nosuch", "", 404, "No such exec instance"),
    ("DELETE", "/containers/{name*}", "web", "", 204, ""),
    ("POST", "/containers/prune", "", "", 200, "\"SpaceReclaimed\""),
    ("GET", "/images/json", "", "", 200, "committed:latest"),
    ("POST", "/images/create", "?fromImage=UPPER", "", 400, "lowercase"),
    ("POST", "/images/load", "", "", 200, "not an image archive"),
    ("GET", "/images/get", "?names=app:1", "", 200, "oci-layout"),
    ("GET", "/images/search", "", "", 400, "term"),
    ("GET", "/images/{name*}/get", "app:1", "", 200, "oci-layout"),
    ("GET", "/images/{name*}/json", "app:1", "", 200, "\"app:1\""),
    ("GET", "/images/{name*}/history", "app:1", "", 200, "Imported from -"),
    ("POST", "/images/{name*}/tag", "app:1?repo=team/app&tag=2", "", 201, ""),
    ("POST", "/images/{name*}/push", "nosuch", "", 404, "does not exist locally"),
    ("DELETE", "/images/{name*}", "team/app:2", "", 200, "\"Untagged\":\"team/app:2\""),
    ("POST", "/images/prune", "", "", 200, "\"SpaceReclaimed\""),
    ("GET", "/distribution/{name*}/json", "UPPER", "", 400, "lowercase"),
    ("POST", "/build", "", "", 400, "dockerfile"),
    ("POST", "/build/prune", "", "", 200, "\"SpaceReclaimed\":0"),
    ("POST", "/build/cancel", "", "", 400, "build ID not provided"),
    ("POST", "/session", "", "", 501, "BuildKit"),
    ("POST", "/grpc", "", "", 501, "BuildKit"),
    ("POST", "/volumes/create", "", r#"{"Name":"data"}"#, 201, "\"Name\":\"data\""),
    ("GET", "/volumes", "", "", 200, "\"data\""),
    ("GET", "/volumes/{name}", "data", "", 200, "\"Driver\":\"local\""),
    ("PUT", "/volumes/{name}", "data", "{}", 503, NO_MANAGER),
    ("DELETE", "/volumes/{name}", "data", "", 204, ""),
    ("POST", "/volumes/prune", "", "", 200, "\"SpaceReclaimed\""),
    ("GET", "/networks", "", "", 200, "\"bridge\""),
    ("POST", "/networks/create", "", r#"{"Name":"bridge"}"#, 403, "predefined bridge network"),
    ("POST", "/networks/prune", "", "", 200, "\"NetworksDeleted\""),
    ("GET", "/networks/{name}", "host", "", 200, "\"host\""),
    ("DELETE", "/networks/{name}", "host", "", 403, "pre-defined"),
    ("POST", "/networks/{name}/connect", "nosuch", r#"{"Container":"nosuch"}"#, 404, "No such container"),
    ("POST", "/networks/{name}/disconnect", "nosuch", r#"{"Container":"nosuch"}"#, 404, "No such container"),
    ("GET", "/plugins", "", "", 200, "[]"),
    ("GET", "/plugins/privileges", "?remote=x", "", 501, "plugins"),
    ("POST", "/plugins/pull", "?remote=x", "", 501, "plugins"),
    ("POST", "/plugins/create", "?name=x", "", 501, "plugins"),
    ("GET", "/plugins/{name*}/json", "a/b", "", 404, "plugin \\\"a/b\\\" not found"),
    ("POST", "/plugins/{name*}/enable", "a/b", "", 404, "plugin \\\"a/b\\\" not found"),
    ("POST", "/plugins/{name*}/disable", "a/b", "", 404, "plugin \\\"a/b\\\" not found"),
    ("POST", "/plugins/{name*}/push", "a/b", "", 404, "plugin \\\"a/b\\\" not found"),
    ("POST", "/plugins/{name*}/set", "a/b", "[]", 404, "plugin \\\"a/b\\\" not found"),
    ("POST", "/plugins/{name*}/upgrade", "a/b", "[]", 404, "plugin \\\"a/b\\\" not found"),
    ("DELETE", "/plugins/{name*}", "a/b", "", 404, "plugin \\\"a/b\\\" not found"),
    ("POST", "/swarm/init", "", "{}", 501, "Swarm"),
    ("POST", "/swarm/join", "", "{}", 501, "Swarm"),
    ("POST", "/swarm/leave", "", "", 503, "This node is not part of a swarm"),
    ("POST", "/swarm/update", "?version=1", "{}", 503, NO_MANAGER),
    ("GET", "/swarm/unlockkey", "", "", 503, NO_MANAGER),
    ("POST", "/swarm/unlock", "", "{}", 503, NO_MANAGER),
    ("GET", "/swarm", "", "", 503, NO_MANAGER),
    ("GET", "/nodes", "", "", 503, NO_MANAGER),
    ("POST", "/nodes/{name}/update", "x?version=1", "{}", 503, NO_MANAGER),
    ("GET", "/nodes/{name}", "x", "", 503, NO_MANAGER),
    ("DELETE", "/nodes/{name}", "x", "", 503, NO_MANAGER),
    ("GET", "/services", "", "", 503, NO_MANAGER),
    ("POST", "/services/create", "", "{}", 503, NO_MANAGER),
    ("POST", "/services/{name}/update", "x?version=1", "{}", 503, NO_MANAGER),
    ("GET", "/services/{name}/logs", "x?stdout=1", "", 503, NO_MANAGER),
    ("GET", "/services/{name}", "x", "", 503, NO_MANAGER),
    ("DELETE", "/services/{name}", "x", "", 503, NO_MANAGER),
    ("GET", "/tasks", "", "", 503, NO_MANAGER),
    ("GET", "/tasks/{name}/logs", "x?stdout=1", "", 503, NO_MANAGER),
    ("GET", "/tasks/{name}", "x", "", 503, NO_MANAGER),
    ("GET", "/secrets", "", "", 503, NO_MANAGER),
    ("POST", "/secrets/create", "", "{}", 503, NO_MANAGER),
    ("POST", "/secrets/{name}/update", "x?version=1", "{}", 503, NO_MANAGER),
    ("GET", "/secrets/{name}", "x", "", 503, NO_MANAGER),
    ("DELETE", "/secrets/{name}", "x", "", 503, NO_MANAGER),
    ("GET", "/configs", "", "", 503, NO_MANAGER),
    ("POST", "/configs/create", "", "{}", 503, NO_MANAGER),
    ("POST", "/configs/{name}/update", "x?version=1", "{}", 503, NO_MANAGER),
    ("GET", "/configs/{name}", "x", "", 503, NO_MANAGER),
    ("DELETE", "/configs/{name}", "x", "", 503, NO_MANAGER),
];

/// The request's path and query.
fn target(path: &str, rest: &str) -> String {
    let (value, query) = rest.split_once('?').map_or((rest, ""), |(value, query)| (value, query));
    let path = path.replace("{name*}", value).replace("{name}", value).replace("{checkpoint}", "one");
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

#[test]
fn every_route_has_a_test() {
    let asked: BTreeSet<_> = PROBES.iter().map(|(method, path, ..)| (*method, *path)).collect();
    let served: BTreeSet<_> = ROUTES.iter().map(|route| (route.method.as_str(), route.path)).collect();
    assert_eq!(asked, served);
    assert_eq!(PROBES.len(), ROUTES.len());
}

#[tokio::test]
async fn every_route_answers_as_dockers_does_in_the_same_state() {
    let rig = Rig::start().await;
    let _ = rig.import("app:1").await;
    let mut wrong = Vec::new();
    for (method, path, rest, body, status, part) in PROBES {
        let target = target(path, rest);
        let request = format!(
            "{method} /v1.51{target} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = String::from_utf8_lossy(&rig.raw_bytes(&request).await).into_owned();
        let got: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let expected = got == *status;
        let content = answer.split_once("\r\n\r\n").map_or("", |(_, content)| content);
        let told = got < 400 || *method == "HEAD" || content.contains("{\"message\":\"");
        if !expected || !told || !answer.contains(part) {
            let start: String = answer.chars().take(600).collect();
            wrong.push(format!("{method} {target}: want {status} {part:?}, got {start}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    rig.end().await;
}

#[tokio::test]
async fn routes_are_unknown_to_versions_before_them_and_known_to_all_after() {
    let rig = Rig::start().await;
    for route in
        ROUTES.iter().filter(|route| route.since.1 > 24 && route.method == "GET" && !route.path.contains('{'))
    {
        for (minor, known) in [(route.since.1 - 1, false), (route.since.1, true)] {
            let answer = rig.raw(&format!("GET /v1.{minor}{} HTTP/1.1\r\n\r\n", route.path)).await;
            assert_eq!(!answer.contains("page not found"), known, "1.{minor} {}: {answer}", route.path);
        }
    }
    rig.end().await;
}
