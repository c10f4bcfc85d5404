//! `--log-driver` and `--log-opt`: where a container's output is kept, and who gets it too.
//!
//! Each driver has a file that knows its options. What holds for all of them is here: `mode`, `max-buffer-size`, and
//! the `cache-…` options, which bound the log that `docker logs` reads when the driver's own can't be read (Docker, "dual
//! logging").

mod address;
mod file;
mod fluentd;
mod syslog;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use bollard_stubs::models::{ContainerConfig, HostConfig, HostConfigLogConfig};
use minke_model::{ContainerId, ImageId, quantity};
use minke_supervisor::{CollectorConfig, LogConfig, Overflow};

use self::address::Endpoint;
use super::{Record, record::NewRecord};
use crate::Error;

/// The drivers that there are, as `info` lists them.
pub(crate) const DRIVERS: [&str; 5] = ["fluentd", "json-file", "local", "none", "syslog"];
/// Those that Docker has beside them.
const DOCKERS: [&str; 6] = ["awslogs", "etwlogs", "gcplogs", "gelf", "journald", "splunk"];

/// Docker's size of the buffer in front of a driver.
const BUFFER: u64 = 1 << 20;
/// How large a file of the local driver or of a cache gets, and how many there are; Docker's.
const LOCAL_SIZE: u64 = 20 << 20;
const LOCAL_FILES: u32 = 5;

/// The supervisor's settings, but for the collector's address, which may be a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogPlan {
    config: LogConfig,
    endpoint: Option<Endpoint>,
}

impl LogPlan {
    /// The settings, with the address that the name has now.
    ///
    /// # Errors
    /// When the name has none.
    pub(super) async fn resolve(self) -> Result<LogConfig, Error> {
        let mut config = self.config;
        if let (Some(collector), Some(endpoint)) = (&mut config.collector, self.endpoint) {
            collector.addresses = endpoint.resolve().await?;
        }
        Ok(config)
    }
}

/// Reads a container's options; `path` is the file of its log, `host_name` this machine's.
///
/// # Errors
/// `InvalidParameter` for an unknown option or a malformed value, `NotImplemented` for other drivers.
pub(super) fn parse(record: &Record, host_name: &str, path: &Path) -> Result<LogPlan, Error> {
    let config = record.host.log_config.clone().unwrap_or_default();
    let driver = config.typ.as_deref().filter(|driver| !driver.is_empty()).unwrap_or("json-file");
    let given = config.config.unwrap_or_default();
    let mut options = Options { driver, rest: given };
    let mode = mode(&mut options)?;
    let cache = cache(&mut options, path)?;
    let plan = match driver {
        "json-file" | "local" => file::parse(&mut options, path)?.into(),
        "none" => return Ok(LogConfig::default().into()),
        "syslog" => {
            let (collector, endpoint) = syslog::parse(&mut options, record, host_name, mode)?;
            remote(cache, collector, endpoint)
        }
        "fluentd" => {
            let (collector, endpoint) = fluentd::parse(&mut options, record, mode)?;
            remote(cache, collector, endpoint)
        }
        driver if !DOCKERS.contains(&driver) => {
            return Err(Error::invalid(format!("logger: no log driver named '{driver}' is registered")));
        }
        driver => {
            return Err(Error::not_implemented(format!(
                "logging driver {driver:?} can't be honoured: this engine has {}",
                DRIVERS.join(", ")
            )));
        }
    };
    options.refuse_rest()?;
    Ok(plan)
}

/// Checks options as they are for a container without a name, labels or variables.
///
/// # Errors
/// As for [`parse`].
pub(crate) fn check(driver: &str, options: &HashMap<String, String>) -> Result<(), Error> {
    let log = HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(options.clone()) };
    let record = Record::from(NewRecord {
        id: ContainerId::from_random([0; 32]),
        name: String::new(),
        image: ImageId::from_bytes([0; 32]),
        config: ContainerConfig::default(),
        host: HostConfig { log_config: Some(log), ..HostConfig::default() },
        networks: BTreeMap::new(),
        mounts: Vec::new(),
    });
    parse(&record, "", Path::new("/")).map(drop)
}

