//! Docker contexts: engines that have a name, in the docker CLI's own files, so that each of the two programs uses what
//! the other made.
//!
//! ```text
//!   ~/.docker/config.json                       currentContext
//!   ~/.docker/contexts/meta/<id>/meta.json      name, description, endpoints
//!   ~/.docker/contexts/tls/<id>/docker/…        ca.pem, cert.pem, key.pem
//! ```
//! The id is the SHA-256 of the name. The context `default` is in no file: it is what flags, `DOCKER_HOST` and its kin say.

pub(crate) mod archive;
pub(crate) mod store;

use std::collections::BTreeMap;

use minke_docker_client::TlsMaterial;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::Failure;

/// The context that is in no file.
pub(crate) const DEFAULT: &str = "default";

/// The endpoint that is an engine; older files have others beside it.
pub(crate) const DOCKER: &str = "docker";

/// A context as it lies on disk. What others put in it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) metadata: Map<String, Value>,
    #[serde(default)]
    pub(crate) endpoints: Map<String, Value>,
}

/// An engine, as a context names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DockerEndpoint {
    /// As `--host` has it.
    #[serde(rename = "Host")]
    pub(crate) host: String,
    /// Whether the engine may be anybody.
    #[serde(rename = "SkipTLSVerify")]
    pub(crate) skip_verify: bool,
}

/// Certificates and keys: by endpoint, by file name, in PEM.
pub(crate) type TlsFiles = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

impl Meta {
    /// A context for an engine.
    pub(crate) fn new(name: &str, endpoint: &DockerEndpoint) -> Self {
        let mut meta = Self { name: name.to_owned(), ..Self::default() };
        meta.set_endpoint(endpoint);
        meta
    }

    pub(crate) fn description(&self) -> &str {
        self.metadata.get("Description").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn describe(&mut self, description: &str) {
        match description {
            "" => self.metadata.shift_remove("Description"),
            text => self.metadata.insert("Description".to_owned(), text.into()),
        };
    }

    /// The engine.
    ///
    /// # Errors
    /// When the context has none.
    pub(crate) fn endpoint(&self) -> Result<DockerEndpoint, Failure> {
        let found = self.endpoints.get(DOCKER);
        let found = found.ok_or_else(|| Failure::new("cannot find docker endpoint in context"))?;
        serde_json::from_value(found.clone())
            .map_err(|error| Failure::doing(format!("context {:?}", self.name), error))
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: &DockerEndpoint) {
        let value = serde_json::to_value(endpoint).unwrap_or_default();
        self.endpoints.insert(DOCKER.to_owned(), value);
    }
}

/// The certificates of an engine, as a client takes them; `None` where none are needed.
pub(crate) fn material(files: &TlsFiles, endpoint: &DockerEndpoint) -> Option<TlsMaterial> {
    let files = files.get(DOCKER).filter(|files| !files.is_empty());
    if files.is_none() && !endpoint.skip_verify {
        return None;
    }
    let file = |name: &str| files.and_then(|files| files.get(name)).cloned();
    Some(TlsMaterial {
        ca: file("ca.pem"),
        certificate: file("cert.pem"),
        key: file("key.pem"),
        skip_verify: endpoint.skip_verify,
    })
}

/// The same the other way around.
pub(crate) fn files(material: &TlsMaterial) -> TlsFiles {
    let all = [("ca.pem", &material.ca), ("cert.pem", &material.certificate), ("key.pem", &material.key)];
    let files: BTreeMap<_, _> =
        all.into_iter().filter_map(|(name, file)| Some((name.to_owned(), file.clone()?))).collect();
    if files.is_empty() { TlsFiles::new() } else { [(DOCKER.to_owned(), files)].into() }
}

/// Refuses what the docker CLI takes for no name.
///
/// # Errors
/// In its words.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let mut bytes = name.bytes();
    let well_formed =
        bytes.next().is_some_and(plain) && bytes.all(|byte| plain(byte) || b"_.+-".contains(&byte));
    match name {
        "" => Err(Failure::new("context name cannot be empty")),
        DEFAULT => Err(Failure::new("\"default\" is a reserved context name")),
        name if well_formed && name.len() > 1 => Ok(()),
        name => Err(Failure::new(format!(
            "context name {name:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_put_in_a_context_stays_there() {
        let text = r#"{"Name":"x","Metadata":{"Description":"d","Other":1},"Endpoints":{"docker":{"Host":"tcp://a:1","SkipTLSVerify":true},"kubernetes":{"y":2}}}"#;
        let mut meta: Meta = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&meta).unwrap(), text);
        assert_eq!(
            meta.endpoint().unwrap(),
            DockerEndpoint { host: "tcp://a:1".to_owned(), skip_verify: true }
        );
        meta.describe("");
        meta.set_endpoint(&DockerEndpoint { host: "unix:///x".to_owned(), skip_verify: false });
        assert_eq!(
            serde_json::to_string(&meta).unwrap(),
            r#"{"Name":"x","Metadata":{"Other":1},"Endpoints":{"docker":{"Host":"unix:///x","SkipTLSVerify":false},"kubernetes":{"y":2}}}"#
        );
        assert!(Meta::default().endpoint().unwrap_err().message.contains("docker endpoint"));
    }

    #[test]
    fn names_are_those_that_docker_takes() {
        for name in ["ab", "a.b_c+d-e", "0x"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a", "default", "a b", "-ab", "ä1"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn certificates_come_and_go_as_files() {
        let endpoint = DockerEndpoint::default();
        assert_eq!(material(&TlsFiles::new(), &endpoint), None);
        let own = TlsMaterial { ca: Some(b"x".to_vec()), ..TlsMaterial::default() };
        assert_eq!(material(&files(&own), &endpoint), Some(own));
        let skip = DockerEndpoint { skip_verify: true, ..endpoint };
        assert!(material(&TlsFiles::new(), &skip).unwrap().skip_verify);
    }
}
