//! Records as lines of syslog (RFC 3164, RFC 5424), in the forms that Docker's driver writes. A newline ends each, also in a
//! datagram.

use std::io::Write;

use time::{Month, OffsetDateTime, UtcOffset};

use crate::supervise::{
    protocol::{SyslogForm, SyslogFormat},
    record::Record,
};

/// RFC 5424, section 6.2.1.
const ERROR: u32 = 3;
const INFORMATIONAL: u32 = 6;

/// Makes lines.
#[derive(Debug)]
pub(super) struct Syslog {
    format: SyslogFormat,
    /// Which second the offset was asked for, and the offset: asking reads files.
    offset: Option<(i64, UtcOffset)>,
}

impl Syslog {
    pub(super) fn new(format: SyslogFormat) -> Self {
        Self { format, offset: None }
    }

    pub(super) fn encode(&mut self, record: &Record<'_>) -> Vec<u8> {
        let offset = self.offset_at(record.origin.at.at);
        line(&self.format, record, offset, std::process::id())
    }

    /// The host's offset from UTC at that time.
    fn offset_at(&mut self, at: OffsetDateTime) -> UtcOffset {
        let second = at.unix_timestamp();
        match self.offset {
            Some((known, offset)) if known == second => offset,
            _ => {
                let offset = UtcOffset::local_offset_at(at).unwrap_or(UtcOffset::UTC);
                self.offset = Some((second, offset));
                offset
            }
        }
    }
}

fn line(format: &SyslogFormat, record: &Record<'_>, offset: UtcOffset, pid: u32) -> Vec<u8> {
    let severity = if record.origin.stream == "stderr" { ERROR } else { INFORMATIONAL };
    let priority = u32::from(format.facility) * 8 + severity;
    let SyslogFormat { hostname, tag, .. } = format;
    let at = record.origin.at.at.to_offset(offset);
    let mut line = Vec::with_capacity(record.text.len() + hostname.len() + 2 * tag.len() + 80);
    // Writing to memory does not fail.
    let _ = match format.form {
        SyslogForm::Local => write!(line, "<{priority}>{} {tag}[{pid}]: ", stamp(at)),
        SyslogForm::Rfc3164 => write!(line, "<{priority}>{} {hostname} {tag}[{pid}]: ", stamp(at)),
        SyslogForm::Rfc5424 | SyslogForm::Rfc5424Micro => {
            let time = timestamp(at, format.form == SyslogForm::Rfc5424Micro);
            write!(line, "<{priority}>1 {time} {hostname} {tag} {pid} {tag} - ")
        }
    };
    line.extend_from_slice(record.text);
    if line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    line
}

/// `Jan  2 15:04:05` (RFC 3164, section 4.1.2).
fn stamp(at: OffsetDateTime) -> String {
    let month = match at.month() {
        Month::January => "Jan",
        Month::February => "Feb",
        Month::March => "Mar",
        Month::April => "Apr",
        Month::May => "May",
        Month::June => "Jun",
        Month::July => "Jul",
        Month::August => "Aug",
        Month::September => "Sep",
        Month::October => "Oct",
        Month::November => "Nov",
        Month::December => "Dec",
    };
    format!("{month} {:2} {:02}:{:02}:{:02}", at.day(), at.hour(), at.minute(), at.second())
}

/// RFC 5424, section 6.2.3.
fn timestamp(at: OffsetDateTime, micro: bool) -> String {
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    let fraction = if micro { format!(".{:06}", at.microsecond()) } else { String::new() };
    let offset = at.offset().whole_minutes();
    let zone = match offset {
        0 => "Z".to_owned(),
        _ => {
            let sign = if offset < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
        }
    };
    let (year, month, day) = date.to_calendar_date();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::{clock::Moment, record::Origin};

    fn encoded(form: SyslogForm, stream: &'static str, text: &[u8]) -> String {
        let format = SyslogFormat { form, facility: 3, hostname: "host".to_owned(), tag: "tag".to_owned() };
        // 2026-01-02 03:04:05.06 UTC
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_767_323_045_060_000_000).unwrap();
        let origin = Origin::new(stream, &Moment::of(at));
        let record = Record { text, ends_line: true, origin: &origin, part: None };
        String::from_utf8(line(&format, &record, UtcOffset::from_hms(-1, -30, 0).unwrap(), 7)).unwrap()
    }

    #[test]
    fn each_form_has_its_fields_in_order() {
        assert_eq!(encoded(SyslogForm::Local, "stdout", b"hi"), "<30>Jan  2 01:34:05 tag[7]: hi\n");
        assert_eq!(encoded(SyslogForm::Rfc3164, "stderr", b"hi"), "<27>Jan  2 01:34:05 host tag[7]: hi\n");
        assert_eq!(
            encoded(SyslogForm::Rfc5424, "stdout", b""),
            "<30>1 2026-01-02T01:34:05-01:30 host tag 7 tag - \n"
        );
        assert_eq!(
            encoded(SyslogForm::Rfc5424Micro, "stdout", b"x"),
            "<30>1 2026-01-02T01:34:05.060000-01:30 host tag 7 tag - x\n"
        );
    }

    #[test]
    fn the_hosts_offset_is_asked_for_once_a_second() {
        let format = SyslogFormat {
            form: SyslogForm::Local,
            facility: 0,
            hostname: String::new(),
            tag: String::new(),
        };
        let mut syslog = Syslog::new(format);
        let now = OffsetDateTime::now_utc();
        let first = syslog.offset_at(now);
        assert_eq!((syslog.offset_at(now), syslog.offset), (first, Some((now.unix_timestamp(), first))));
    }
}
