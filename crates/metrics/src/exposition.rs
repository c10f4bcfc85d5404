//! The two text formats: Prometheus' own (0.0.4) and OpenMetrics 1.0.
//!
//! They differ in little: OpenMetrics names a family of counters without the `_total` of its samples, and ends with a mark.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

use std::fmt::{Display, Write};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4, which everything reads.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// What a family's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Goes up only; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets of what was observed.
    Histogram,
    /// A counter whose established name has no `_total`, which OpenMetrics has no word for.
    Untyped,
}

/// What all numbers of one name have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

impl Format {
    /// The `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What follows the last family.
    pub(crate) fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }

    fn word(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::Counter, _) => "counter",
            (Kind::Gauge, _) => "gauge",
            (Kind::Histogram, _) => "histogram",
            (Kind::Untyped, Self::Text) => "untyped",
            (Kind::Untyped, Self::OpenMetrics) => "unknown",
        }
    }

    /// Writes the lines above a family's numbers.
    pub(crate) fn head(self, head: &Head, out: &mut String) {
        let name = match (self, head.kind) {
            (Self::OpenMetrics, Kind::Counter) => head.name.strip_suffix("_total").unwrap_or(head.name),
            _ => head.name,
        };
        line(out, format_args!("# HELP {name} {}", head.help));
        line(out, format_args!("# TYPE {name} {}", self.word(head.kind)));
    }
}

/// Writes the numbers of one family.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    name: &'static str,
    /// Labels that all of them have, as [`Labels`] writes them.
    labels: &'a str,
    out: &'a mut String,
}

impl<'a> Samples<'a> {
    pub(crate) fn new(name: &'static str, labels: &'a str, out: &'a mut String) -> Self {
        Self { name, labels, out }
    }

    /// One number.
    pub(crate) fn value(&mut self, value: impl Display) {
        self.line("", "", value);
    }

    /// One number with further labels.
    pub(crate) fn labelled<const N: usize>(&mut self, labels: [(&str, &str); N], value: impl Display) {
        let mut further = Labels::default();
        for (name, value) in labels {
            further.add(name, value);
        }
        self.line("", further.as_str(), value);
    }

    /// The numbers of a histogram: how many were at most each bound (ascending), how many there were, and their sum.
    pub(crate) fn histogram<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        let mut shared = Labels::default();
        for (name, value) in labels {
            shared.add(name, value);
        }
        let mut bucket = |bound: &str, count: u64| {
            let mut labels = shared.clone();
            labels.add("le", bound);
            self.line("_bucket", labels.as_str(), count);
        };
        for (bound, count) in buckets {
            // OpenMetrics wants a point in each, and the other doesn't mind.
            bucket(&format!("{bound:?}"), count);
        }
        bucket("+Inf", count);
        self.line("_sum", shared.as_str(), sum);
        self.line("_count", shared.as_str(), count);
    }

    fn line(&mut self, suffix: &str, further: &str, value: impl Display) {
        let (name, labels) = (self.name, self.labels);
        match (labels, further) {
            ("", "") => line(self.out, format_args!("{name}{suffix} {value}")),
            ("", one) | (one, "") => line(self.out, format_args!("{name}{suffix}{{{one}}} {value}")),
            _ => line(self.out, format_args!("{name}{suffix}{{{labels},{further}}} {value}")),
        }
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

/// Names and values of labels, as they stand between the braces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels(String);

impl Labels {
    /// Adds one; `name` must be one that [`label_name`] would not change.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
        self.0.push('"');
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A label's name of any text: letters, digits and underscores, the others replaced.
pub(crate) fn label_name(prefix: &str, text: &str) -> String {
    let allowed = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    prefix.chars().chain(text.chars().map(allowed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: Head = Head { name: "x_seconds_total", kind: Kind::Counter, help: "Time." };
    const UNTYPED: Head = Head { name: "x_failcnt", kind: Kind::Untyped, help: "Hits." };

    fn head(format: Format, head: &Head) -> String {
        let mut out = String::new();
        format.head(head, &mut out);
        out
    }

    #[test]
    fn the_formats_name_families_of_counters_differently() {
        assert_eq!(
            head(Format::Text, &COUNTER),
            "# HELP x_seconds_total Time.\n# TYPE x_seconds_total counter\n"
        );
        assert_eq!(head(Format::OpenMetrics, &COUNTER), "# HELP x_seconds Time.\n# TYPE x_seconds counter\n");
        assert!(head(Format::Text, &UNTYPED).contains("# TYPE x_failcnt untyped"));
        assert!(head(Format::OpenMetrics, &UNTYPED).contains("# TYPE x_failcnt unknown"));
    }

    #[test]
    fn values_of_labels_may_hold_anything() {
        let mut out = String::new();
        let mut shared = Labels::default();
        shared.add("name", "a\"b\\c\nd}ü");
        Samples::new("x", shared.as_str(), &mut out).labelled([("state", "run,ning")], 1.5);
        assert_eq!(out, "x{name=\"a\\\"b\\\\c\\nd}ü\",state=\"run,ning\"} 1.5\n");
    }

    #[test]
    fn names_of_labels_hold_what_is_allowed() {
        assert_eq!(
            label_name("container_label_", "com.example/tier-ä"),
            "container_label_com_example_tier__"
        );
    }

    #[test]
    fn histograms_have_a_bucket_for_all() {
        let mut out = String::new();
        let mut samples = Samples::new("x", "", &mut out);
        samples.histogram([("action", "start")], [(0.5, 1), (10.0, 2)].into_iter(), 3, 20.25);
        let lines = [
            "x_bucket{action=\"start\",le=\"0.5\"} 1",
            "x_bucket{action=\"start\",le=\"10.0\"} 2",
            "x_bucket{action=\"start\",le=\"+Inf\"} 3",
            "x_sum{action=\"start\"} 20.25",
            "x_count{action=\"start\"} 3",
        ];
        assert_eq!(out.lines().collect::<Vec<_>>(), lines);
    }
}
