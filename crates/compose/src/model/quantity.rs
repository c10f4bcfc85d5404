//! Quantities as Compose files write them: byte sizes, durations, modes and counts.

use std::fmt;

use minke_model::quantity::duration_nanos;

use super::attribute::{Attribute, Form, wrong};
use crate::{
    load::error::Fault,
    tree::{Content, Node, path::Path},
    value::Value,
};

/// A number of bytes; negative where the attribute allows it (`memswap_limit: -1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub i64);

impl Bytes {
    /// The size of a text such as `64m`, `1.5 GiB` or `1024`; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "-1" {
            return Some(Self(-1));
        }
        let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
        let (number, unit) = text.split_at(last + 1);
        let number: f64 = number.trim_end_matches(' ').parse().ok()?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1_u64,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            "p" | "pb" | "pib" => 1 << 50,
            _ => return None,
        };
        #[expect(clippy::cast_precision_loss, reason = "powers of two are exact")]
        let bytes = number * factor as f64;
        #[expect(clippy::cast_possible_truncation, reason = "the range was compared")]
        (number >= 0.0 && bytes < 9.2e18).then_some(Self(bytes as i64))
    }
}

impl Attribute for Bytes {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Null => Ok(Self(0)),
            Content::Int(value) => Ok(Self(*value)),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "no size has a fraction; what is too large is the largest"
            )]
            Content::Float(value) => Ok(Self(*value as i64)),
            Content::Str(text) => {
                Self::parse(text).ok_or_else(|| Fault::new(node.at, path, format!("invalid size: '{text}'")))
            }
            _ => wrong(node, path, "a size such as 64m"),
        }
    }

    fn write(&self, form: Form) -> Option<Value> {
        (self.0 != 0).then(|| self.item(form))
    }

    fn item(&self, _: Form) -> Value {
        Value::Str(self.0.to_string())
    }
}

/// A time span in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub i64);

/// What Compose has beyond Go's units.
const MORE_UNITS: [(&str, i64); 2] = [("d", 86_400_000_000_000), ("w", 7 * 86_400_000_000_000)];

impl Duration {
    /// The same for clocks; what is negative is no time at all.
    #[must_use]
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// The time of a text such as `1m30s`, `1.5h` or `2d`; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        duration_nanos(text, &MORE_UNITS).ok().map(Self)
    }
}

/// As Go writes it: `1m30s`, `1.5s`, `300ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match nanoseconds {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanoseconds}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(nanoseconds, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(nanoseconds, 1_000_000)),
            _ => {
                let minutes = nanoseconds / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(nanoseconds % 60_000_000_000, 1_000_000_000))
            }
        }
    }
}

/// A count of units with its fraction, without zeros at the end.
fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Attribute for Duration {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Null => Ok(Self(0)),
            Content::Str(text) => Self::parse(text)
                .ok_or_else(|| Fault::new(node.at, path, format!("invalid duration {text:?}"))),
            Content::Int(0) => Ok(Self(0)),
            _ => wrong(node, path, "a duration such as 1m30s"),
        }
    }

    fn write(&self, form: Form) -> Option<Value> {
        (self.0 != 0).then(|| self.item(form))
    }

    fn item(&self, _: Form) -> Value {
        Value::Str(self.to_string())
    }
}

/// The mode of a file; written in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FileMode(pub i64);

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{:o}", self.0)
    }
}

impl Attribute for FileMode {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Int(value) => Ok(Self(*value)),
            Content::Str(text) => match i64::from_str_radix(text, 8) {
                Ok(value) => Ok(Self(value)),
                Err(_) => Err(Fault::new(node.at, path, format!("invalid file mode {text:?}: it is octal"))),
            },
            _ => wrong(node, path, "a file mode such as 0440"),
        }
    }

    fn write(&self, form: Form) -> Option<Value> {
        Some(self.item(form))
    }

    fn item(&self, _: Form) -> Value {
        Value::Str(self.to_string())
    }
}

/// How many devices; `-1` is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct DeviceCount(pub i64);

impl DeviceCount {
    /// All that there are.
    pub const ALL: Self = Self(-1);
}

impl Attribute for DeviceCount {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Str(text) if text.eq_ignore_ascii_case("all") => Ok(Self::ALL),
            Content::Str(text) => text.parse().map(Self).map_err(|_| {
                let message = format!("invalid value {text:?}, the only value allowed is 'all' or a number");
                Fault::new(node.at, path, message)
            }),
            _ => i64::read(node, path).map(Self),
        }
    }

    fn write(&self, form: Form) -> Option<Value> {
        self.0.write(form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("1024", 1024),
            ("64m", 64 << 20),
            ("1.5 GiB", 3 << 29),
            ("2kb", 2048),
            ("7b", 7),
            ("-1", -1),
            ("1T", 1 << 40),
        ] {
            assert_eq!(Bytes::parse(text), Some(Bytes(bytes)), "{text}");
        }
        for text in ["", "m", "1x", "-5m", "1.2.3m", "1mbb", "99999999999p"] {
            assert_eq!(Bytes::parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, written) in [
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            ("2d", "48h0m0s"),
            ("1w", "168h0m0s"),
            ("1500us", "1.5ms"),
            ("0", "0s"),
            ("-10s", "-10s"),
            ("1h2m3.25s", "1h2m3.25s"),
            ("999ns", "999ns"),
        ] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), written, "{text}");
        }
        for text in ["", "10", "s", ".s", "1x", "1h-2m", "99999999999h"] {
            assert_eq!(Duration::parse(text), None, "{text}");
        }
    }
}
