//! JSON of clients, read as Docker's Go reads it.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize as _, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde_json::Value;

use crate::error::ApiError;

/// How many unknown fields of a request are told of, and how many bytes their paths may have.
const MOST_UNKNOWN: usize = 1000;
const MOST_PATHS: usize = 256 << 10;

/// A field of a request that the type it was read as does not have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnknownField {
    /// `HostConfig.Name`
    pub(crate) path: String,
    pub(crate) value: Value,
}

/// Reads JSON the way Go does where that is more lenient than the models; the error of the strict reading is
/// what a user gets.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<(T, Vec<UnknownField>), ApiError> {
    let mut unknown = Vec::new();
    let strict = strictly(body, &mut unknown);
    if strict.is_ok() && unknown.is_empty() {
        return strict.map(|value| (value, Vec::new()));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let whole = Value::deserialize(&mut json).map_err(|error| invalid(&error));
    let mut whole = match (whole, &strict) {
        (Ok(value), _) => value,
        (Err(error), Ok(_)) => return Err(error),
        (Err(_), Err(_)) => return strict.map(|value| (value, Vec::new())),
    };
    at_its_end(&mut json)?;
    loosen(&mut whole);
    unknown.clear();
    match serde_ignored::deserialize(AnyCase(whole.clone()), |path| note(&mut unknown, &path)) {
        Ok(value) => Ok((value, fields(&whole, unknown))),
        Err(error) => Err(strict.err().unwrap_or_else(|| invalid(&error))),
    }
}

fn invalid(error: &serde_json::Error) -> ApiError {
    ApiError::invalid(one_line(&format!("invalid JSON: {error}")))
}

/// Notes where an unknown field is. A path is as long as its names, so that few bytes could fill the memory with them: those that come
/// after [`MOST_PATHS`] bytes of them are not told of.
fn note(unknown: &mut Vec<String>, path: &serde_ignored::Path<'_>) {
    if unknown.len() < MOST_UNKNOWN && unknown.iter().map(String::len).sum::<usize>() < MOST_PATHS {
        unknown.push(path.to_string());
    }
}

fn strictly<T: DeserializeOwned>(body: &[u8], unknown: &mut Vec<String>) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let value = serde_ignored::deserialize(tracked, |path| note(unknown, &path));
    let value = value.map_err(|error| {
        // Where JSON itself is broken, the position says it all.
        let text = match error.is_data() {
            true => format!("invalid JSON: {}: {error}", track.path()),
            false => format!("invalid JSON: {}", in_gos_words(body, &error)),
        };
        ApiError::invalid(one_line(&text))
    })?;
    at_its_end(&mut json)?;
    Ok(value)
}

fn at_its_end(json: &mut serde_json::Deserializer<serde_json::de::SliceRead<'_>>) -> Result<(), ApiError> {
    json.end()
        .map_err(|error| ApiError::invalid(format!("invalid JSON: unexpected content after JSON: {error}")))
}

/// What breaks the text, as clients that look for Go's words know it, and where.
fn in_gos_words(body: &[u8], error: &serde_json::Error) -> String {
    let told = error.to_string();
    let place = [
        ("key must be a string", "looking for beginning of object key string"),
        ("expected value", "looking for beginning of value"),
        ("expected ident", "in literal"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
    ];
    let Some((_, place)) = place.iter().find(|(words, _)| told.starts_with(words)) else { return told };
    let line = body.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let text = String::from_utf8_lossy(line.get(error.column().saturating_sub(1)..).unwrap_or_default());
    let Some(character) = text.chars().next() else { return told };
    format!("invalid character {character:?} {place}: {told}")
}

/// What stands at these paths. An optional value is a step of its own there, a question mark.
fn fields(body: &Value, paths: Vec<String>) -> Vec<UnknownField> {
    let field = |path: String| {
        let steps: Vec<&str> = path.split('.').filter(|step| *step != "?").collect();
        let value = steps.iter().try_fold(body, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            value => field_of(value, step),
        });
        UnknownField { path: steps.join("."), value: value.cloned().unwrap_or_default() }
    };
    paths.into_iter().map(field).collect()
}

/// The field of an object by its name, or by that in another case.
fn field_of<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_object()?;
    let other = || fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    fields.get(name).or_else(other)
}

/// The text with what breaks lines or moves cursors escaped: the parser quotes keys and values as they came.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{2028}' | '\u{2029}' => line.extend(character.escape_default()),
            _ if character.is_control() => line.extend(character.escape_default()),
            _ => line.push(character),
        }
    }
    line
}

/// Rewrites what Go's decoder takes and the models don't: a command and other lists as one string, and sets
/// whose members are `null`.
fn loosen(body: &mut Value) {
    let Value::Object(fields) = body else { return };
    for (name, value) in fields {
        match (&*name.to_ascii_lowercase(), &mut *value) {
            ("cmd" | "entrypoint" | "capadd" | "capdrop", Value::String(_)) => {
                *value = Value::Array(vec![value.take()]);
            }
            ("hostconfig", host) => loosen(host),
            ("exposedports" | "volumes", Value::Object(set)) => {
                for member in set.values_mut().filter(|member| member.is_null()) {
                    *member = Value::Object(serde_json::Map::new());
                }
            }
            _ => {}
        }
    }
}

/// A value as Go takes it (encoding/json, `Unmarshal`): objects give their fields in whatever case of letters they are written
/// (only the fields of a type are meant, the keys of a map are what they are), and `null` is nothing of the kind that is wanted.
struct AnyCase(Value);

impl<'de> IntoDeserializer<'de, serde_json::Error> for AnyCase {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// What `null` is of each kind.
macro_rules! nothing {
    ($($method:ident $visit:ident $nothing:expr),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            if self.0.is_null() { visitor.$visit($nothing) } else { self.deserialize_any(visitor) }
        })*
    };
}

