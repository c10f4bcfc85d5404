//! Which format a client wants, RFC 9110, 12.5.1.

use crate::exposition::Format;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// The format that suits the `Accept` header best: OpenMetrics for who asks for it before plain text, else Prometheus' own.
pub(crate) fn format(accept: &str) -> Format {
    let mut best = (0.0, Format::Text);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameter = |name: &str| {
            let pairs = parts.clone().filter_map(|part| part.split_once('='));
            pairs
                .map(|(key, value)| (key.trim(), value.trim()))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let version = parameter("version").map(|(_, version)| version);
        let format = match media_type.as_str() {
            // 0.0.1 is what it was called before; the text is the same.
            OPEN_METRICS if matches!(version, None | Some("1.0.0" | "0.0.1")) => Format::OpenMetrics,
            "text/plain" if matches!(version, None | Some("0.0.4")) => Format::Text,
            _ => continue,
        };
        let quality = parameter("q").and_then(|(_, q)| q.parse::<f64>().ok()).unwrap_or(1.0);
        if quality > best.0 {
            best = (quality, format);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_who_asks_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(prometheus), Format::OpenMetrics);
        for accept in [
            "",
            "*/*",
            "text/html, */*;q=0.8",
            "application/openmetrics-text; version=2.0.0",
            "text/plain; version=0.0.4, application/openmetrics-text; version=1.0.0; q=0.3",
            "application/openmetrics-text;q=0",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;q=0.3",
            ";;=,q",
        ] {
            assert_eq!(format(accept), Format::Text, "{accept:?}");
        }
    }
}
