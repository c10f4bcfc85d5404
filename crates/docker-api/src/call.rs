//! One request as its handler sees it.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use minke_build::Builder;
use minke_engine::Engine;
use serde::de::{Deserialize as _, DeserializeOwned};
use serde_json::Value;
use tokio::sync::watch;

use crate::activity::Activity;
use crate::body::RequestBody;
use crate::build::session::Uploads;
use crate::buildkit::BuildKit;
use crate::error::ApiError;
use crate::hijack::Takeover;
use crate::query::Query;
use crate::version::ApiVersion;

/// What all requests of a server share.
pub(crate) struct Context {
    pub(crate) engine: Engine,
    pub(crate) builder: Builder,
    /// Who speaks BuildKit's protocol, if anybody does.
    pub(crate) buildkit: Option<Arc<dyn BuildKit>>,
    pub(crate) uploads: Uploads,
    /// The `Server` header.
    pub(crate) server: String,
    pub(crate) life: Life,
}

/// What all connections of a server share, whatever is asked on them.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) activity: Arc<Activity>,
    /// Turns true when the server is told to stop: streams that would never end do then.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Life {
    /// Resolves when the server is told to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.clone();
        async move {
            // An error means that the server is gone, which is a stop as well.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }
}

/// A request whose route was found.
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) version: ApiVersion,
    /// The parameter in the path, decoded; empty for routes without one.
    pub(crate) name: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    /// How the connection can be had, if this is a hijack.
    pub(crate) takeover: Takeover,
}

impl Call {
    pub(crate) fn engine(&self) -> &Engine {
        &self.context.engine
    }

    /// Ends a stream when the server stops.
    pub(crate) fn until_stop<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> + use<S> {
        stream.take_until(Box::pin(self.context.life.stopped()))
    }

    /// Reads a JSON body that has to be there.
    ///
    /// # Errors
    /// 400 for another content type, for no body, and for JSON that doesn't fit, with the field and the
    /// position.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        self.optional_json().await?.ok_or_else(no_body)
    }

    /// Reads a JSON body that may be missing.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub(crate) async fn optional_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ApiError> {
        Ok(self.optional_json_and_unknown().await?.map(|(value, _)| value))
    }

    /// As [`Call::json`], with the fields that the type does not have.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub(crate) async fn json_and_unknown<T: DeserializeOwned>(
        &mut self,
    ) -> Result<(T, Vec<UnknownField>), ApiError> {
        self.optional_json_and_unknown().await?.ok_or_else(no_body)
    }

    async fn optional_json_and_unknown<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<(T, Vec<UnknownField>)>, ApiError> {
        let body = std::mem::replace(&mut self.body, RequestBody::Bytes(bytes::Bytes::new()));
        let body = body.read_whole().await?;
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        check_content_type(&self.headers)?;
        parse(&body).map(Some)
    }
}

fn no_body() -> ApiError {
    ApiError::invalid("invalid JSON: got EOF while reading request body")
}

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

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim();
    match media.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "unsupported Content-Type header ({media}): must be 'application/json'"
        ))),
    }
}

/// Reads JSON the way Go does where that is more lenient than the models; the error of the strict reading is
/// what a user gets.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<(T, Vec<UnknownField>), ApiError> {
    let mut unknown = Vec::new();
    let strict = match strictly(body, &mut unknown) {
        Ok(value) if unknown.is_empty() => return Ok((value, Vec::new())),
        Ok(mut value) => {
            let mut whole = serde_json::from_slice(body).unwrap_or_default();
            // Once for each level: what is in a field that is unknown is not looked at.
            while capitalise(&mut whole, &unknown) {
                unknown.clear();
                let renamed = serde_ignored::deserialize(whole.clone(), |path| note(&mut unknown, &path));
                value = renamed
                    .map_err(|error| ApiError::invalid(one_line(&format!("invalid JSON: {error}"))))?;
            }
            return Ok((value, fields(&whole, unknown)));
        }
        Err(error) => error,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let Ok(mut value) = Value::deserialize(&mut json) else { return Err(strict) };
    at_its_end(&mut json)?;
    loosen(&mut value);
    unknown.clear();
    let typed = serde_ignored::deserialize(value.clone(), |path| note(&mut unknown, &path));
    Ok((typed.map_err(|_| strict)?, fields(&value, unknown)))
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

/// Go takes a field's name in any case, and clients write `detachKeys`: gives the fields at these paths a capital letter, where
/// there is no such field yet. Returns whether any has got one.
fn capitalise(body: &mut Value, paths: &[String]) -> bool {
    let mut changed = false;
    for path in paths {
        let mut steps = path.split('.').filter(|step| *step != "?").peekable();
        let mut place = Some(&mut *body);
        while let (Some(step), Some(value)) = (steps.next(), place.take()) {
            if steps.peek().is_some() {
                place = match value {
                    Value::Array(items) => step.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
                    value => value.get_mut(step),
                };
                continue;
            }
            let mut letters = step.chars();
            let capital: String =
                letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
            if let Value::Object(fields) = value
                && capital != step
                && !fields.contains_key(&capital)
                && let Some(moved) = fields.remove(step)
            {
                fields.insert(capital, moved);
                changed = true;
            }
        }
    }
    changed
}

/// What stands at these paths. An optional value is a step of its own there, a question mark.
fn fields(body: &Value, paths: Vec<String>) -> Vec<UnknownField> {
    let field = |path: String| {
        let steps: Vec<&str> = path.split('.').filter(|step| *step != "?").collect();
        let value = steps.iter().try_fold(body, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            value => value.get(step),
        });
        UnknownField { path: steps.join("."), value: value.cloned().unwrap_or_default() }
    };
    paths.into_iter().map(field).collect()
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
    for name in ["Cmd", "Entrypoint", "CapAdd", "CapDrop"] {
        if let Some(text @ Value::String(_)) = fields.get_mut(name) {
            *text = Value::Array(vec![text.take()]);
        }
    }
    if let Some(host) = fields.get_mut("HostConfig") {
        loosen(host);
    }
    for name in ["ExposedPorts", "Volumes"] {
        let Some(Value::Object(set)) = fields.get_mut(name) else { continue };
        for member in set.values_mut().filter(|member| member.is_null()) {
            *member = Value::Object(serde_json::Map::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_stubs::models::ContainerCreateBody;

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
        let body = r#"{"Image":"a","Cmd":"sh","Env":null,"ExposedPorts":{"80/tcp":null},"HostConfig":
            {"Binds":null,"RestartPolicy":{"Name":""},"CgroupnsMode":"","Isolation":"","CapAdd":"NET_ADMIN","PortBindings":{"80/tcp":null}},"Unknown":1}"#;
        let (body, unknown): (ContainerCreateBody, _) = parse(body.as_bytes()).unwrap();
        assert_eq!(unknown, [UnknownField { path: "Unknown".into(), value: 1.into() }]);
        assert_eq!(body.cmd.unwrap(), ["sh"]);
        assert_eq!(body.host_config.unwrap().cap_add.unwrap(), ["NET_ADMIN"]);
        assert_eq!(body.exposed_ports.unwrap(), ["80/tcp"]);
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
    fn another_content_type_is_refused_in_dockers_words() {
        let mut headers = HeaderMap::new();
        assert!(check_content_type(&headers).is_err());
        headers.insert(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        assert!(check_content_type(&headers).is_ok());
        headers.insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(
            check_content_type(&headers).unwrap_err().message,
            "unsupported Content-Type header (application/x-www-form-urlencoded): must be 'application/json'"
        );
    }
}