impl<'de> Deserializer<'de> for AnyCase {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self))),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Self(value)));
                visitor.visit_map(MapDeserializer::new(fields))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let Value::Object(fields) = self.0 else { return self.deserialize_any(visitor) };
        let mut known = serde_json::Map::new();
        let mut others = Vec::new();
        for (name, value) in fields {
            match names.contains(&&*name) {
                true => drop(known.insert(name, value)),
                false => others.push((name, value)),
            }
        }
        for (name, value) in others {
            let meant = names.iter().find(|meant| meant.eq_ignore_ascii_case(&name));
            let name = meant.map_or(name, |meant| (*meant).to_owned());
            known.entry(name).or_insert(value);
        }
        Self(Value::Object(known)).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    nothing! {
        deserialize_bool visit_bool false, deserialize_i32 visit_i32 0, deserialize_i64 visit_i64 0, deserialize_u16 visit_u16 0,
        deserialize_u32 visit_u32 0, deserialize_u64 visit_u64 0, deserialize_f64 visit_f64 0.0, deserialize_str visit_str "",
        deserialize_string visit_str "", deserialize_seq visit_seq SeqDeserializer::new(std::iter::empty::<Self>()),
        deserialize_map visit_map MapDeserializer::new(std::iter::empty::<(String, Self)>())
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_stubs::models::{ContainerCreateBody, NetworkConnectRequest};

    fn message(body: &str) -> String {
        parse::<ContainerCreateBody>(body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn bad_json_is_told_with_field_and_position() {
        assert_eq!(message("{"), "invalid JSON: EOF while parsing an object at line 1 column 1");
        assert!(message(r#"{"Image":3}"#).starts_with("invalid JSON: Image: invalid type: integer `3`"));
        let name = message(r#"{"HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}"#);
        assert!(
            name.starts_with("invalid JSON: HostConfig.RestartPolicy.Name: unknown variant `sometimes`"),
            "{name}"
        );
        assert!(message("{} x").contains("trailing characters"));
        assert!(message("{\"Labels\":{\"a\\nb\":3}}").starts_with("invalid JSON: Labels.a\\nb: "));
    }

    #[test]
    fn what_go_takes_is_taken() {
        let body = r#"{"Image":"a","Cmd":"sh","Env":null,"Labels":{"a":null},"ExposedPorts":{"80/tcp":null},"HostConfig":
            {"Binds":null,"RestartPolicy":{"Name":""},"CgroupnsMode":"","Isolation":"","CapAdd":"NET_ADMIN","PortBindings":{"80/tcp":null}},"Unknown":1}"#;
        let (body, unknown): (ContainerCreateBody, _) = parse(body.as_bytes()).unwrap();
        assert_eq!(unknown, [UnknownField { path: "Unknown".into(), value: 1.into() }]);
        assert_eq!(body.cmd.unwrap(), ["sh"]);
        assert_eq!(body.host_config.unwrap().cap_add.unwrap(), ["NET_ADMIN"]);
        assert_eq!(body.exposed_ports.unwrap(), ["80/tcp"]);
        assert_eq!(body.labels.unwrap()["a"], "");
    }

    #[test]
    fn unknown_fields_with_long_paths_cost_little() {
        let fields: Vec<String> = (0..2000).map(|number| format!("\"x{number}\":1")).collect();
        let key = "k".repeat(100_000);
        let body = format!(
            "{{\"NetworkingConfig\":{{\"EndpointsConfig\":{{\"{key}\":{{{}}}}}}}}}",
            fields.join(",")
        );
        let (_, unknown): (ContainerCreateBody, _) = parse(body.as_bytes()).unwrap();
        let told: usize = unknown.iter().map(|field| field.path.len()).sum();
        assert!(!unknown.is_empty() && told < 2 * MOST_PATHS, "{} of {told} bytes", unknown.len());
    }

    #[test]
    fn fields_are_taken_in_any_case() {
        let body = r#"{"image":"a","hostconfig":{"memory":1024,"MEMORYSWAP":-1,"Binds":["a:/a"],"binds":["b:/b"],
            "restartPolicy":{"name":"always"}},"labels":{"key":"1","KEY":"2"},"cmd":"sh","hostConfig2":1,
            "networkingConfig":{"endpointsconfig":{"Net":{"aliases":["x"],"unheardOf":3}}}}"#;
        let (body, unknown): (ContainerCreateBody, _) = parse(body.as_bytes()).unwrap();
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.memory_swap, host.binds),
            (Some(1024), Some(-1), Some(vec!["a:/a".into()]))
        );
        assert!(host.restart_policy.is_some());
        assert_eq!((body.image.as_deref(), body.labels.map(|labels| labels.len())), (Some("a"), Some(2)));
        assert_eq!(body.cmd.unwrap(), ["sh"]);
        let networks = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(networks["Net"].aliases, Some(vec!["x".into()]));
        let unheard = "NetworkingConfig.EndpointsConfig.Net.unheardOf";
        let mut told: Vec<(&str, i64)> =
            unknown.iter().map(|field| (&*field.path, field.value.as_i64().unwrap())).collect();
        told.sort_unstable();
        assert_eq!(told, [(unheard, 3), ("hostConfig2", 1)]);
    }

    #[test]
    fn a_field_that_has_to_be_there_may_be_in_another_case() {
        let (body, _): (NetworkConnectRequest, _) = parse(br#"{"container":"a"}"#).unwrap();
        assert_eq!(body.container, "a");
        assert!(parse::<NetworkConnectRequest>(br#"{"box":"a"}"#).unwrap_err().message.contains("Container"));
    }
}
