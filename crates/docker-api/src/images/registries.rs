//! Images and registries: pull, push, search, log in. Progress travels as Docker's "JSON messages", one a line.

use std::collections::HashMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use minke_engine::{Credentials, PullOptions, PushOptions, TransferEvent, TransferStream};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::ApiError;
use crate::images::transfer::error_message;
use crate::json;
use crate::respond::{self, Outcome};

/// Credentials of one registry, in a header.
const REGISTRY_AUTH: &str = "x-registry-auth";

/// Base64 with the alphabet for URLs, with or without padding: clients send both.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Docker's `AuthConfig`. As everywhere in Go, `null` is what isn't there; bollard writes all fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AuthConfig {
    #[serde(deserialize_with = "or_empty")]
    username: String,
    #[serde(deserialize_with = "or_empty")]
    password: String,
    /// `username:password` in base64, as the file of the command line has it.
    #[serde(deserialize_with = "or_empty")]
    auth: String,
    #[serde(deserialize_with = "or_empty")]
    serveraddress: String,
    #[serde(deserialize_with = "or_empty")]
    identitytoken: String,
    #[serde(deserialize_with = "or_empty")]
    registrytoken: String,
}

fn or_empty<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(text)?.unwrap_or_default())
}

/// `POST /images/create` with `fromImage`
pub(super) async fn pull(call: Call) -> Outcome {
    let query = &call.query;
    let options = PullOptions {
        for_build: false,
        image: query.get("fromImage").unwrap_or_default().to_owned(),
        tag: query.non_empty("tag").map(str::to_owned),
        platform: query.non_empty("platform").map(str::to_owned),
        credentials: credentials(&call.headers),
    };
    messages(call.engine().image_pull(options).await?).await
}

/// `POST /images/{name}/push`
pub(crate) async fn push(call: Call) -> Outcome {
    let options = PushOptions {
        image: call.name.clone(),
        tag: call.query.non_empty("tag").map(str::to_owned),
        platform: call.query.non_empty("platform").map(crate::platform::words).transpose()?,
        credentials: credentials(&call.headers),
    };
    messages(call.engine().image_push(options).await?).await
}

/// What a registry refuses at once is an error of the request; later ones come in the stream, whose status is sent by
/// then.
async fn messages(mut events: TransferStream) -> Outcome {
    match events.next().await {
        Some(Err(error)) => Err(error.into()),
        first => {
            let all = stream::iter(first).chain(events);
            Ok(respond::json_stream(all.filter_map(async |event| match event {
                Ok(event) => message(event),
                Err(error) => Some(error_message(&error)),
            })))
        }
    }
}

fn message(event: TransferEvent) -> Option<Value> {
    Some(match event {
        TransferEvent::Status { id: None, text } => json!({ "status": text }),
        // Docker has the empty object for parts that have a line of their own.
        TransferEvent::Status { id: Some(id), text } if is_layer(&id) => {
            json!({ "status": text, "progressDetail": {}, "id": id })
        }
        TransferEvent::Status { id: Some(id), text } => json!({ "status": text, "id": id }),
        TransferEvent::Progress { id, action, current, total } => {
            json!({ "status": action, "progressDetail": { "current": current, "total": total }, "id": id })
        }
        TransferEvent::Aux(aux) => json!({ "progressDetail": {}, "aux": aux }),
        TransferEvent::Image(_) => return None,
    })
}

fn is_layer(id: &str) -> bool {
    id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `GET /images/search`
pub(crate) async fn search(call: Call) -> Outcome {
    let term = call.query.required("term")?.to_owned();
    let limit: Option<u32> = call.query.number("limit")?;
    if limit.is_some_and(|limit| !(1..=100).contains(&limit)) {
        return Err(ApiError::invalid(format!(
            "limit {} is outside the range of [1, 100]",
            limit.unwrap_or_default()
        )));
    }
    let filters = call.query.filters()?;
    let found = call.engine().registry_search(&term, limit, &filters, credentials(&call.headers)).await?;
    respond::json(StatusCode::OK, &found)
}

/// `GET /distribution/{name}/json`
pub(crate) async fn inspect(call: Call) -> Outcome {
    let found = call.engine().registry_inspect(&call.name, credentials(&call.headers)).await?;
    respond::json(StatusCode::OK, &found)
}

/// `POST /auth`
pub(crate) async fn auth(mut call: Call) -> Outcome {
    let config: AuthConfig = call.json().await?;
    let server = config.serveraddress.clone();
    // The registry says whether it lets nobody in particular in.
    let credentials = config.into_credentials()?.unwrap_or_else(|| Credentials::password("", ""));
    respond::json(StatusCode::OK, &call.engine().registry_login(&server, &credentials).await?)
}

/// The credentials in the request's header. As Docker does for its old clients, ones that can't be read are none.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    readable(read_credentials(headers), "X-Registry-Auth")
}

/// What was read of a header, or nothing.
fn readable<T: Default>(read: Result<T, ApiError>, header: &str) -> T {
    read.unwrap_or_else(|_| {
        // What is wrong may quote a secret.
        tracing::warn!(header, "a header can't be read: the request goes on without credentials");
        T::default()
    })
}

fn read_credentials(headers: &HeaderMap) -> Result<Option<Credentials>, ApiError> {
    let Some(value) = headers.get(REGISTRY_AUTH).filter(|value| !value.is_empty()) else { return Ok(None) };
    let invalid = |problem: &str| ApiError::invalid(format!("invalid X-Registry-Auth header: {problem}"));
    let text: Vec<u8> = value.as_bytes().iter().map(|byte| url_safe(*byte)).collect();
    let bytes = LENIENT.decode(text).map_err(|error| invalid(&error.to_string()))?;
    let (config, _): (Option<AuthConfig>, _) = json::parse(&bytes)
        .map_err(|error| invalid(&format!("its content is no AuthConfig: {}", error.message)))?;
    config.unwrap_or_default().into_credentials()
}

