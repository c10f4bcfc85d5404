//! What a runtime's log says, since its exit status says nothing.

use crate::supervise::protocol::FailureKind;

/// The last message of a log whose lines are JSON objects with a `msg`.
pub(super) fn last_message(log: &str) -> Option<String> {
    let message = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(value.get("msg")?.as_str()?.to_owned())
    };
    log.lines().rev().find_map(message)
}

/// Runtimes tell kinds of failure apart only by their words.
pub(super) fn kind_of(message: &str) -> FailureKind {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let missing = says(&["executable file not found", "executable file `"])
        || says(&["exec"]) && says(&["no such file", "No such file"]);
    if missing {
        FailureKind::NotFound
    } else if says(&["exec"]) && says(&["ermission denied", "is a directory", "xec format error"]) {
        FailureKind::NotExecutable
    } else if says(&["does not exist", "not running", "stopped"]) {
        FailureKind::NotRunning
    } else {
        FailureKind::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_of_a_log_is_found_and_noise_is_skipped() {
        let log = "{\"level\":\"info\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"exec: \\\"x\\\": failed\"}\nnoise\n";
        assert_eq!(last_message(log).as_deref(), Some("exec: \"x\": failed"));
        assert_eq!(last_message(""), None);
    }

    #[test]
    fn runc_s_words_become_kinds() {
        let kind = |message| kind_of(message);
        let missing = "runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH";
        assert_eq!(kind(missing), FailureKind::NotFound);
        assert_eq!(
            kind("unable to start container process: exec: \"/etc\": permission denied"),
            FailureKind::NotExecutable
        );
        assert_eq!(kind("exec: \"/x\": stat /x: no such file or directory"), FailureKind::NotFound);
        assert_eq!(kind("container \"x\" does not exist"), FailureKind::NotRunning);
        assert_eq!(kind("cgroups: cannot set memory limit"), FailureKind::Internal);
    }
}
