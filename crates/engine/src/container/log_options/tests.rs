//! Options as a container's creation brings them.

use bollard_stubs::models::HostConfig;
use minke_supervisor::{RecordFormat, Retry, SyslogForm};

use super::*;

fn parse_json(log: &str) -> Result<LogPlan, Error> {
    let mut record = Record::for_tests();
    record.host = serde_json::from_str::<HostConfig>(&format!("{{\"LogConfig\":{log}}}")).unwrap();
    parse(&record, "host", Path::new("/x/log"))
}

fn file(log: &str) -> LogConfig {
    let plan = parse_json(log).unwrap();
    assert_eq!(plan.endpoint, None);
    plan.config
}

fn collector(log: &str) -> CollectorConfig {
    parse_json(log).unwrap().config.collector.unwrap()
}

#[test]
fn json_file_is_the_default_and_can_rotate() {
    assert_eq!(file("{}").path.as_deref(), Some(Path::new("/x/log")));
    let log =
        file(r#"{"Type":"json-file","Config":{"max-size":"10m","max-file":"3","mode":"non-blocking"}}"#);
    assert_eq!((log.max_size, log.max_files), (Some(10 << 20), Some(3)));
    assert_eq!(file(r#"{"Type":"none"}"#), LogConfig::default());
}

#[test]
fn local_is_bounded_by_itself() {
    let log = file(r#"{"Type":"local"}"#);
    assert_eq!((log.max_size, log.max_files), (Some(20 << 20), Some(5)));
    let log = file(r#"{"Type":"local","Config":{"max-size":"1m","compress":"true"}}"#);
    assert_eq!(log.max_size, Some(1 << 20));
}

#[test]
fn syslog_has_dockers_defaults_and_options() {
    let plan = parse_json(r#"{"Type":"syslog"}"#).unwrap();
    assert_eq!(plan.endpoint, Some(Endpoint::LocalSyslog));
    assert_eq!((plan.config.max_size, plan.config.max_files), (Some(20 << 20), Some(5)));
    let RecordFormat::Syslog(format) = plan.config.collector.unwrap().format else { panic!() };
    assert_eq!((format.form, format.facility, format.tag.len()), (SyslogForm::Local, 3, 12));
    let json = r#"{"Type":"syslog","Config":{"syslog-address":"udp://10.0.0.1","syslog-facility":"local3",
        "syslog-format":"rfc5424micro","tag":"{{.Name}}","mode":"non-blocking","max-buffer-size":"4m"}}"#;
    let plan = parse_json(json).unwrap();
    assert_eq!(plan.endpoint, Some(Endpoint::Udp("10.0.0.1".to_owned(), 514)));
    let collector = plan.config.collector.unwrap();
    assert_eq!((collector.buffer, collector.overflow), (4 << 20, Overflow::Drop));
    let RecordFormat::Syslog(format) = collector.format else { panic!() };
    assert_eq!((format.form, format.facility, format.tag), (SyslogForm::Rfc5424Micro, 19, "web".to_owned()));
}

#[test]
fn fluentd_has_dockers_defaults_and_options() {
    let plan = parse_json(r#"{"Type":"fluentd"}"#).unwrap();
    assert_eq!(plan.endpoint, Some(Endpoint::Tcp("127.0.0.1".to_owned(), 24224)));
    let config = plan.config.collector.unwrap();
    assert_eq!((config.buffer, config.overflow, config.lazy), (1 << 20, Overflow::Block, false));
    let json = r#"{"Type":"fluentd","Config":{"fluentd-async":"true","fluentd-buffer-limit":"8MB","fluentd-retry-wait":"2s",
        "fluentd-max-retries":"9","fluentd-sub-second-precision":"1","fluentd-request-ack":"T","fluentd-write-timeout":"500ms",
        "fluentd-async-reconnect-interval":"10s","labels":"a","env":"B","cache-disabled":"true"}}"#;
    let plan = parse_json(json).unwrap();
    assert_eq!(plan.config.path, None);
    let config = plan.config.collector.unwrap();
    assert_eq!(config.retry, Retry { first_ms: 2000, longest_ms: 60_000, most: Some(9) });
    assert_eq!((config.buffer, config.lazy), (8 << 20, true));
    assert_eq!((config.write_timeout_ms, config.reconnect_ms), (Some(500), Some(10_000)));
    let RecordFormat::Fluentd(format) = config.format else { panic!() };
    assert!(format.sub_second && format.acknowledged);
    let fields: Vec<_> = format.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(fields[..2], ["B=2", "a=label"]);
    assert_eq!(fields[3], "container_name=/web");
}

#[test]
fn the_buffer_of_non_blocking_mode_wins_over_fluentds_own() {
    let json = r#"{"Type":"fluentd","Config":{"fluentd-buffer-limit":"8m","mode":"non-blocking","max-buffer-size":"2m"}}"#;
    assert_eq!(collector(json).buffer, 2 << 20);
}

#[test]
fn a_log_is_readable_where_it_is_kept() {
    let readable = |log: &str| {
        let mut record = Record::for_tests();
        record.host = serde_json::from_str(&format!("{{\"LogConfig\":{log}}}")).unwrap();
        is_readable(&record)
    };
    assert!(readable("{}") && readable(r#"{"Type":"syslog"}"#));
    assert!(!readable(r#"{"Type":"none"}"#));
    assert!(!readable(r#"{"Type":"fluentd","Config":{"cache-disabled":"true"}}"#));
}

#[test]
fn other_drivers_and_unknown_options_are_refused_by_name() {
    for (json, word) in [
        (r#"{"Type":"gelf"}"#, "gelf"),
        (r#"{"Type":"local","Config":{"labels":"a"}}"#, "unknown log opt 'labels' for local log driver"),
        (r#"{"Config":{"colour":"red"}}"#, "unknown log opt 'colour' for json-file log driver"),
        (
            r#"{"Type":"syslog","Config":{"max-size":"1m"}}"#,
            "unknown log opt 'max-size' for syslog log driver",
        ),
        (r#"{"Type":"fluentd","Config":{"x":"1"}}"#, "unknown log opt 'x' for fluentd log driver"),
        (r#"{"Config":{"max-size":"big"}}"#, "max-size"),
        (r#"{"Config":{"compress":"true"}}"#, "compress"),
        (r#"{"Config":{"mode":"maybe"}}"#, "logging mode not supported: maybe"),
        (r#"{"Config":{"max-buffer-size":"1m"}}"#, "mode=non-blocking"),
        (r#"{"Type":"syslog","Config":{"syslog-address":"host:1"}}"#, "proto://address"),
        (r#"{"Type":"syslog","Config":{"syslog-address":"tcp+tls://host"}}"#, "TLS"),
        (r#"{"Type":"syslog","Config":{"syslog-tls-key":"x"}}"#, "syslog-tls-key"),
        (r#"{"Type":"syslog","Config":{"syslog-format":"rfc1"}}"#, "rfc1"),
        (r#"{"Type":"syslog","Config":{"tag":"{{.Nope}}"}}"#, "Nope"),
        (r#"{"Type":"fluentd","Config":{"fluentd-address":"udp://x"}}"#, "fluentd-address"),
        (r#"{"Type":"fluentd","Config":{"fluentd-async-reconnect-interval":"1h"}}"#, "between"),
        (r#"{"Type":"fluentd","Config":{"fluentd-retry-wait":"soon"}}"#, "fluentd-retry-wait"),
    ] {
        let error = parse_json(json).unwrap_err().to_string();
        assert!(error.contains(word), "{json}: {error}");
    }
}
