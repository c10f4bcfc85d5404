//! How values look when they are printed, as Go's `%v` writes them.

use serde_json::{Map, Number, Value};

use super::shapes::{Shape, Zero, duration_text};

/// Fields that hold a list in Docker's Go types: nil prints as `[]`.
const LISTS: [&str; 25] = [
    "Binds",
    "Cmd",
    "Entrypoint",
    "Env",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "VolumesFrom",
    "CapAdd",
    "CapDrop",
    "SecurityOpt",
    "Devices",
    "Ulimits",
    "ExecIDs",
    "RepoTags",
    "RepoDigests",
    "OnBuild",
    "Mounts",
    "Aliases",
    "DNSNames",
    "MaskedPaths",
    "ReadonlyPaths",
];

/// Fields that hold text and that the API may leave out.
const TEXTS: [&str; 5] = ["MacAddress", "OsVersion", "StopSignal", "Variant", "CreatedAt"];

/// Fields that hold nanoseconds.
const DURATIONS: [&str; 4] = ["Interval", "StartInterval", "StartPeriod", "Timeout"];

/// Fields that hold a map: nil prints as `map[]`.
const MAPS: [&str; 13] = [
    "Labels",
    "Options",
    "DriverOpts",
    "Volumes",
    "ExposedPorts",
    "PortBindings",
    "Ports",
    "Networks",
    "Sysctls",
    "Tmpfs",
    "StorageOpt",
    "Annotations",
    "Containers",
];

/// The text of an action; `field` is the field it came from, which tells how nothing looks.
pub(super) fn printed(value: &Value, field: Option<&str>) -> String {
    match (value, field) {
        (Value::Null, Some(field)) if LISTS.contains(&field) => "[]".to_owned(),
        (Value::Null, Some(field)) if MAPS.contains(&field) => "map[]".to_owned(),
        (Value::Null, Some(field)) if TEXTS.contains(&field) => String::new(),
        (Value::Null, Some(_)) => "<nil>".to_owned(),
        (Value::Null, None) => "<no value>".to_owned(),
        (Value::Number(number), Some(field)) if DURATIONS.contains(&field) => {
            number.as_i64().map_or_else(|| plain(value), duration_text)
        }
        (value, _) => plain(value),
    }
}

/// `%v`: lists as `[a b]`, maps as `map[k:v]` in the order of their keys, known structs as `{a b}`.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => self::number(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(plain))),
        Value::Object(map) => object(map),
    }
}

fn object(map: &Map<String, Value>) -> String {
    match Shape::of(map) {
        Some(shape) => {
            let fields = shape.printed().map(|(name, zero)| match (map.get(name), zero) {
                (Some(Value::Null) | None, Zero::Duration) => duration_text(0),
                (Some(Value::Number(number)), Zero::Duration) => {
                    duration_text(number.as_i64().unwrap_or_default())
                }
                (Some(Value::Null) | None, zero) => plain(&zero.value()),
                (Some(value), _) => plain(value),
            });
            format!("{{{}}}", joined(fields))
        }
        // A set, as of ports or volumes: Go's empty structs.
        None if !map.is_empty() && map.values().all(is_empty_object) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            format!("map[{}]", joined(keys.into_iter().map(|key| format!("{key}:{{}}"))))
        }
        None => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries.into_iter().map(|(key, item)| match item {
                // A port that is not published: an empty list in Go.
                Value::Null if key.contains('/') => format!("{key}:[]"),
                item => format!("{key}:{}", plain(item)),
            });
            format!("map[{}]", joined(entries))
        }
    }
}

fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}

fn number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_text(float),
        _ => number.to_string(),
    }
}

/// Go's `%v` of a float: the shortest digits, with an exponent below 1e-4 and from 1e21.
pub(super) fn float_text(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{float:e}");
        let Some((digits, exponent)) = text.split_once('e') else { return text };
        let (sign, digits_of) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{digits_of:0>2}");
    }
    format!("{float}")
}

/// What Go's `if` takes for true: all but false, zero, nothing and the empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// The name of a value's type in messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}
