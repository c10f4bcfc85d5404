//! The Dockerfile frontend: from the attributes of a solve to a build of the builder's.
//!
//! It is part of this engine and answers to `dockerfile.v0`, and to `gateway.v0` when that names an image of Docker's
//! Dockerfile frontend (`# syntax=docker/dockerfile:1`), or of a mirror of it: no such image is fetched. Other frontends would
//! send graphs of their own, which this engine doesn't solve.

mod attest;
pub(crate) mod attributes;
pub(crate) mod inputs;
pub(crate) mod links;
pub(crate) mod lint;
pub(crate) mod outputs;
pub(crate) mod questions;
pub(crate) mod sources;

use std::collections::BTreeMap;

use crate::grpc::Status;

/// Repositories of Docker's Dockerfile frontend, wherever they are mirrored.
const OWN: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// The name of the frontend that every BuildKit has.
const BUILT_IN: &str = "dockerfile.v0";

/// Whether a frontend is the one that is here.
///
/// # Errors
/// What is missing, and what is possible.
pub(crate) fn check(frontend: &str, attributes: &BTreeMap<String, String>) -> Result<(), Status> {
    match frontend {
        BUILT_IN => Ok(()),
        "gateway.v0" => check_syntax(attributes.get("source").map(String::as_str).unwrap_or_default()),
        other => Err(Status::unimplemented(format!("unknown frontend {other:?}: minke has dockerfile.v0"))),
    }
}

/// The same for what `# syntax=` and `BUILDKIT_SYNTAX` name: an image, and what is for it after a space.
///
/// # Errors
/// When it is another's.
pub(crate) fn check_syntax(syntax: &str) -> Result<(), Status> {
    let image = syntax.split_whitespace().next().unwrap_or_default();
    match is_own(image) {
        true => Ok(()),
        false => Err(Status::unimplemented(format!(
            "the frontend {image:?} can't be run: minke builds Dockerfiles itself and solves no graphs of other frontends"
        ))),
    }
}

fn is_own(image: &str) -> bool {
    if image == BUILT_IN {
        return true;
    }
    let name = image.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    OWN.iter().any(|own| {
        name.strip_suffix(own).is_some_and(|registry| registry.is_empty() || registry.ends_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_own_frontend_is_here_and_others_are_not() {
        let source = |image: &str| BTreeMap::from([("source".to_owned(), image.to_owned())]);
        for image in ["docker/dockerfile:1", "docker/dockerfile", "docker.io/docker/dockerfile:1.7@sha256:ab"]
        {
            assert!(check("gateway.v0", &source(image)).is_ok(), "{image}");
        }
        assert!(check_syntax("docker/dockerfile:1 with words").is_ok());
        assert!(check("gateway.v0", &source("example.com/mydocker/dockerfile")).is_err());
        assert!(check("dockerfile.v0", &BTreeMap::new()).is_ok());
        let error = check("gateway.v0", &source("tonistiigi/buildpack")).unwrap_err();
        assert!(error.message.contains("\"tonistiigi/buildpack\""), "{}", error.message);
    }
}
