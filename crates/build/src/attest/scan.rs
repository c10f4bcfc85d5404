//! What is in a result, found out by a program of the user's: an image that keeps to BuildKit's protocol of SBOM generators.
//!
//! The scan is a build of its own on the generator's image, with the result's files mounted, so that it is cached, confined and shown
//! like any other step. What it writes to [`DESTINATION`] are in-toto statements, a file each.

use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use minke_dockerfile::plan::ImageOrigin;
use minke_engine::layers_root;
use minke_image::{Predicate, Subject};
use minke_kernel::path::Root;
use minke_model::{Platform, Reference, chain};
use rustix::fs::{Dir, OFlags};
use serde::Deserialize;
use serde_json::Value;

use super::{Sbom, Sources};
use crate::{
    BuildError, BuildRequest, Builder, Built, LinkedBuild, NamedContext, cache::failed, export::Finished,
    images,
};

/// Where the generator finds the files.
const SOURCE: &str = "/run/src/core/sbom";
/// Where it writes to.
const DESTINATION: &str = "/run/out";
/// What a bill of materials is.
const SPDX: &str = "https://spdx.dev/Document";
/// The name, without what follows a dot, of what is said of the result itself.
const CORE: &str = "sbom";
/// The most bytes of a statement.
const LONGEST: u64 = 40 << 20;
/// The most statements.
const MOST: usize = 100;
/// The most bytes of all of them together, and the most values: those of a list take many times the room of their text.
const MOST_BYTES: usize = 64 << 20;
const MOST_VALUES: usize = 2_000_000;

/// Runs the generator, and reads what it has written: the name of each file, and what it says. The generator itself is what that was
/// made of.
///
/// # Errors
/// When the generator can't be had, fails, or writes something else than statements about what is in the result.
pub(super) async fn scan(
    builder: &Builder,
    finished: &Finished,
    sbom: &Sbom,
) -> Result<(Vec<(String, Predicate)>, Arc<Sources>), BuildError> {
    let build = &finished.build;
    let name = &sbom.generator;
    let invalid =
        |error: &dyn std::fmt::Display| BuildError::Invalid(format!("SBOM generator {name}: {error}"));
    let reference: Reference = name.parse().map_err(|error| invalid(&error))?;
    let host = Platform::host();
    let origin = ImageOrigin {
        written: name.clone(),
        reference: reference.with_default_tag(),
        platform: host.clone(),
        is_platform_asked_for: false,
    };
    let generator = images::resolve(builder.engine(), &build.client, &origin, false).await?;
    let text = dockerfile(sbom, &generator.config().config).map_err(|error| invalid(&error))?;
    let (engine, layers) = (builder.engine(), finished.state.layers.clone());
    let result = images::hold_layers(engine, Default::default(), layers, "the result".to_owned()).await?;
    let request = BuildRequest {
        dockerfile_text: Some(text.into_bytes()),
        dockerfile: "sbom".to_owned(),
        platforms: vec![host.to_string()],
        named_contexts: [("result".to_owned(), NamedContext::Built(Built(result)))].into(),
        ..BuildRequest::default()
    };
    let linked = LinkedBuild { request, client: build.client.clone() };
    let scanned = builder.linked(&linked, CORE, &host).await?;
    let lower = build.lower(&scanned.layers)?;
    let made_of = Arc::clone(&scanned.made_of);
    let read = tokio::task::spawn_blocking(move || {
        let _held = scanned;
        read(&lower)
    });
    let statements = read.await.map_err(|error| failed(&error))?.map_err(|error| invalid(&error))?;
    Ok((statements, made_of))
}

/// The scan as a Dockerfile.
fn dockerfile(sbom: &Sbom, config: &minke_image::RunConfig) -> Result<String, String> {
    let program: Vec<&String> =
        config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten()).collect();
    if program.is_empty() {
        return Err("its image has neither ENTRYPOINT nor CMD".to_owned());
    }
    let program = serde_json::to_string(&program).map_err(|error| error.to_string())?;
    let directory = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    let mut text = format!(
        "FROM {}\nUSER 0\nWORKDIR {DESTINATION}\nWORKDIR {}\nENV BUILDKIT_SCAN_SOURCE={SOURCE} BUILDKIT_SCAN_DESTINATION={DESTINATION}/\n",
        sbom.generator,
        quoted(directory)?,
    );
    for (key, value) in &sbom.parameters {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("invalid name of a parameter: {key:?}"));
        }
        text.push_str(&format!("ENV BUILDKIT_SCAN_{key}={}\n", quoted(value)?));
    }
    text.push_str(&format!(
        "RUN --mount=type=bind,from=result,target={SOURCE},readonly --mount=type=tmpfs,target=/tmp {program}\n"
    ));
    Ok(text)
}

