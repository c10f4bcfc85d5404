//! A build as the attributes of the Dockerfile frontend, in the words of `docker buildx build`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::options::{BuildOptions, CacheEntry, NamedContext};

/// Under what names the engine asks for a named context's folder: these two are taken.
const TAKEN: [&str; 2] = ["context", "dockerfile"];

/// How an archive that is uploaded is named as a context.
pub(crate) const UPLOAD: &str = "http://buildkit-session/";

/// One of `cache-imports`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Import<'a> {
    r#type: &'a str,
    attrs: &'a BTreeMap<String, String>,
}

/// The name of a named context's folder in the session.
pub(crate) fn folder_name(name: &str) -> String {
    if TAKEN.contains(&name) { format!("_{name}") } else { name.to_owned() }
}

/// All that needs no look at this host.
pub(crate) fn attributes(options: &BuildOptions) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        if !value.is_empty() {
            attributes.insert(key.to_owned(), value);
        }
    };
    set("target", options.target.clone());
    set("platform", options.platforms.join(","));
    set("image-resolve-mode", if options.pull { "pull".to_owned() } else { String::new() });
    set("no-cache", options.no_cache_filter.join(","));
    let network = if options.network == "default" { String::new() } else { options.network.clone() };
    set("force-network-mode", network);
    set("add-hosts", options.extra_hosts.iter().map(|host| host_entry(host)).collect::<Vec<_>>().join(","));
    set("shm-size", if options.shm_size == 0 { String::new() } else { options.shm_size.to_string() });
    set("ulimit", options.ulimits.join(","));
    set("cgroup-parent", options.cgroup_parent.clone());
    set("cache-imports", imports(&options.cache_from));
    if let Some(question) = &options.question {
        set("requestid", format!("frontend.{question}"));
        set("frontend.caps", "moby.buildkit.frontend.subrequests+forward".to_owned());
    }
    if options.no_cache {
        // An empty list is all stages.
        attributes.insert("no-cache".to_owned(), String::new());
    }
    let prefixed = |prefix: &'static str, all: &BTreeMap<String, String>| -> Vec<(String, String)> {
        all.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone())).collect()
    };
    attributes.extend(prefixed("build-arg:", &options.args));
    attributes.extend(prefixed("label:", &options.labels));
    attributes.extend(prefixed("attest:", &options.attestations));
    attributes.extend(options.named_contexts.iter().map(|(name, context)| {
        let source = match context {
            NamedContext::Folder(_) => format!("local:{}", folder_name(name)),
            NamedContext::Elsewhere(source) => source.clone(),
        };
        (format!("context:{name}"), source)
    }));
    attributes
}

/// `name=address`; the classic form has a colon.
fn host_entry(host: &str) -> String {
    if host.contains('=') { host.to_owned() } else { host.replacen(':', "=", 1) }
}

fn imports(entries: &[CacheEntry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let imports: Vec<_> =
        entries.iter().map(|entry| Import { r#type: &entry.kind, attrs: &entry.attributes }).collect();
    // Texts always have a JSON form.
    serde_json::to_string(&imports).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_is_nothing_said() {
        assert!(attributes(&BuildOptions::default()).is_empty());
    }

    #[test]
    fn a_build_is_said_as_buildx_says_it() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = BuildOptions {
            args: [pair("A", "1")].into(),
            labels: [pair("l", "m")].into(),
            named_contexts: [
                ("context".to_owned(), NamedContext::Folder("/x".into())),
                ("base".to_owned(), NamedContext::Elsewhere("docker-image://alpine".into())),
            ]
            .into(),
            extra_hosts: vec!["a:1.2.3.4".into(), "b=::1".into()],
            no_cache_filter: vec!["one".into(), "two".into()],
            pull: true,
            network: "host".into(),
            shm_size: 5,
            cache_from: vec![CacheEntry { kind: "registry".into(), attributes: [pair("ref", "r/c")].into() }],
            ..BuildOptions::default()
        };
        let said = attributes(&options);
        let said: Vec<_> = said.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            said,
            [
                "add-hosts=a=1.2.3.4,b=::1",
                "build-arg:A=1",
                "cache-imports=[{\"Type\":\"registry\",\"Attrs\":{\"ref\":\"r/c\"}}]",
                "context:base=docker-image://alpine",
                "context:context=local:_context",
                "force-network-mode=host",
                "image-resolve-mode=pull",
                "label:l=m",
                "no-cache=one,two",
                "shm-size=5",
            ]
        );
        let all = attributes(&BuildOptions { no_cache: true, ..options });
        assert_eq!(all["no-cache"], "");
    }
}
