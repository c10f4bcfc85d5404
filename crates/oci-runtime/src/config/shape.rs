//! Lists where objects belong.
//!
//! The parser's generated code also takes an object's fields in their order, as a list: `"root": ["/"]` would be a root. The
//! specification knows no such thing, and it hides mistakes. Looking costs nothing worth mentioning: what precedes a list
//! is nearly always the name of a field that is one.

/// Fields that are objects, and lists of objects (`[]` for an element), as paths into config.json.
const OBJECTS: [&str; 47] = [
    "",
    "hooks",
    "hooks.createContainer[]",
    "hooks.createRuntime[]",
    "hooks.poststart[]",
    "hooks.poststop[]",
    "hooks.prestart[]",
    "hooks.startContainer[]",
    "linux",
    "linux.devices[]",
    "linux.gidMappings[]",
    "linux.intelRdt",
    "linux.memoryPolicy",
    "linux.namespaces[]",
    "linux.personality",
    "linux.resources",
    "linux.resources.blockIO",
    "linux.resources.blockIO.throttleReadBpsDevice[]",
    "linux.resources.blockIO.throttleReadIOPSDevice[]",
    "linux.resources.blockIO.throttleWriteBpsDevice[]",
    "linux.resources.blockIO.throttleWriteIOPSDevice[]",
    "linux.resources.blockIO.weightDevice[]",
    "linux.resources.cpu",
    "linux.resources.devices[]",
    "linux.resources.hugepageLimits[]",
    "linux.resources.memory",
    "linux.resources.network",
    "linux.resources.network.priorities[]",
    "linux.resources.pids",
    "linux.seccomp",
    "linux.seccomp.syscalls[]",
    "linux.seccomp.syscalls[].args[]",
    "linux.timeOffsets.boottime",
    "linux.timeOffsets.monotonic",
    "linux.uidMappings[]",
    "mounts[]",
    "mounts[].gidMappings[]",
    "mounts[].uidMappings[]",
    "process",
    "process.capabilities",
    "process.consoleSize",
    "process.execCPUAffinity",
    "process.ioPriority",
    "process.rlimits[]",
    "process.scheduler",
    "process.user",
    "root",
];

/// The place in valid JSON of the first list that should be an object. The text is the part of a configuration that is called
/// `part`; the empty name is the whole.
pub(super) fn misplaced_list(text: &[u8], part: &str) -> Option<usize> {
    let mut at = 0;
    // Not with the memchr crate, whose first question to the processor leaves a virtual machine, for longer than this takes.
    while let Some(distance) = text[at..].iter().position(|byte| *byte == b'[') {
        at += distance;
        if is_suspect(&text[..at]) && is_misplaced(text, at, part) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Whether what comes before a bracket doesn't show it to be the value of a field that is a list.
fn is_suspect(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let Some(before) = before.strip_suffix(b":") else { return true };
    let Some(before) = before.trim_ascii_end().strip_suffix(b"\"") else { return true };
    let name = before.rsplit(|byte| *byte == b'"').next().unwrap_or_default();
    OBJECTS.iter().any(|path| is_last(path.as_bytes(), name))
}

/// Whether a path ends with this name.
fn is_last(path: &[u8], name: &[u8]) -> bool {
    // First what costs least: this is asked of every path for every list.
    let Some(at) = path.len().checked_sub(name.len()) else { return false };
    (at == 0 || path[at - 1] == b'.') && &path[at..] == name
}

fn is_misplaced(text: &[u8], at: usize, part: &str) -> bool {
    if is_in_string(&text[..at]) {
        return false;
    }
    let field = super::field_at(text, at);
    let whole = match (part, field.as_str()) {
        ("", field) => field.to_owned(),
        (part, "") => part.to_owned(),
        (part, field) => format!("{part}.{field}"),
    };
    let shape: String =
        whole.split_inclusive(['[', ']']).map(|piece| piece.trim_start_matches(is_digit)).collect();
    OBJECTS.contains(&shape.as_str())
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn is_in_string(before: &[u8]) -> bool {
    let mut at = 0;
    while let Some(quote) = memchr::memchr(b'"', &before[at..]) {
        let open = at + quote + 1;
        let close = open + super::string_length(&before[open..]);
        if close >= before.len() {
            return true;
        }
        at = close + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(OBJECTS.is_sorted());
    }

    #[test]
    fn a_list_is_misplaced_where_an_object_belongs_and_nowhere_else() {
        for (text, place) in [
            (r#"{"root":["x"]}"#, Some(8)),
            (r#"["1.0.0"]"#, Some(0)),
            (r#"{"mounts":[{"destination":"/a"}, ["/b"]]}"#, Some(33)),
            (r#"{"linux":{"resources":{"memory" : [1]}}}"#, Some(34)),
            (r#"{"linux":{"seccomp":{"syscalls":[{"args":[[0]]}]}}}"#, Some(42)),
            (r#"{"process":{"args":["["],"env":["A=\"root\":[[","B"]}}"#, None),
            (r#"{"unknown":{"root":["x"],"list":[[1],[2]]},"memory":[1]}"#, None),
            (r#"{"annotations":{"a":"\"root\":[[[", "b":"["}}"#, None),
        ] {
            assert_eq!(misplaced_list(text.as_bytes(), ""), place, "{text}");
        }
        assert_eq!(misplaced_list(br#"{"user":[0,0]}"#, "process"), Some(8));
        assert_eq!(misplaced_list(br#"{"memory":{"limit":1},"cpu":[]}"#, "linux.resources"), Some(28));
        assert_eq!(misplaced_list(br#"{"root":[]}"#, "linux.resources"), None);
    }
}
