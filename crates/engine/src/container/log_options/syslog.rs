//! The options of the syslog driver (Docker, "Syslog logging driver").

use minke_supervisor::{CollectorConfig, RecordFormat, Retry, SyslogForm, SyslogFormat};

use super::{BUFFER, Mode, Options, Record, address::Endpoint};
use crate::{Error, logs::tag};

/// RFC 3164's port.
const PORT: u16 = 514;
const RETRY: Retry = Retry { first_ms: 100, longest_ms: 5_000, most: None };

/// RFC 5424, section 6.2.1.
const FACILITIES: [&str; 12] =
    ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];
const DAEMON: u8 = 3;
const LOCAL: u8 = 16;
const LAST: u8 = 23;

pub(super) fn parse(
    options: &mut Options<'_>,
    record: &Record,
    host_name: &str,
    mode: Mode,
) -> Result<(CollectorConfig, Endpoint), Error> {
    let tag = tag::of(record, options.take("tag").as_deref())?;
    options.skip_attributes();
    let endpoint = endpoint(options)?;
    let facility = facility(options.take("syslog-facility").as_deref().unwrap_or(""))?;
    let form = match options.take("syslog-format").as_deref() {
        None | Some("") => SyslogForm::Local,
        Some("rfc3164") => SyslogForm::Rfc3164,
        Some("rfc5424") => SyslogForm::Rfc5424,
        Some("rfc5424micro") => SyslogForm::Rfc5424Micro,
        Some(other) => return Err(Error::invalid(format!("Invalid syslog format: {other:?}"))),
    };
    let format = SyslogFormat { form, facility, hostname: host_name.to_owned(), tag };
    let collector = CollectorConfig {
        addresses: Vec::new(),
        format: RecordFormat::Syslog(format),
        buffer: mode.buffer.unwrap_or(BUFFER),
        overflow: mode.overflow,
        lazy: false,
        retry: RETRY,
        write_timeout_ms: None,
        reconnect_ms: None,
    };
    Ok((collector, endpoint))
}

fn endpoint(options: &mut Options<'_>) -> Result<Endpoint, Error> {
    let text = options.take("syslog-address").unwrap_or_default();
    let no_tls =
        |what: &str| Err(Error::not_implemented(format!("{what} can't be honoured: syslog over TLS")));
    if let Some(key) = options.rest.keys().find(|key| key.starts_with("syslog-tls-")) {
        return no_tls(key);
    }
    if text.is_empty() {
        return Ok(Endpoint::LocalSyslog);
    }
    if text.starts_with("tcp+tls://") {
        return no_tls(&format!("syslog-address={text}"));
    }
    if !text.contains("://") {
        return Err(Error::invalid(format!("syslog-address should be in form proto://address, got {text}")));
    }
    Endpoint::parse("syslog-address", &text, &["udp", "tcp", "unix", "unixgram"], PORT)
}

/// A name or a number.
fn facility(text: &str) -> Result<u8, Error> {
    if text.is_empty() {
        return Ok(DAEMON);
    }
    let named = FACILITIES.iter().position(|name| *name == text).and_then(|at| u8::try_from(at).ok());
    let local = || {
        let number: u8 = text.strip_prefix("local")?.parse().ok()?;
        (number <= LAST - LOCAL && text.len() == "local0".len()).then_some(LOCAL + number)
    };
    let number = || text.parse::<u8>().ok().filter(|number| *number <= LAST);
    named
        .or_else(local)
        .or_else(number)
        .ok_or_else(|| Error::invalid(format!("invalid syslog facility: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_are_names_and_numbers() {
        let pairs =
            [("", 3), ("kern", 0), ("ftp", 11), ("local0", 16), ("local7", 23), ("12", 12), ("23", 23)];
        for (text, number) in pairs {
            assert_eq!(facility(text).unwrap(), number, "{text}");
        }
        for text in ["24", "-1", "local8", "local", "local00", "Kern"] {
            assert!(facility(text).is_err(), "{text}");
        }
    }
}