/// The credentials of several registries, in the header of a build: a map of `AuthConfig`s.
pub(crate) fn all_credentials(headers: &HeaderMap) -> HashMap<String, Credentials> {
    readable(read_all_credentials(headers), "X-Registry-Config")
}

fn read_all_credentials(headers: &HeaderMap) -> Result<HashMap<String, Credentials>, ApiError> {
    let Some(value) = headers.get("x-registry-config").filter(|value| !value.is_empty()) else {
        return Ok(HashMap::new());
    };
    let invalid = |problem: String| ApiError::invalid(format!("invalid X-Registry-Config header: {problem}"));
    let text: Vec<u8> = value.as_bytes().iter().map(|byte| url_safe(*byte)).collect();
    let bytes = LENIENT.decode(text).map_err(|error| invalid(error.to_string()))?;
    let (configs, _): (Option<HashMap<String, AuthConfig>>, _) =
        json::parse(&bytes).map_err(|error| invalid(error.message))?;
    let mut all = HashMap::new();
    for (host, config) in configs.unwrap_or_default() {
        // The Hub's name in configuration files is the address of its first API.
        let host = match host.as_str() {
            "https://index.docker.io/v1/" | "index.docker.io" => "docker.io",
            host => host
                .trim_start_matches("https://")
                .trim_start_matches("http://")
                .split('/')
                .next()
                .unwrap_or(host),
        };
        if let Some(credentials) = config.into_credentials()? {
            all.insert(host.to_owned(), credentials);
        }
    }
    Ok(all)
}

/// Some clients send the other alphabet.
fn url_safe(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        byte => byte,
    }
}

impl AuthConfig {
    fn into_credentials(self) -> Result<Option<Credentials>, ApiError> {
        let (mut username, mut password) = (self.username, self.password);
        if username.is_empty() && !self.auth.is_empty() {
            let pair = STANDARD.decode(&self.auth).unwrap_or_default();
            let pair = String::from_utf8(pair).unwrap_or_default();
            let Some((name, secret)) = pair.split_once(':') else {
                return Err(ApiError::invalid("auth is not \"username:password\" in base64"));
            };
            (username, password) = (name.to_owned(), secret.to_owned());
        }
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(match (given(self.registrytoken), given(self.identitytoken), given(username)) {
            (Some(token), ..) => Some(Credentials::RegistryToken(token)),
            (None, Some(token), _) => Some(Credentials::IdentityToken(token)),
            (None, None, Some(username)) => Some(Credentials::password(username, password)),
            (None, None, None) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    fn header(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(REGISTRY_AUTH, text.parse().unwrap());
        headers
    }

    #[test]
    fn credentials_come_in_every_spelling_of_base64() {
        let json = r#"{"username":"who","password":"wh?>~at"}"#;
        let standard = STANDARD.encode(json);
        let unpadded = URL_SAFE_NO_PAD.encode(json);
        for text in [standard, unpadded] {
            let found = read_credentials(&header(&text)).unwrap();
            assert_eq!(found, Some(Credentials::password("who", "wh?>~at")));
        }
        let auth = STANDARD.encode("who:what:ever");
        let found = AuthConfig { auth, ..AuthConfig::default() }.into_credentials().unwrap();
        assert_eq!(found, Some(Credentials::password("who", "what:ever")));
    }

    #[test]
    fn nothing_and_empty_credentials_are_none() {
        assert!(read_credentials(&HeaderMap::new()).unwrap().is_none());
        for json in ["{}", "null", r#"{"username":""}"#, r#"{"auth":null,"username":null}"#] {
            let text = URL_SAFE.encode(json);
            assert!(read_credentials(&header(&text)).unwrap().is_none(), "{json}");
        }
    }

    #[test]
    fn what_is_no_authentication_is_none_and_the_header_is_named() {
        for text in ["*", "bm90IGpzb24="] {
            let error = read_credentials(&header(text)).unwrap_err();
            assert!(credentials(&header(text)).is_none());
            assert_eq!(error.status, StatusCode::BAD_REQUEST);
            assert!(error.message.contains("X-Registry-Auth"), "{}", error.message);
        }
    }

    #[test]
    fn messages_are_those_that_dockers_clients_read() {
        let status = |id: Option<&str>, text: &str| {
            message(TransferEvent::Status { id: id.map(str::to_owned), text: text.into() })
        };
        assert_eq!(status(None, "Status: x"), Some(json!({"status": "Status: x"})));
        assert_eq!(
            status(Some("7"), "Pulling from library/redis"),
            Some(json!({"status": "Pulling from library/redis", "id": "7"}))
        );
        assert_eq!(
            status(Some("0123456789ab"), "Pull complete"),
            Some(json!({"status": "Pull complete", "progressDetail": {}, "id": "0123456789ab"}))
        );
        let id = "0123456789ab".to_owned();
        assert_eq!(
            message(TransferEvent::Progress { id, action: "Downloading", current: 1, total: 2 }),
            Some(
                json!({"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "0123456789ab"})
            )
        );
    }

    #[test]
    fn a_pushs_platform_is_json_or_words() {
        use crate::platform::words as platform;
        assert_eq!(platform("linux/amd64").unwrap(), "linux/amd64");
        assert_eq!(
            platform(r#"{"os":"linux","architecture":"arm","variant":"v7"}"#).unwrap(),
            "linux/arm/v7"
        );
        assert!(platform("{").unwrap_err().message.contains("invalid platform"));
    }
}
