//! `events`: the stats in runc's shape, memory that runs out, and the end with the container.

use crate::bundle::{Bundle, wait_until};
use minke_model::runtime_spec::{Memory, Resources};
use serde_json::{Value, json};
use std::{fs, process::Stdio};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn stats_have_the_shape_that_monitors_read() {
    let mut bundle = Bundle::new("");
    let memory = Memory { limit: Some(64 << 20), ..Memory::default() };
    bundle.linux().resources = Some(Resources { memory: Some(memory), ..Resources::default() });
    bundle.start_sleeping();
    let text = bundle.call(&["events", "--stats", &bundle.id]).succeeded().stdout;
    let start = format!(r#"{{"type":"stats","id":"{}","data":{{"#, bundle.id);
    assert!(text.starts_with(&start), "{text}");
    let [event] = &lines(&text)[..] else { panic!("one line: {text}") };
    let data = &event["data"];
    assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{data}");
    assert!(data["memory"]["raw"].as_object().unwrap().len() > 10, "{data}");
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{data}");
    assert!(data["cpu"]["usage"]["kernel"].is_u64() && data["cpu"]["usage"]["user"].is_u64(), "{data}");
    assert_eq!(data["pids"]["current"], 1);
    assert!(data["cpuset"]["cpu_exclusive"].is_u64(), "{data}");
    assert_eq!((&data["intel_rdt"], &data["network_interfaces"]), (&json!({}), &Value::Null));
    assert!(data["blkio"].is_object() && data["hugetlb"].is_object(), "{data}");
}

#[test]
fn stats_come_at_the_interval_until_the_container_ends() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let out = bundle.path().join("events");
    let mut command = bundle.command(&["events", "--interval", "20ms", &bundle.id]);
    let mut child = command.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
    wait_until("three stats", || fs::read_to_string(&out).unwrap().lines().count() >= 3);
    assert!(child.try_wait().unwrap().is_none());
    bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
    assert!(child.wait().unwrap().success());
    assert!(lines(&fs::read_to_string(&out).unwrap()).iter().all(|event| event["type"] == "stats"));
}

#[test]
fn memory_that_runs_out_is_an_event() {
    let mut bundle = Bundle::new("x=aaaaaaaa; while :; do x=$x$x; done");
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    bundle.linux().resources = Some(Resources { memory: Some(memory), ..Resources::default() });
    bundle.create().succeeded();
    let mut command = bundle.command(&["events", "--interval", "1h", &bundle.id]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    // It watches once its descriptor is there.
    wait_until("a watch", || {
        let fds = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        let names: Vec<_> = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).collect();
        names.iter().any(|name| name.to_string_lossy().contains("anon_inode:"))
            && names.iter().any(|name| {
                name.to_string_lossy().contains("eventfd") || name.ends_with("anon_inode:inotify")
            })
    });
    bundle.on("start").succeeded();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        lines(&String::from_utf8(output.stdout).unwrap()),
        [json!({ "type": "oom", "id": bundle.id })]
    );
}

#[test]
fn wrong_intervals_and_wrong_states_are_refused() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    for (interval, reason) in
        [("x", "--interval"), ("0", "greater than 0"), ("-1s", "greater than 0"), ("5", "--interval")]
    {
        let flag = format!("--interval={interval}");
        bundle.call(&["events", &flag, &bundle.id]).failed_with(1, &[reason]);
    }
    bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
    bundle.wait_for("stopped");
    bundle.on("events").failed_with(1, &["is not running"]);
    bundle.call(&["events", "nobody"]).failed_with(1, &["container does not exist"]);
}