/// A word of a Dockerfile in which nothing is expanded.
fn quoted(text: &str) -> Result<String, String> {
    if text.contains(char::is_control) {
        return Err(format!("control characters in {text:?}"));
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    Ok(format!("\"{escaped}\""))
}

/// The statements in layers, that about the result itself first.
fn read(lower: &[std::path::PathBuf]) -> Result<Vec<(String, Predicate)>, String> {
    let root = layers_root(lower).map_err(|error| chain(&error))?;
    let opened = root.open_at(Path::new(DESTINATION), OFlags::RDONLY | OFlags::DIRECTORY);
    let directory = opened.map_err(|error| format!("{DESTINATION}: {error}"))?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory).map_err(|error| format!("{DESTINATION}: {error}"))? {
        let entry = entry.map_err(|error| format!("{DESTINATION}: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(format!("it has written nothing to {DESTINATION}"));
    }
    if names.len() > MOST {
        return Err(format!("it has written {} files to {DESTINATION}, more than {MOST}", names.len()));
    }
    names.sort_by_key(|name| (name.split('.').next() != Some(CORE), name.clone()));
    let (mut bytes, mut values) = (0, 0);
    let mut statements = Vec::new();
    for name in names {
        let json = text(&root, &name)?;
        bytes += json.len();
        values += json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        if bytes > MOST_BYTES || values > MOST_VALUES {
            return Err(format!(
                "it has written more than {MOST_BYTES} bytes or {MOST_VALUES} values to {DESTINATION}"
            ));
        }
        let said = statement(&name, &json)?;
        statements.push((name, said));
    }
    Ok(statements)
}

/// What is in a file.
fn text(root: &Root, name: &str) -> Result<Vec<u8>, String> {
    let path = Path::new(DESTINATION).join(name);
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    // Neither a link nor what blocks.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = File::from(root.open_at(&path, flags).map_err(|error| wrong(&error))?);
    if !file.metadata().map_err(|error| wrong(&error))?.is_file() {
        return Err(wrong(&"not a regular file"));
    }
    let mut json = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut json).map_err(|error| wrong(&error))?;
    match json.len() as u64 > LONGEST {
        true => Err(wrong(&format!("more than {LONGEST} bytes"))),
        false => Ok(json),
    }
}

fn statement(name: &str, json: &[u8]) -> Result<Predicate, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Statement {
        #[serde(rename = "_type")]
        kind: String,
        predicate_type: String,
        #[serde(default)]
        subject: Option<Vec<Subject>>,
        predicate: Value,
    }
    let wrong = |error: &dyn std::fmt::Display| format!("{DESTINATION}/{name}: {error}");
    let said: Statement = serde_json::from_slice(json).map_err(|error| wrong(&error))?;
    if !said.kind.starts_with("https://in-toto.io/Statement/") {
        return Err(wrong(&format!("no in-toto statement, but {:?}", said.kind)));
    }
    if said.predicate_type != SPDX {
        return Err(wrong(&format!("the predicate's type is {:?}, not {SPDX:?}", said.predicate_type)));
    }
    Ok(Predicate {
        kind: said.predicate_type,
        body: said.predicate,
        subjects: said.subject.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use minke_image::RunConfig;

    fn sbom(parameters: &[(&str, &str)]) -> Sbom {
        let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Sbom { generator: "scan:1".to_owned(), parameters: parameters.collect() }
    }

    #[test]
    fn a_scan_is_a_step_on_the_generators_image() {
        let config = RunConfig {
            entrypoint: Some(vec!["/scan".into()]),
            cmd: Some(vec!["a \"b\"".into()]),
            ..RunConfig::default()
        };
        let text = dockerfile(&sbom(&[("DEPTH", "$HOME \"\\")]), &config).unwrap();
        assert!(text.starts_with("FROM scan:1\n"), "{text}");
        assert!(text.contains("ENV BUILDKIT_SCAN_DEPTH=\"\\$HOME \\\"\\\\\"\n"), "{text}");
        assert!(text.ends_with("[\"/scan\",\"a \\\"b\\\"\"]\n"), "{text}");
    }

    #[test]
    fn what_is_no_word_of_a_dockerfile_is_refused() {
        let config = RunConfig { cmd: Some(vec!["/scan".into()]), ..RunConfig::default() };
        for parameter in [("A B", "c"), ("", "c"), ("A", "c\nRUN rm -rf /")] {
            assert!(dockerfile(&sbom(&[parameter]), &config).is_err(), "{parameter:?}");
        }
        assert!(dockerfile(&sbom(&[]), &RunConfig::default()).is_err());
    }
}
