//! One line of a json-file log, and how a client wants to see it.

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{LogsOptions, frames};

/// A record as the supervisor writes it.
#[derive(Debug, Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    log: std::borrow::Cow<'a, str>,
    stream: &'a str,
    time: &'a str,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is in the output, or filtered out, or damaged.
    Done,
    /// It is later than `until`: nothing that follows is wanted.
    TooLate,
}

/// Appends the line to `out` as the client wants it, with `attributes` if it wants details; damaged lines (a
/// full disk) are left out.
pub(crate) fn show(
    line: &[u8],
    options: &LogsOptions,
    attributes: &str,
    tty: bool,
    out: &mut Vec<u8>,
) -> Shown {
    let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else { return Shown::Done };
    let kind = if record.stream == "stderr" { frames::STDERR } else { frames::STDOUT };
    let wanted = if kind == frames::STDERR { options.stderr } else { options.stdout };
    if options.since.is_some() || options.until.is_some() {
        let Ok(time) = OffsetDateTime::parse(record.time, &Rfc3339) else { return Shown::Done };
        if options.until.is_some_and(|until| time > until) {
            return Shown::TooLate;
        }
        if options.since.is_some_and(|since| time < since) {
            return Shown::Done;
        }
    }
    if !wanted {
        return Shown::Done;
    }
    let mut text = String::with_capacity(record.log.len() + 40);
    if options.timestamps {
        push_fixed(&mut text, record.time);
        text.push(' ');
    }
    if options.details {
        text.push_str(attributes);
        text.push(' ');
    }
    text.push_str(&record.log);
    if tty {
        out.extend_from_slice(text.as_bytes());
    } else {
        frames::push(out, kind, text.as_bytes());
    }
    Shown::Done
}

/// Docker shows nine digits of a second, whatever the log has.
fn push_fixed(out: &mut String, time: &str) {
    let Some(bare) = time.strip_suffix('Z') else { return out.push_str(time) };
    let (seconds, digits) = bare.split_once('.').unwrap_or((bare, ""));
    out.push_str(seconds);
    out.push('.');
    out.push_str(digits);
    (digits.len()..9).for_each(|_| out.push('0'));
    out.push('Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"log":"hi \u003c\n","stream":"stderr","time":"2026-01-02T03:04:05.6789Z"}"#;

    fn both() -> LogsOptions {
        LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() }
    }

    fn shown(options: &LogsOptions) -> (String, Shown) {
        let mut out = Vec::new();
        let done = show(LINE, options, "a=1", true, &mut out);
        (String::from_utf8(out).unwrap(), done)
    }

    #[test]
    fn a_line_is_shown_raw_framed_or_with_its_time() {
        assert_eq!(shown(&both()).0, "hi <\n");
        let mut out = Vec::new();
        show(LINE, &both(), "", false, &mut out);
        assert_eq!(out[..8], [2, 0, 0, 0, 0, 0, 0, 5]);
        let timed = LogsOptions { timestamps: true, ..both() };
        assert_eq!(shown(&timed).0, "2026-01-02T03:04:05.678900000Z hi <\n");
        assert_eq!(shown(&LogsOptions { details: true, ..both() }).0, "a=1 hi <\n");
    }

    #[test]
    fn streams_and_times_are_filtered() {
        assert_eq!(shown(&LogsOptions { stderr: false, ..both() }).0, "");
        let at = |text: &str| Some(OffsetDateTime::parse(text, &Rfc3339).unwrap());
        let since = LogsOptions { since: at("2026-01-02T03:04:06Z"), ..both() };
        assert_eq!(shown(&since), (String::new(), Shown::Done));
        let until = LogsOptions { until: at("2026-01-02T03:04:05Z"), ..both() };
        assert_eq!(shown(&until), (String::new(), Shown::TooLate));
    }

    #[test]
    fn damaged_lines_are_left_out() {
        let mut out = Vec::new();
        for line in [&b"{\"log\":\"x"[..], b"", b"null", b"{}"] {
            assert_eq!(show(line, &both(), "", true, &mut out), Shown::Done);
        }
        assert!(out.is_empty());
    }
}
