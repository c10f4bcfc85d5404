//! The structs behind the API's JSON that people print whole (`{{.Mounts}}`, `{{.NetworkSettings.Ports}}`).
//!
//! JSON does not tell a struct from a map, Go's `%v` does: `{tcp 80}` against `map[…]`. A struct is recognized by its
//! keys and the types of their values, so it looks the same whichever way a template came to it. The same table says
//! what an omitted field is: the zero value, no mistake. Called by [`super::display`] and by [`super::evaluate`].

use serde_json::{Map, Value};

/// What a field is where the API leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Text,
    Number,
    False,
    List,
    Map,
    /// A pointer or a value of another struct.
    Nil,
    /// Nanoseconds, printed as `1m30s`.
    Duration,
}

use Zero::{Duration, False, List, Map as Keyed, Nil, Number, Text};

/// A Go struct: its fields in the order in which Go declares and prints them.
#[derive(Debug)]
pub(super) struct Shape {
    /// The first so many are always present.
    needed: usize,
    pub(super) fields: &'static [(&'static str, Zero)],
    /// Where a present one does not stand first in `fields`: their places.
    order: &'static [usize],
}

const fn shape(needed: usize, fields: &'static [(&'static str, Zero)]) -> Shape {
    Shape { needed, fields, order: &[] }
}

static SHAPES: [Shape; 14] = [
    shape(2, &[("HostIp", Text), ("HostPort", Text)]),
    Shape {
        needed: 5,
        fields: &[
            ("Type", Text),
            ("Destination", Text),
            ("Mode", Text),
            ("RW", False),
            ("Propagation", Text),
            ("Name", Text),
            ("Source", Text),
            ("Driver", Text),
        ],
        order: &[0, 5, 6, 1, 7, 2, 3, 4],
    },
    shape(
        11,
        &[
            ("Status", Text),
            ("Running", False),
            ("Paused", False),
            ("Restarting", False),
            ("OOMKilled", False),
            ("Dead", False),
            ("Pid", Number),
            ("ExitCode", Number),
            ("Error", Text),
            ("StartedAt", Text),
            ("FinishedAt", Text),
            ("Health", Nil),
        ],
    ),
    shape(3, &[("Status", Text), ("FailingStreak", Number), ("Log", List)]),
    shape(4, &[("Start", Text), ("End", Text), ("ExitCode", Number), ("Output", Text)]),
    shape(2, &[("Name", Text), ("MaximumRetryCount", Number)]),
    shape(2, &[("Type", Text), ("Config", Keyed)]),
    shape(2, &[("Data", Keyed), ("Name", Text)]),
    shape(1, &[("Type", Text), ("Layers", List)]),
    shape(3, &[("Driver", Text), ("Options", Keyed), ("Config", List)]),
    shape(1, &[("Subnet", Text), ("IPRange", Text), ("Gateway", Text), ("AuxiliaryAddresses", Keyed)]),
    shape(
        1,
        &[
            ("Test", List),
            ("Interval", Duration),
            ("Timeout", Duration),
            ("StartPeriod", Duration),
            ("StartInterval", Duration),
            ("Retries", Number),
        ],
    ),
    shape(3, &[("PathOnHost", Text), ("PathInContainer", Text), ("CgroupPermissions", Text)]),
    shape(4, &[("Volume", List), ("Network", List), ("Authorization", List), ("Log", List)]),
];

impl Shape {
    /// The struct that has exactly these keys, but for those that the API may leave out.
    pub(super) fn of(map: &Map<String, Value>) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.fits(map))
    }

    fn fits(&self, map: &Map<String, Value>) -> bool {
        let present = self.fields.iter().filter(|(name, zero)| map.get(*name).is_some_and(|v| zero.fits(v)));
        present.count() == map.len()
            && self.fields[..self.needed].iter().all(|(name, _)| map.contains_key(*name))
    }

    /// What the field is when it is absent; `None` where the struct has no such field.
    pub(super) fn zero(&self, name: &str) -> Option<Zero> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, zero)| *zero)
    }

    /// The fields in the order in which Go prints them.
    pub(super) fn printed(&self) -> impl Iterator<Item = (&'static str, Zero)> {
        (0..self.fields.len()).map(|at| self.fields[self.order.get(at).copied().unwrap_or(at)])
    }
}

impl Zero {
    fn fits(self, value: &Value) -> bool {
        match self {
            Text => value.is_string(),
            Number | Duration => value.is_number(),
            False => value.is_boolean(),
            List => value.is_array() || value.is_null(),
            Keyed => value.is_object() || value.is_null(),
            Nil => value.is_object() || value.is_null(),
        }
    }

    /// The value of an absent field.
    pub(super) fn value(self) -> Value {
        match self {
            Text => Value::from(""),
            Number | Duration => Value::from(0),
            False => Value::from(false),
            List => Value::Array(Vec::new()),
            Keyed => Value::Object(Map::new()),
            Nil => Value::Null,
        }
    }
}

/// Nanoseconds as Go's `time.Duration` prints them.
pub(super) fn duration_text(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let decimal = |unit: u64, name: &str| {
        let fraction = size % unit;
        let digits = unit.ilog10() as usize;
        let fraction = if fraction == 0 {
            String::new()
        } else {
            format!(".{}", format!("{fraction:0digits$}").trim_end_matches('0'))
        };
        format!("{sign}{}{fraction}{name}", size / unit)
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => decimal(1, "ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let (whole, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let seconds = duration_seconds(rest);
            match (whole / 60, whole % 60) {
                (0, 0) => format!("{sign}{seconds}"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// Below a minute, in seconds.
fn duration_seconds(nanoseconds: u64) -> String {
    let text = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_as_gos() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (1_000_000_000, "1s"),
            (1_050_000_000, "1.05s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1_000_000_000, "-1s"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(duration_text(nanoseconds), expected);
        }
    }

    #[test]
    fn every_order_names_each_field_once() {
        for shape in &SHAPES {
            let names: std::collections::BTreeSet<_> = shape.printed().map(|(name, _)| name).collect();
            assert_eq!(names.len(), shape.fields.len(), "{shape:?}");
        }
    }

    #[test]
    fn a_users_labels_are_a_map_even_with_a_structs_names() {
        let labels = serde_json::json!({"Name": "x", "MaximumRetryCount": "3"});
        assert!(Shape::of(labels.as_object().unwrap()).is_none());
    }
}