/// Whether a container's log can be read.
pub(crate) fn is_readable(record: &Record) -> bool {
    let Some(log) = &record.host.log_config else { return true };
    let disabled = log.config.as_ref().and_then(|options| options.get("cache-disabled"));
    match log.typ.as_deref() {
        Some("none") => false,
        Some("syslog" | "fluentd") => disabled.is_none_or(|text| go_bool(text) != Some(true)),
        _ => true,
    }
}

impl From<LogConfig> for LogPlan {
    fn from(config: LogConfig) -> Self {
        Self { config, endpoint: None }
    }
}

fn remote(cache: LogConfig, collector: CollectorConfig, endpoint: Endpoint) -> LogPlan {
    LogPlan { config: LogConfig { collector: Some(collector), ..cache }, endpoint: Some(endpoint) }
}

/// What becomes of records for which there is no room, and how much there is, if that is said.
#[derive(Debug, Clone, Copy)]
struct Mode {
    overflow: Overflow,
    buffer: Option<u64>,
}

fn mode(options: &mut Options<'_>) -> Result<Mode, Error> {
    let overflow = match options.take("mode").as_deref() {
        None | Some("" | "blocking") => Overflow::Block,
        Some("non-blocking") => Overflow::Drop,
        Some(other) => return Err(Error::invalid(format!("logger: logging mode not supported: {other}"))),
    };
    let buffer = options.take_size("max-buffer-size")?;
    if buffer.is_some() && overflow == Overflow::Block {
        return Err(Error::invalid(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ));
    }
    Ok(Mode { overflow, buffer })
}

/// The log of a driver that can't be read back.
fn cache(options: &mut Options<'_>, path: &Path) -> Result<LogConfig, Error> {
    let disabled = options.take_bool("cache-disabled")?.unwrap_or(false);
    let size = options.take_size("cache-max-size")?.unwrap_or(LOCAL_SIZE);
    let files = options.take_count("cache-max-file")?.unwrap_or(LOCAL_FILES);
    // Whether old files are compressed is the cache's own business.
    options.take_bool("cache-compress")?;
    Ok(match disabled {
        true => LogConfig::default(),
        false => LogConfig {
            path: Some(path.to_owned()),
            max_size: Some(size),
            max_files: Some(files),
            collector: None,
        },
    })
}

/// The options that nobody has taken yet.
struct Options<'a> {
    driver: &'a str,
    rest: HashMap<String, String>,
}

impl Options<'_> {
    fn take(&mut self, key: &str) -> Option<String> {
        self.rest.remove(key)
    }

    /// An option read by `read`; an empty one is none.
    fn take_as<T>(&mut self, key: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(text) = self.take(key).filter(|text| !text.is_empty()) else { return Ok(None) };
        let invalid = || Error::invalid(format!("invalid value for {key}: {text:?}"));
        read(&text).map(Some).ok_or_else(invalid)
    }

    fn take_size(&mut self, key: &str) -> Result<Option<u64>, Error> {
        self.take_as(key, size)
    }

    fn take_count(&mut self, key: &str) -> Result<Option<u32>, Error> {
        self.take_as(key, |text| text.parse::<u32>().ok().filter(|count| *count >= 1))
    }

    fn take_bool(&mut self, key: &str) -> Result<Option<bool>, Error> {
        self.take_as(key, go_bool)
    }

    /// A duration in milliseconds.
    fn take_duration(&mut self, key: &str) -> Result<Option<u64>, Error> {
        self.take_as(key, |text| u64::try_from(quantity::parse_duration_nanos(text).ok()? / 1_000_000).ok())
    }

    /// What labels and variables a record carries is read where it is used.
    fn skip_attributes(&mut self) {
        for key in ["labels", "labels-regex", "env", "env-regex", "tag"] {
            self.rest.remove(key);
        }
    }

    fn refuse_rest(&self) -> Result<(), Error> {
        match self.rest.keys().min() {
            None => Ok(()),
            Some(key) => {
                Err(Error::invalid(format!("unknown log opt '{key}' for {} log driver", self.driver)))
            }
        }
    }
}

/// `10m`, `1g`, `512k`, `4096`; binary multiples, as Docker reads them.
fn size(text: &str) -> Option<u64> {
    u64::try_from(quantity::parse_bytes(text.trim()).ok()?).ok().filter(|size| *size > 0)
}

/// What Go's strconv.ParseBool takes.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
