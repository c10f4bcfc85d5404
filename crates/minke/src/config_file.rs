//! The user's `config.json`, shared with the docker CLI (`~/.docker`, `--config`, `DOCKER_CONFIG`).

pub(crate) mod edit;

use std::{collections::BTreeMap, fs, io, path::Path, path::PathBuf};

use serde::Deserialize;

use crate::{failure::Failure, format::text::or_default};

/// The settings that minke follows; the others belong to the docker CLI.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConfigFile {
    /// Where it is, or would be; `None` where the user has no home.
    #[serde(skip)]
    pub(crate) path: Option<PathBuf>,
    /// The key sequence that detaches from a container.
    pub(crate) detach_keys: String,
    /// The docker context to use, unless something else names another.
    #[serde(deserialize_with = "or_default")]
    pub(crate) current_context: String,
    /// What every request to the engine carries besides.
    #[serde(rename = "HttpHeaders", deserialize_with = "or_default")]
    pub(crate) http_headers: BTreeMap<String, String>,
    /// Formats of tables, where `--format` is not given.
    pub(crate) ps_format: String,
    pub(crate) images_format: String,
    pub(crate) volumes_format: String,
    pub(crate) networks_format: String,
    pub(crate) plugins_format: String,
    pub(crate) stats_format: String,
    /// Proxy settings that new containers get as environment, by engine address or `default`.
    pub(crate) proxies: BTreeMap<String, Proxy>,
    /// What the user is known by at registries, by registry.
    #[serde(deserialize_with = "or_default")]
    pub(crate) auths: BTreeMap<String, AuthEntry>,
    /// The program `docker-credential-…` that keeps credentials instead of this file.
    #[serde(deserialize_with = "or_default")]
    pub(crate) creds_store: String,
    /// The same for single registries; an empty one stands for this file.
    #[serde(deserialize_with = "or_default")]
    pub(crate) cred_helpers: BTreeMap<String, String>,
    /// Further folders of docker's plugins.
    #[serde(deserialize_with = "or_default")]
    pub(crate) cli_plugins_extra_dirs: Vec<PathBuf>,
}

/// An entry of `auths`. It has no `Debug` that could show a password by accident.
#[derive(Default, Clone, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub(crate) struct AuthEntry {
    /// `user:password` in base64.
    #[serde(deserialize_with = "or_default")]
    pub(crate) auth: String,
    /// The two in clear, as older tools wrote them.
    #[serde(deserialize_with = "or_default")]
    pub(crate) username: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) password: String,
    /// What the registry gave out in exchange for a password.
    #[serde(deserialize_with = "or_default")]
    pub(crate) identitytoken: String,
    /// A bearer token that is sent as it is.
    #[serde(deserialize_with = "or_default")]
    pub(crate) registrytoken: String,
}

impl std::fmt::Debug for AuthEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthEntry")
    }
}

/// Proxy variables for containers.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Proxy {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl ConfigFile {
    /// Reads `<folder>/config.json`; a missing file is an empty one.
    ///
    /// # Errors
    /// When it can't be read or is not JSON, with the file's name.
    pub(crate) fn load(folder: Option<&Path>) -> Result<Self, Failure> {
        let empty = Self::unread(folder);
        let Some(path) = &empty.path else { return Ok(empty) };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(empty);
            }
            Err(error) => return Err(Failure::doing(format!("read {}", path.display()), error)),
        };
        let read: Self = serde_json::from_slice(&text)
            .map_err(|error| Failure::doing(format!("read {}", path.display()), error))?;
        Ok(Self { path: empty.path, ..read })
    }

    /// The file of `folder` as if there were nothing in it.
    pub(crate) fn unread(folder: Option<&Path>) -> Self {
        let folder = folder.map(Path::to_owned).or_else(default_folder);
        Self { path: folder.map(|folder| folder.join("config.json")), ..Self::default() }
    }

    /// The folder that it is in, with the docker contexts and certificates beside it.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.path.as_deref().and_then(Path::parent)
    }

    /// The proxy variables for a container on the engine at `endpoint`, in upper and lower case.
    pub(crate) fn proxy_environment(&self, endpoint: &str) -> Vec<(String, String)> {
        let Some(proxy) = self.proxies.get(endpoint).or_else(|| self.proxies.get("default")) else {
            return Vec::new();
        };
        let pairs = [
            ("HTTP_PROXY", &proxy.http_proxy),
            ("HTTPS_PROXY", &proxy.https_proxy),
            ("NO_PROXY", &proxy.no_proxy),
            ("FTP_PROXY", &proxy.ftp_proxy),
            ("ALL_PROXY", &proxy.all_proxy),
        ];
        pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .flat_map(|(name, value)| {
                [(name.to_owned(), value.clone()), (name.to_lowercase(), value.clone())]
            })
            .collect()
    }
}

fn default_folder() -> Option<PathBuf> {
    match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        _ => std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_docker_cli_are_read_and_others_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"auths": {"r:5000": {"auth": "dTpw"}}, "credsStore": "pass", "credHelpers": {"x": "y"},
                       "detachKeys": "ctrl-e,e", "psFormat": "{{.ID}}",
                       "proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "*.local"}}}"#;
        fs::write(folder.path().join("config.json"), text).unwrap();
        let config = ConfigFile::load(Some(folder.path())).unwrap();
        assert_eq!((config.detach_keys.as_str(), config.ps_format.as_str()), ("ctrl-e,e", "{{.ID}}"));
        assert_eq!((config.auths["r:5000"].auth.as_str(), config.creds_store.as_str()), ("dTpw", "pass"));
        assert_eq!(config.cred_helpers["x"], "y");
        let names: Vec<_> = config.proxy_environment("unix:///x").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"]);
    }

    #[test]
    fn a_missing_file_is_empty_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ConfigFile::load(Some(folder.path())).unwrap().detach_keys.is_empty());
        fs::write(folder.path().join("config.json"), "{").unwrap();
        assert!(ConfigFile::load(Some(folder.path())).unwrap_err().message.contains("config.json"));
    }
}
