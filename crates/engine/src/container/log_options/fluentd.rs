//! The options of the fluentd driver (Docker, "Fluentd logging driver").

use minke_supervisor::{CollectorConfig, FluentdFormat, RecordFormat, Retry};

use super::{BUFFER, Mode, Options, Record, address::Endpoint};
use crate::{
    Error,
    logs::{attributes, tag},
};

const PORT: u16 = 24224;
/// The first pause between attempts, and the longest.
const FIRST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 60_000;
/// What Docker allows for the reconnection interval.
const INTERVALS_MS: std::ops::RangeInclusive<u64> = 100..=10_000;

pub(super) fn parse(
    options: &mut Options<'_>,
    record: &Record,
    mode: Mode,
) -> Result<(CollectorConfig, Endpoint), Error> {
    let tag = tag::of(record, options.take("tag").as_deref())?;
    let mut fields = attributes::chosen(record);
    // The record's own.
    fields.retain(|key, _| key != "source" && key != "log");
    fields.entry("container_id".to_owned()).or_insert_with(|| record.id.to_string());
    fields.entry("container_name".to_owned()).or_insert_with(|| format!("/{}", record.name));
    options.skip_attributes();
    let address = options.take("fluentd-address").unwrap_or_default();
    if address.starts_with("tls://") {
        return Err(Error::not_implemented(format!(
            "fluentd-address={address} can't be honoured: Fluentd over TLS"
        )));
    }
    let endpoint = Endpoint::parse("fluentd-address", &address, &["tcp", "unix"], PORT)?;
    let lazy = options.take_bool("fluentd-async")?.unwrap_or(false);
    let limit = options.take_size("fluentd-buffer-limit")?;
    let first_ms = options.take_duration("fluentd-retry-wait")?.unwrap_or(FIRST_MS).max(1);
    let most = options.take_as("fluentd-max-retries", |text| text.parse().ok())?;
    let collector = CollectorConfig {
        addresses: Vec::new(),
        format: RecordFormat::Fluentd(FluentdFormat {
            tag,
            fields: fields.into_iter().collect(),
            sub_second: options.take_bool("fluentd-sub-second-precision")?.unwrap_or(false),
            acknowledged: options.take_bool("fluentd-request-ack")?.unwrap_or(false),
        }),
        buffer: mode.buffer.or(limit).unwrap_or(BUFFER),
        overflow: mode.overflow,
        lazy,
        retry: Retry { first_ms, longest_ms: LONGEST_MS.max(first_ms), most },
        write_timeout_ms: options.take_duration("fluentd-write-timeout")?.filter(|time| *time > 0),
        reconnect_ms: reconnect_interval(options, lazy)?,
    };
    Ok((collector, endpoint))
}

fn reconnect_interval(options: &mut Options<'_>, lazy: bool) -> Result<Option<u64>, Error> {
    let interval = options.take_duration("fluentd-async-reconnect-interval")?.filter(|time| *time > 0);
    if interval.is_some_and(|interval| !INTERVALS_MS.contains(&interval)) {
        return Err(Error::invalid(
            "invalid value for fluentd-async-reconnect-interval: it should be between 100ms and 10s",
        ));
    }
    // As in Docker it has no meaning without fluentd-async.
    Ok(interval.filter(|_| lazy))
}
