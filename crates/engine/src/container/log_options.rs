//! `--log-driver` and `--log-opt`: where a container's output is kept.

use std::path::Path;

use bollard_stubs::models::HostConfig;
use minke_supervisor::LogConfig;

use crate::Error;

/// The supervisor's settings; `path` is the file of the json-file driver.
///
/// # Errors
/// `InvalidParameter` for an unknown option or a malformed value, `NotImplemented` for other drivers.
pub(super) fn parse(host: &HostConfig, path: &Path) -> Result<LogConfig, Error> {
    let config = host.log_config.clone().unwrap_or_default();
    let options = config.config.unwrap_or_default();
    let driver = config.typ.as_deref().filter(|driver| !driver.is_empty()).unwrap_or("json-file");
    let mut log = LogConfig { path: Some(path.to_owned()), ..LogConfig::default() };
    match driver {
        "json-file" => {}
        // Its format is its own business; what it promises is that the log is bounded.
        "local" => (log.max_size, log.max_files) = (Some(LOCAL_SIZE), Some(LOCAL_FILES)),
        "none" => return Ok(LogConfig::default()),
        driver => {
            return Err(Error::not_implemented(format!(
                "logging driver {driver:?} can't be honoured: this engine has json-file, local and none"
            )));
        }
    }
    for (key, value) in &options {
        let invalid = || Error::invalid(format!("invalid value for {key}: {value:?}"));
        match key.as_str() {
            "max-size" if value == "-1" => {}
            "max-size" => log.max_size = Some(size(value).ok_or_else(invalid)?),
            "max-file" => {
                log.max_files =
                    Some(value.parse::<u32>().ok().filter(|files| *files >= 1).ok_or_else(invalid)?);
            }
            "mode" if value == "blocking" => {}
            "compress" if value == "false" || driver == "local" => {}
            "compress" | "mode" | "max-buffer-size" => {
                return Err(Error::not_implemented(format!("log option {key}={value} can't be honoured")));
            }
            "labels" | "labels-regex" | "env" | "env-regex" | "tag" if driver == "json-file" => {}
            _ => return Err(Error::invalid(format!("unknown log opt '{key}' for {driver} log driver"))),
        }
    }
    if log.max_files.is_some_and(|files| files > 1) && log.max_size.is_none() {
        return Err(Error::invalid("max-file cannot be used without max-size"));
    }
    Ok(log)
}

/// How large a file of the local driver gets, and how many there are; Docker's.
const LOCAL_SIZE: u64 = 20 << 20;
const LOCAL_FILES: u32 = 5;

/// `10m`, `1g`, `512k`, `4096`; binary multiples, as Docker reads them.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor).filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_json(json: &str) -> Result<LogConfig, Error> {
        let host: HostConfig = serde_json::from_str(json).unwrap();
        parse(&host, Path::new("/x/log"))
    }

    #[test]
    fn json_file_is_the_default_and_can_rotate() {
        assert_eq!(parse_json("{}").unwrap().path.as_deref(), Some(Path::new("/x/log")));
        let log =
            parse_json(r#"{"LogConfig":{"Type":"json-file","Config":{"max-size":"10m","max-file":"3"}}}"#)
                .unwrap();
        assert_eq!((log.max_size, log.max_files), (Some(10 << 20), Some(3)));
        assert_eq!(parse_json(r#"{"LogConfig":{"Type":"none"}}"#).unwrap(), LogConfig::default());
    }

    #[test]
    fn local_is_bounded_by_itself() {
        let log = parse_json(r#"{"LogConfig":{"Type":"local"}}"#).unwrap();
        assert_eq!((log.max_size, log.max_files), (Some(20 << 20), Some(5)));
        let log =
            parse_json(r#"{"LogConfig":{"Type":"local","Config":{"max-size":"1m","compress":"true"}}}"#);
        assert_eq!(log.unwrap().max_size, Some(1 << 20));
    }

    #[test]
    fn other_drivers_and_unknown_options_are_refused_by_name() {
        for (json, word) in [
            (r#"{"LogConfig":{"Type":"syslog"}}"#, "syslog"),
            (r#"{"LogConfig":{"Type":"local","Config":{"labels":"a"}}}"#, "local"),
            (r#"{"LogConfig":{"Config":{"colour":"red"}}}"#, "colour"),
            (r#"{"LogConfig":{"Config":{"max-size":"big"}}}"#, "max-size"),
            (r#"{"LogConfig":{"Config":{"max-file":"2"}}}"#, "max-file"),
            (r#"{"LogConfig":{"Config":{"compress":"true"}}}"#, "compress"),
        ] {
            assert!(parse_json(json).unwrap_err().to_string().contains(word), "{json}");
        }
    }
}
