//! Names of signals, as `STOPSIGNAL` takes them.

const NAMES: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Whether a text is a signal: a number other than 0, or a name with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    NAMES.contains(&name) || real_time(name)
}

/// `RTMIN+1` to `RTMIN+15`, `RTMAX-14` to `RTMAX-1`.
fn real_time(name: &str) -> bool {
    let within =
        |digits: &str, most| !digits.starts_with('0') && digits.parse::<u8>().is_ok_and(|n| n <= most);
    let above = name.strip_prefix("RTMIN+").is_some_and(|digits| within(digits, 15));
    above || name.strip_prefix("RTMAX-").is_some_and(|digits| within(digits, 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_number_or_a_name() {
        for text in ["9", "SIGTERM", "term", "sigrtmin+3", "RTMAX-14", "RTMIN"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["0", "", "SIG", "SIGFOO", "RTMIN+16", "RTMAX-0", "RTMIN+-1"] {
            assert!(!is_signal(text), "{text}");
        }
    }
}
