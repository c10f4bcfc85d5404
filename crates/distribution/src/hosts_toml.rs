//! containerd's `hosts.toml`: what stands in for a registry, and how it is trusted.
//!
//! ```toml
//! server = "https://registry.example"
//!
//! [host."https://mirror.example:5000"]
//!   capabilities = ["pull", "resolve"]
//!   ca = "mirror.pem"
//! ```

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use minke_model::quantity::parse_duration_nanos;
use serde::{Deserialize, Deserializer, de};

use crate::SettingsError;

/// The whole file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HostsToml {
    /// The registry itself, where it is not reached by its name.
    pub(crate) server: Option<String>,
    /// How the registry itself is reached: the keys above the first table.
    pub(crate) server_options: HostOptions,
    /// What is tried before it, in the order of the file.
    pub(crate) hosts: Vec<(String, HostOptions)>,
}

/// One address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct HostOptions {
    /// What it can do; absent: everything.
    pub(crate) capabilities: Option<Vec<Capability>>,
    /// Files of certificate authorities.
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) ca: Vec<PathBuf>,
    /// The file of a certificate for this client and that of its key.
    #[serde(default, deserialize_with = "client")]
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// Whether any certificate will do.
    #[serde(default)]
    pub(crate) skip_verify: bool,
    /// Headers for every request.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, OneOrMany<String>>,
    /// Whether the address has the whole path, and no `/v2` is appended.
    #[serde(default)]
    pub(crate) override_path: bool,
    /// How long a connection may take to be made, as Go writes durations: `3s`.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) dial_timeout: Option<Duration>,
}

/// What an address can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Capability {
    /// Content by its digest.
    Pull,
    /// The digest of a tag.
    Resolve,
    /// Writing.
    Push,
}

/// A value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Any number.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// Reads a file's text; `path` names it in errors.
pub(crate) fn parse(path: &Path, text: &str) -> Result<HostsToml, SettingsError> {
    #[derive(Deserialize)]
    struct Root {
        server: Option<String>,
        #[serde(default)]
        host: Ordered,
    }
    let wrong = |error: toml::de::Error| SettingsError::HostsToml {
        path: path.to_owned(),
        line: 1 + text[..error.span().map_or(0, |span| span.start)].matches('\n').count(),
        reason: error.message().trim().replace('\n', " "),
    };
    let root: Root = toml::from_str(text).map_err(wrong)?;
    let server_options = toml::from_str(text).map_err(wrong)?;
    Ok(HostsToml { server: root.server, server_options, hosts: root.host.0 })
}

/// The tables below `host`, in the order of the file: it is the order they are tried in.
#[derive(Default)]
struct Ordered(Vec<(String, HostOptions)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables such as [host.\"https://mirror.example\"]")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut hosts = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    hosts.push(entry);
                }
                Ok(Ordered(hosts))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    OneOrMany::deserialize(deserializer).map(OneOrMany::into_vec)
}

/// One file with both, a list of such files, or a list of pairs. The first one counts.
fn client<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(PathBuf, PathBuf)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a file, a list of files or a list of pairs of files")]
    enum Client {
        One(PathBuf),
        Many(Vec<OneOrMany<PathBuf>>),
    }
    let first = match Client::deserialize(deserializer)? {
        Client::One(file) => vec![file],
        Client::Many(all) => all.into_iter().next().map(OneOrMany::into_vec).unwrap_or_default(),
    };
    let mut files = first.into_iter().filter(|file| !file.as_os_str().is_empty());
    let Some(certificate) = files.next() else { return Ok(None) };
    let key = files.next().unwrap_or_else(|| certificate.clone());
    match files.next() {
        None => Ok(Some((certificate, key))),
        Some(_) => Err(de::Error::custom("a pair of files has a certificate and its key")),
    }
}

/// Longer than nothing: a host that may take no time can't be reached.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let nanos = parse_duration_nanos(&text).map_err(de::Error::custom)?;
    let positive = u64::try_from(nanos).ok().filter(|nanos| *nanos > 0);
    let wrong = || de::Error::custom(format!("{text:?} is no time to connect in: want one such as \"3s\""));
    positive.map(|nanos| Some(Duration::from_nanos(nanos))).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HostsToml, SettingsError> {
        parse(Path::new("/certs.d/r/hosts.toml"), text)
    }

    #[test]
    fn hosts_keep_the_order_of_the_file() {
        let file = read(
            r#"
            server = "https://r.example"
            ca = "/ca.pem"
            [host."https://z.example"]
              capabilities = ["pull", "resolve"]
              skip_verify = true
              [host."https://z.example".header]
                x-one = "1"
                x-two = ["2", "3"]
            [host."http://a.example:5000/proxy"]
              override_path = true
              ca = ["a.pem", "b.pem"]
              client = [["cert.pem", "key.pem"]]
            "#,
        )
        .unwrap();
        assert_eq!(file.server.as_deref(), Some("https://r.example"));
        assert_eq!(file.server_options.ca, [PathBuf::from("/ca.pem")]);
        let names: Vec<_> = file.hosts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["https://z.example", "http://a.example:5000/proxy"]);
        let (first, second) = (&file.hosts[0].1, &file.hosts[1].1);
        assert_eq!(first.capabilities.as_deref(), Some(&[Capability::Pull, Capability::Resolve][..]));
        assert!(first.skip_verify && !second.skip_verify && second.override_path);
        assert_eq!(first.header["x-two"].clone().into_vec(), ["2", "3"]);
        assert_eq!(second.ca.len(), 2);
        assert_eq!(second.client, Some(("cert.pem".into(), "key.pem".into())));
        assert_eq!(second.capabilities, None);
    }

    #[test]
    fn a_time_to_connect_in_is_written_as_go_writes_it() {
        let file = read("dial_timeout = \"1m3s\"\n[host.\"https://a\"]\ndial_timeout = \"250ms\"").unwrap();
        assert_eq!(file.server_options.dial_timeout, Some(Duration::from_secs(63)));
        assert_eq!(file.hosts[0].1.dial_timeout, Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_client_is_one_file_or_two() {
        let client = |value: &str| read(&format!("client = {value}")).unwrap().server_options.client;
        let both = Some(("both.pem".into(), "both.pem".into()));
        assert_eq!(client(r#""both.pem""#), both);
        assert_eq!(client(r#"["both.pem"]"#), both);
        assert_eq!(client(r#"[["both.pem", ""]]"#), both);
        assert_eq!(client("[]"), None);
        assert!(read(r#"client = [["a", "b", "c"]]"#).is_err());
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, line, word) in [
            ("server = 1", 1, "string"),
            ("\n[host.\"https://a\"]\n  capabilities = [\"pul\"]", 3, "pul"),
            ("server = \"x\"\nskip_verify = \"yes\"", 2, "boolean"),
            ("\n\n[host", 3, ""),
            ("host = 3", 1, "tables"),
            ("dial_timeout = \"0s\"", 1, "no time to connect in"),
            ("dial_timeout = \"soon\"", 1, "soon"),
        ] {
            let error = read(text).unwrap_err().to_string();
            let start = format!("/certs.d/r/hosts.toml, line {line}: ");
            assert!(error.starts_with(&start) && error.contains(word), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn an_empty_file_and_unknown_keys_are_well() {
        assert_eq!(read("").unwrap(), HostsToml::default());
        assert_eq!(read("[plugin]\nx = 1").unwrap(), HostsToml::default());
    }
}
