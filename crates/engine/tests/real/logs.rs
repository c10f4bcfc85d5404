//! Logs.

use std::time::Duration;

use futures_util::StreamExt;
use minke_engine::*;

use crate::harness::{unframed, with_engine};

fn both() -> LogsOptions {
    LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() }
}

#[test]
fn streams_tails_and_times_are_chosen() {
    with_engine(async |test| {
        let id =
            test.start("", "echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three", |_, _| {}).await;
        test.wait(&id).await;
        assert_eq!(test.logs(&id, LogsOptions { stderr: false, ..both() }).await, "one\nthree\n");
        assert_eq!(test.logs(&id, LogsOptions { tail: Some(1), ..both() }).await, "three\n");
        let timed = test.logs(&id, LogsOptions { timestamps: true, tail: Some(1), ..both() }).await;
        assert!(
            timed.len() == "2026-01-02T03:04:05.678900000Z three\n".len() && timed.ends_with("Z three\n"),
            "{timed}"
        );
        let later = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
        assert_eq!(test.logs(&id, LogsOptions { since: Some(later), ..both() }).await, "");
        assert_eq!(test.logs(&id, LogsOptions { until: Some(later), ..both() }).await, "one\ntwo\nthree\n");
    });
}

#[test]
fn a_followed_log_goes_on_until_the_container_ends() {
    with_engine(async |test| {
        let id = test.start("", "for i in 1 2 3; do echo $i; sleep 0.1; done", |_, _| {}).await;
        let logs = test.engine.logs(&id, LogsOptions { follow: true, ..both() }).await.unwrap();
        let pieces = tokio::time::timeout(
            Duration::from_secs(10),
            logs.stream.map(|piece| piece.unwrap()).collect::<Vec<_>>(),
        );
        assert_eq!(unframed(&pieces.await.unwrap().concat()), "1\n2\n3\n");
        let again = test.logs(&id, LogsOptions { follow: true, ..both() }).await;
        assert_eq!(again, "1\n2\n3\n");
    });
}

#[test]
fn rotated_logs_are_read_as_one() {
    with_engine(async |test| {
        let id = test
            .start("", "seq 1 2000", |_, host| {
                host.log_config = serde_json::from_str(
                    r#"{"Type":"json-file","Config":{"max-size":"100k","max-file":"10"}}"#,
                )
                .unwrap();
            })
            .await;
        test.wait(&id).await;
        let lines: Vec<String> = test.output(&id).await.lines().map(str::to_owned).collect();
        assert_eq!((lines.len(), lines[0].as_str(), lines[1999].as_str()), (2000, "1", "2000"));
        let tail = test.logs(&id, LogsOptions { tail: Some(1800), ..both() }).await;
        assert_eq!((tail.lines().count(), tail.lines().next()), (1800, Some("201")));
    });
}

#[test]
fn a_container_without_a_log_says_so() {
    with_engine(async |test| {
        let id = test
            .create("", "true", |_, host| {
                host.log_config = serde_json::from_str(r#"{"Type":"none"}"#).unwrap();
            })
            .await
            .unwrap();
        let error = test.engine.logs(&id, both()).await.err().unwrap();
        assert!(error.to_string().contains("does not support reading"), "{error}");
    });
}
