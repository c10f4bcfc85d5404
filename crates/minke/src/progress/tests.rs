//! What a screen shows after an engine's messages.

use indicatif::InMemoryTerm;
use rstest::rstest;
use serde_json::json;

use super::*;

fn message(value: Value) -> Message {
    serde_json::from_value(value).unwrap()
}

fn layer(id: &str, status: &str, current: u64, total: u64) -> Value {
    json!({"id": id, "status": status, "progressDetail": {"current": current, "total": total}})
}

fn step(id: &str, status: &str) -> Value {
    json!({"id": id, "status": status, "progressDetail": {}})
}

fn said(status: &str) -> Value {
    json!({"status": status})
}

/// The lines on a terminal of this size after these messages.
fn screen(rows: u16, columns: u16, messages: impl IntoIterator<Item = Value>) -> Vec<String> {
    let memory = InMemoryTerm::new(rows, columns);
    let mut progress = Progress::new(Screen::Memory(memory.clone()));
    for value in messages {
        progress.show(&message(value)).unwrap();
    }
    memory.contents().lines().map(|line| line.trim_end().to_owned()).collect()
}

#[rstest]
#[case(said("Status: done"), Some("Status: done\n"))]
#[case(json!({"id": "latest", "status": "Pulling from library/x"}), Some("latest: Pulling from library/x\n"))]
#[case(step("a", "Pulling fs layer"), Some("a: Pulling fs layer\n"))]
#[case(json!({"id": "a", "status": "Pull complete", "progressDetail": {"hidecounts": true}}), Some("a: Pull complete\n"))]
#[case(layer("a", "Downloading", 1, 10), None)]
#[case(json!({"id": "a", "status": "Extracting", "progressDetail": {"current": 3, "units": "s"}}), None)]
#[case(json!({"stream": "Loaded image: x\n"}), Some("Loaded image: x\n"))]
#[case(json!({"aux": {"Digest": "sha256:1"}, "status": "x"}), None)]
#[case(json!({}), None)]
fn elsewhere_than_on_a_terminal_each_step_is_a_line_and_bytes_are_none(
    #[case] value: Value,
    #[case] line: Option<&str>,
) {
    assert_eq!(message(value).line().as_deref(), line);
}

#[test]
fn an_error_is_told_in_its_own_words() {
    let failure = |value| message(value).failure().map(str::to_owned);
    assert_eq!(
        failure(json!({"error": "short", "errorDetail": {"code": 1, "message": "long"}})).unwrap(),
        "long"
    );
    assert_eq!(failure(json!({"error": "short"})).unwrap(), "short");
    assert_eq!(failure(said("fine")), None);
}

#[test]
fn a_layer_has_one_line_that_is_updated_in_place() {
    let pulling = json!({"id": "1", "status": "Pulling from team/base"});
    let messages = vec![
        pulling,
        step("aaaaaaaaaaaa", "Pulling fs layer"),
        step("bbbbbbbbbbbb", "Waiting"),
        layer("aaaaaaaaaaaa", "Downloading", 500, 2000),
    ];
    let shown = screen(20, 60, messages.clone());
    assert_eq!(shown[0], "1: Pulling from team/base");
    assert!(shown[1].starts_with("aaaaaaaaaaaa: Downloading [=====>   "), "{shown:?}");
    assert!(shown[1].ends_with("] 500B/2kB") && shown[1].chars().count() == 60, "{shown:?}");
    assert_eq!(shown[2], "bbbbbbbbbbbb: Waiting");
    let ended = [
        step("bbbbbbbbbbbb", "Pull complete"),
        step("aaaaaaaaaaaa", "Pull complete"),
        said("Digest: sha256:0"),
        said("Status: new"),
    ];
    let shown = screen(20, 60, messages.into_iter().chain(ended));
    assert_eq!(
        shown,
        [
            "1: Pulling from team/base",
            "aaaaaaaaaaaa: Pull complete",
            "bbbbbbbbbbbb: Pull complete",
            "Digest: sha256:0",
            "Status: new"
        ]
    );
}

#[test]
fn what_comes_after_a_line_of_text_is_below_it_also_for_the_same_layer() {
    let tag = |name: &str| {
        vec![
            json!({"id": name, "status": "Pulling from a/b"}),
            step("aaaaaaaaaaaa", "Already exists"),
            said("Status: up to date"),
        ]
    };
    let shown = screen(20, 50, tag("1").into_iter().chain(tag("2")));
    assert_eq!(
        shown,
        [
            "1: Pulling from a/b",
            "aaaaaaaaaaaa: Already exists",
            "Status: up to date",
            "2: Pulling from a/b",
            "aaaaaaaaaaaa: Already exists",
            "Status: up to date"
        ]
    );
}

#[test]
fn bars_fit_narrow_terminals_and_what_is_no_share_of_bytes_has_words() {
    let shown = screen(10, 30, [layer("aaaaaaaaaaaa", "Extracting", 999_000, 1_000_000)]);
    assert!(shown.iter().all(|line| line.chars().count() <= 30), "{shown:?}");
    let units = |current: u64, total: u64| json!({"id": "a", "status": "Extracting", "progressDetail": {"current": current, "total": total, "units": "s"}});
    assert_eq!(screen(10, 50, [units(4, 0)]), ["a: Extracting 4 s"]);
    assert!(screen(10, 50, [units(4, 8)])[0].starts_with("a: Extracting 4/8 s [=="));
    assert_eq!(screen(10, 50, [layer("a", "Pushing", 2048, 1000)]), ["a: Pushing 2.048kB"]);
    assert_eq!(screen(10, 50, [layer("a", "Pushing", 512, 0)]), ["a: Pushing 512B"]);
}

#[test]
fn more_layers_than_lines_scroll_and_all_are_there_in_the_end() {
    let id = |number: u64| format!("{number:012}");
    let begun = (0..30).map(|number| step(&id(number), "Waiting"));
    let ended = (0..30).map(|number| step(&id(number), "Pull complete"));
    let shown = screen(8, 40, begun.clone().chain(ended).chain([said("Status: done")]));
    assert_eq!(shown[6], "Status: done", "{shown:?}");
    for (line, number) in shown[..6].iter().zip(24..) {
        assert_eq!(*line, format!("{}: Pull complete", id(number)));
    }
    let shown = screen(8, 40, begun.chain([layer(&id(2), "Downloading", 1, 2)]));
    assert!(
        shown.len() <= 8 && shown.iter().any(|line| line.contains("000000000002: Downloading")),
        "{shown:?}"
    );
}
