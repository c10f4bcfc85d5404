//! Where errors and warnings go, in the two formats that callers of runc read.

use std::{
    error::Error,
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, bail};
use serde::Serialize;
use time::{OffsetDateTime, macros::format_description};

/// How a line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// `time="…" level=error msg="…"`.
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl Format {
    pub(super) fn parse(text: &OsStr) -> anyhow::Result<Self> {
        match text.to_str() {
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            _ => bail!("invalid log-format: {}: want text or json", text.display()),
        }
    }
}

/// The log.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) path: Option<PathBuf>,
    pub(super) format: Format,
    pub(super) debug: bool,
}

/// A line; containerd reads the last one of the file.
#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: String,
}

/// The message without what would break its line: errors quote a configuration's own words.
fn one_line(message: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(escaped).collect()
}

impl Log {
    /// Makes the file, so that a place where none can be shows at once and not with the first error.
    pub(super) fn open(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        open(path).map(drop).with_context(|| format!("open {}", path.display()))
    }

    /// Logs an error; with a log file, people see it on standard error too.
    pub(super) fn error(&self, message: &str) {
        self.write("error", message);
        if self.path.is_some() {
            eprintln!("{}", one_line(message));
        }
    }

    /// Says why a container's program can't run, to those who read what it says.
    pub(super) fn error_of_program(&self, message: &str) {
        if self.path.is_some() {
            self.write("error", message);
        }
        eprintln!("{}", one_line(message));
    }

    /// Logs something that went not as it should, but doesn't matter to the outcome.
    pub(super) fn warning(&self, message: &str) {
        self.write("warning", message);
    }

    /// Logs what only helps with debugging, where that was asked for.
    pub(super) fn debug(&self, message: impl FnOnce() -> String) {
        if self.debug {
            self.write("debug", &message());
        }
    }

    fn write(&self, level: &str, message: &str) {
        let line = self.line(level, message);
        let opened = self.path.as_ref().map(open);
        // A log that can't be written must not hide the message.
        let written = match opened {
            Some(Ok(mut file)) => file.write_all(line.as_bytes()),
            Some(Err(_)) | None => io::stderr().write_all(line.as_bytes()),
        };
        drop(written);
    }

    fn line(&self, level: &str, message: &str) -> String {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        let time = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
        match self.format {
            Format::Text => {
                format!("time={time:?} level={level} msg={}\n", serde_json::Value::from(message))
            }
            Format::Json => {
                let line = serde_json::to_string(&Line { level, msg: message, time });
                line.unwrap_or_default() + "\n"
            }
        }
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &anyhow::Error) -> String {
    let part = |error: &(dyn Error + 'static)| match error.downcast_ref::<io::Error>() {
        Some(error) => minke_oci_runtime::plain(error),
        // The kernel's texts carry a number that only Rust programs add.
        None => error.to_string().split(" (os error ").next().unwrap_or_default().to_owned(),
    };
    error.chain().map(part).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configurations_own_words_break_no_line() {
        assert_eq!(one_line("unknown variant `a\n\u{1b}[2J`, über"), r"unknown variant `a\n\u{1b}[2J`, über");
    }

    #[test]
    fn both_formats_are_as_runc_writes_them() {
        let mut log = Log::default();
        let line = log.line("error", "exec: \"x\": not found");
        assert!(line.ends_with(" level=error msg=\"exec: \\\"x\\\": not found\"\n"), "{line}");
        log.format = Format::Json;
        assert!(log.line("error", "no").starts_with(r#"{"level":"error","msg":"no","time":"2"#));
    }

    #[test]
    fn causes_are_joined_once_and_without_error_numbers() {
        let error = Err::<(), _>(io::Error::from_raw_os_error(2)).context("open /x").unwrap_err();
        assert_eq!(chain(&error), "open /x: no such file or directory");
    }
}
