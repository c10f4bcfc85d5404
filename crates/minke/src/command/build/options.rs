//! The flags as the options of a build over BuildKit's API.

use std::{collections::BTreeMap, env};

use minke_build_client::{BuildOptions, Destination, Output, words};

use super::{
    context::Source,
    flags::{Build, is_on},
};
use crate::failure::Failure;

/// The options of a build of `source`; `question` is what is asked instead.
///
/// # Errors
/// For a flag whose value means nothing, and for secrets and agents that aren't there.
pub(super) fn options(
    args: &Build,
    source: Source,
    question: Option<String>,
) -> Result<BuildOptions, Failure> {
    let each = |list: &[String], what| -> Result<Vec<_>, Failure> {
        list.iter().map(|text| words::cache_entry(what, text).map_err(wrong)).collect()
    };
    let contexts = args.build_context.iter().map(|text| words::named_context(text).map_err(wrong));
    let network = args.network.clone().unwrap_or_default();
    let mut entitlements = args.allow.clone();
    if network == "host" {
        entitlements.push("network.host".to_owned());
    }
    Ok(BuildOptions {
        context: source.files,
        dockerfile: source.dockerfile,
        named_contexts: contexts.collect::<Result<_, _>>()?,
        args: arguments(&args.build_arg, |name| env::var(name).ok()),
        labels: args.label.iter().map(|text| pair(text)).collect(),
        target: args.target.clone().unwrap_or_default(),
        platforms: args.platform.iter().filter(|name| !name.is_empty()).cloned().collect(),
        no_cache: args.no_cache,
        no_cache_filter: args.no_cache_filter.clone(),
        pull: args.pull,
        network,
        extra_hosts: args.add_host.clone(),
        shm_size: args.shm_size.unwrap_or_default(),
        ulimits: args.ulimit.clone(),
        cgroup_parent: args.cgroup_parent.clone().unwrap_or_default(),
        cache_from: each(&args.cache_from, "cache-from")?,
        cache_to: each(&args.cache_to, "cache-to")?,
        entitlements,
        attestations: attestations(args)?,
        outputs: if question.is_some() { Vec::new() } else { outputs(args)? },
        secrets: args
            .secret
            .iter()
            .map(|text| words::secret(text).map_err(wrong))
            .collect::<Result<_, _>>()?,
        agents: args.ssh.iter().map(|text| words::agent(text).map_err(wrong)).collect::<Result<_, _>>()?,
        question,
    })
}

fn wrong(error: words::WordError) -> Failure {
    Failure::new(error.to_string())
}

/// Without any, the image goes to the engine's own store, as with Docker's own builder.
fn outputs(args: &Build) -> Result<Vec<Output>, Failure> {
    let read = args.output.iter().map(|text| words::output(text).map_err(wrong));
    let mut outputs = read.collect::<Result<Vec<_>, _>>()?;
    if args.push {
        words::pushed(&mut outputs).map_err(wrong)?;
    }
    let is_loaded = outputs.iter().any(|output| output.kind == "moby");
    if outputs.is_empty() || args.load && !is_loaded {
        outputs.push(Output {
            kind: "moby".to_owned(),
            attributes: BTreeMap::new(),
            destination: Destination::Engine,
        });
    }
    if !args.tag.is_empty() {
        let named = outputs.iter_mut().filter(|output| !matches!(&*output.kind, "local" | "tar"));
        named.for_each(|output| {
            output.attributes.entry("name".to_owned()).or_insert_with(|| args.tag.join(","));
        });
    }
    for text in &args.annotation {
        words::annotated(&mut outputs, text).map_err(wrong)?;
    }
    Ok(outputs)
}

fn attestations(args: &Build) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    for text in &args.attest {
        let read = words::fields("attest", text).map_err(wrong)?;
        let kind = read.text("type");
        if kind.is_empty() {
            return Err(Failure::new(format!("attest {text:?}: type is required")));
        }
        let rest = read.iter().filter(|(key, _)| *key != "type");
        let rest = rest.map(|(key, value)| format!("{key}={}", value.unwrap_or("true")));
        found.insert(kind.to_owned(), rest.collect::<Vec<_>>().join(","));
    }
    for (kind, value) in [("provenance", &args.provenance), ("sbom", &args.sbom)] {
        match value.as_deref() {
            Some(value) if is_on(value) => {
                let options = if matches!(value, "1" | "true") { "" } else { value };
                found.insert(kind.to_owned(), options.to_owned());
            }
            Some(_) => drop(found.remove(kind)),
            None => {}
        }
    }
    Ok(found)
}

/// `NAME=value`; a name alone has the value of this process's environment, if there is one. `SOURCE_DATE_EPOCH` counts
/// without being named, as tools for reproducible builds have it.
fn arguments(given: &[String], variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    let resolved = given.iter().filter_map(|text| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), variable(text)?)),
    });
    let mut all: BTreeMap<_, _> = resolved.collect();
    if let Some(epoch) = variable(EPOCH).filter(|epoch| !epoch.is_empty()) {
        all.entry(EPOCH.to_owned()).or_insert(epoch);
    }
    all
}

/// `NAME=value`, or a name alone.
pub(super) fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use minke_build_client::{Dockerfile, Files};

    use super::*;

    fn read(words: &[&str]) -> BuildOptions {
        let args = Build::parse_from([&["build"], words, &["."]].concat());
        let source = Source { files: Files::Nothing, dockerfile: Dockerfile::default() };
        options(&args, source, None).unwrap()
    }

    #[test]
    fn an_image_is_loaded_unless_something_else_is_asked_for() {
        let outputs = read(&["-t", "a", "-t", "b"]).outputs;
        assert_eq!((outputs.len(), &*outputs[0].kind, &*outputs[0].attributes["name"]), (1, "moby", "a,b"));
        let outputs = read(&["-t", "a", "-o", "out"]).outputs;
        assert_eq!((outputs.len(), &*outputs[0].kind, outputs[0].attributes.len()), (1, "local", 0));
        let kinds: Vec<_> =
            read(&["-o", "out", "--load"]).outputs.into_iter().map(|output| output.kind).collect();
        assert_eq!(kinds, ["local", "moby"]);
        let outputs = read(&["-t", "a", "--push", "--annotation", "k=v"]).outputs;
        assert_eq!((&*outputs[0].attributes["push"], &*outputs[0].attributes["annotation.k"]), ("true", "v"));
    }

    #[test]
    fn the_host_s_network_is_asked_for_and_allowed() {
        let options =
            read(&["--network", "host", "--attest", "type=sbom,generator=x", "--provenance", "false"]);
        assert_eq!(
            (&*options.network, &options.entitlements[..]),
            ("host", &["network.host".to_owned()][..])
        );
        assert_eq!(options.attestations, [("sbom".to_owned(), "generator=x".to_owned())].into());
    }

    #[test]
    fn arguments_without_a_value_have_the_environments_or_are_none() {
        let variable = |name: &str| (name != "B").then(|| format!("{name}!"));
        let found = arguments(&["A".into(), "B".into(), "C=".into()], variable);
        let found: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(found, ["A=A!", "C=", "SOURCE_DATE_EPOCH=SOURCE_DATE_EPOCH!"]);
    }
}
