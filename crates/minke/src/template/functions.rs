//! The functions of templates: Go's own that formats use, and Docker's.

use std::cmp::Ordering;

use serde_json::Value;

use super::{display, printf};

/// Every function there is; a name beyond these is refused when the template is read.
pub(super) const FUNCTIONS: [&str; 23] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad",
    "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

/// The value of `name arguments`. With `header`, Docker's functions hand a column's title on as it is.
pub(super) fn call(name: &str, arguments: &[Value], header: bool) -> Result<Value, String> {
    if header && matches!(name, "json" | "split" | "join" | "title" | "lower" | "upper" | "pad" | "truncate")
    {
        let title = arguments.iter().find(|argument| argument.is_string() || argument.is_null());
        return Ok(title.cloned().unwrap_or(Value::Null));
    }
    match (name, arguments) {
        ("json", [value]) => Ok(go_json(value).into()),
        ("lower", [value]) => Ok(text(value)?.to_lowercase().into()),
        ("upper", [value]) => Ok(text(value)?.to_uppercase().into()),
        ("title", [value]) => Ok(title(text(value)?).into()),
        ("split", [value, separator]) => Ok(split(text(value)?, text(separator)?)),
        ("join", [list, separator]) => join(list, text(separator)?).map(Value::from),
        ("pad", [value, before, after]) => pad(text(value)?, count(before)?, count(after)?).map(Value::from),
        ("truncate", [value, length]) => {
            Ok(text(value)?.chars().take(count(length)?).collect::<String>().into())
        }
        ("not", [value]) => Ok((!display::is_true(value)).into()),
        ("len", [value]) => length(value),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) if bounds.len() <= 2 => slice(value, bounds),
        ("print", values) => Ok(printf::print(values).into()),
        ("println", values) => Ok(printf::println(values).into()),
        ("printf", [format, values @ ..]) => Ok(printf::printf(text(format)?, values).into()),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            for other in others {
                if compare(first, other)? == Some(Ordering::Equal) {
                    return Ok(true.into());
                }
            }
            Ok(false.into())
        }
        ("ne", [a, b]) => Ok((compare(a, b)? != Some(Ordering::Equal)).into()),
        ("lt" | "le" | "gt" | "ge", [a, b]) => order(name, a, b),
        _ => Err(format!("wrong number of args: got {}", arguments.len())),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("wrong type for value; expected string; got {}", display::kind(value)))
}

fn count(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("wrong type for value; expected int; got {}", display::kind(value)))
}

/// JSON as Go's encoder without HTML escapes writes it; Docker's map keys come sorted from the API.
fn go_json(value: &Value) -> String {
    // Writing a value to a string can't fail: its keys are strings.
    serde_json::to_string(value).unwrap_or_default()
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut at_start = true;
    text.chars()
        .map(|c| {
            let c = if at_start { c.to_uppercase().next().unwrap_or(c) } else { c };
            at_start = !(c.is_alphanumeric() || matches!(c, '_' | '\''));
            c
        })
        .collect()
}

fn split(text: &str, separator: &str) -> Value {
    if separator.is_empty() {
        return text.chars().map(|c| Value::from(c.to_string())).collect();
    }
    text.split(separator).map(Value::from).collect()
}

fn join(list: &Value, separator: &str) -> Result<String, String> {
    match list {
        Value::Null => Ok(String::new()),
        Value::Array(items) => Ok(items.iter().map(display::plain).collect::<Vec<_>>().join(separator)),
        other => Err(format!("can't join a {}", display::kind(other))),
    }
}

fn pad(text: &str, before: usize, after: usize) -> Result<String, String> {
    const MOST: usize = 4096;
    if before > MOST || after > MOST {
        return Err(format!("more than {MOST} spaces"));
    }
    // Docker leaves the empty string alone.
    if text.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("{}{text}{}", " ".repeat(before), " ".repeat(after)))
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        Value::Null => 0,
        other => return Err(format!("len of type {}", display::kind(other))),
    };
    Ok(length.into())
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Array(items), Value::Number(_)) => {
            let found = key.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?));
            found.cloned().ok_or_else(|| format!("index out of range: {key}"))
        }
        (Value::String(text), Value::Number(_)) => {
            let found = key.as_u64().and_then(|at| text.as_bytes().get(usize::try_from(at).ok()?));
            found.map(|byte| Value::from(*byte)).ok_or_else(|| format!("index out of range: {key}"))
        }
        (Value::Object(map), Value::String(name)) => Ok(match map.get(name) {
            Some(found) => found.clone(),
            // A missing key gives the zero value of what the map holds.
            None if map.values().all(Value::is_string) => Value::from(""),
            None => Value::Null,
        }),
        (Value::Null, Value::String(_)) => Ok(Value::from("")),
        (Value::Null, _) => Err("index of untyped nil".to_owned()),
        (Value::Object(_) | Value::Array(_) | Value::String(_), key) => {
            Err(format!("cannot index {} with type {}", display::kind(value), display::kind(key)))
        }
        (other, _) => Err(format!("can't index item of type {}", display::kind(other))),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = length(value)?.as_u64().unwrap_or_default() as usize;
    let from = bounds.first().map_or(Ok(0), count)?;
    let to = bounds.get(1).map_or(Ok(length), count)?;
    if from > to || to > length {
        return Err(format!("index out of range: {from}:{to}"));
    }
    match value {
        Value::String(text) => {
            text.get(from..to).map(Value::from).ok_or_else(|| format!("{from}:{to} splits a character"))
        }
        Value::Array(items) => Ok(items[from..to].to_vec().into()),
        other => Err(format!("can't slice item of type {}", display::kind(other))),
    }
}

/// `None`: not ordered, and not equal.
fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::Number(x), Value::Number(y)) => Ok(match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => Some(x.cmp(&y)),
            _ => x.as_f64().partial_cmp(&y.as_f64()),
        }),
        (Value::Null, Value::Null) => Ok(Some(Ordering::Equal)),
        (Value::Null, _) | (_, Value::Null) => Ok(None),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn order(name: &str, a: &Value, b: &Value) -> Result<Value, String> {
    if !(a.is_string() || a.is_number()) {
        return Err("invalid type for comparison".to_owned());
    }
    let ordering = compare(a, b)?.ok_or("incompatible types for comparison")?;
    Ok(match name {
        "lt" => ordering.is_lt(),
        "le" => ordering.is_le(),
        "gt" => ordering.is_gt(),
        _ => ordering.is_ge(),
    }
    .into())
}
