//! `minke create`, and making a container for `run`.

use std::{fs, io::Write, path::Path};

use bollard_stubs::models::ContainerCreateBody;
use clap::Parser;
use minke_model::AnyReference;
use serde::Deserialize;

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::{Failure, USAGE},
    format::text::or_default,
    output,
    progress::Screen,
    run::{
        FlagError,
        body::{self, Surroundings},
        environment,
        options::ContainerOptions,
    },
    transfer::{self, Wanted},
};

/// Flags of `create`.
#[derive(Debug, Parser)]
pub(crate) struct Create {
    #[command(flatten)]
    options: ContainerOptions,
    /// The image
    image: String,
    /// What to run instead of the image's command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) static CREATE: Verb = client_verb!(
    Create,
    create,
    Arity::AtLeast(1),
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    false
);

async fn create(context: &Context, args: Create) -> Result<(), Failure> {
    let body = request(context, &args.options, &args.image, &args.command)
        .map_err(|failure| failure.of_run("create").with_code(USAGE))?;
    let id = make(context, &args.options, &body).await?;
    output::line(&id)
}

/// The API's request for these flags, with the proxy settings of the user's configuration.
///
/// # Errors
/// For flags that make no sense, named.
pub(super) fn request(
    context: &Context,
    options: &ContainerOptions,
    image: &str,
    command: &[String],
) -> Result<ContainerCreateBody, Failure> {
    if let Some(text) = options.platform.as_deref().filter(|platform| !platform.is_empty()) {
        text.parse::<minke_model::Platform>()
            .map_err(|error| Failure::doing(format!("error parsing specified platform: {text:?}"), error))?;
    }
    let folder = std::env::current_dir().map_err(|error| Failure::doing("find the current folder", error))?;
    let from = Surroundings { folder: &folder, lookup: &environment::own };
    let mut body =
        body::create(options, image, command, from).map_err(|FlagError(problem)| Failure::new(problem))?;
    let proxies = context.proxies()?;
    if !proxies.is_empty() {
        let given = body.env.get_or_insert_default();
        let proxies = proxies
            .into_iter()
            .filter(|(name, _)| !given.iter().any(|variable| variable.split('=').next() == Some(name)));
        let mut all: Vec<String> = proxies.map(|(name, value)| format!("{name}={value}")).collect();
        all.append(given);
        body.env = Some(all);
    }
    Ok(body)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Created {
    id: String,
    #[serde(deserialize_with = "or_default")]
    warnings: Vec<String>,
}

/// Creates the container; pulls the image where it is missing and `--pull` allows it. Returns its id.
///
/// # Errors
/// The engine's own, and those of the id file.
pub(super) async fn make(
    context: &Context,
    options: &ContainerOptions,
    body: &ContainerCreateBody,
) -> Result<String, Failure> {
    let client = context.client()?;
    let id_file = options.cidfile.as_deref().map(IdFile::reserve).transpose()?;
    let image = body.image.clone().unwrap_or_default();
    let platform = options.platform.as_deref().filter(|platform| !platform.is_empty());
    if options.pull == "always" {
        pull(context, options, &image).await?;
    }
    let mut query = Vec::new();
    query.extend(options.name.clone().map(|name| ("name", name)));
    query.extend(platform.map(|platform| ("platform", platform.to_owned())));
    let first: Result<Created, _> = client.post("/containers/create", &query, Some(body)).await;
    let created = match first {
        Err(error)
            if error.is_not_found()
                && options.pull == "missing"
                && is_name(&image)
                && error.to_string().contains("No such image") =>
        {
            if !options.quiet {
                output::note(&format!("Unable to find image '{}' locally", with_tag(&image)));
            }
            pull(context, options, &image).await?;
            client.post("/containers/create", &query, Some(body)).await?
        }
        other => other?,
    };
    for warning in &created.warnings {
        output::note(&format!("WARNING: {warning}"));
    }
    if let Some(file) = id_file {
        file.write(&created.id)?;
    }
    Ok(created.id)
}

/// Pulls with progress on standard error: standard output is the container's.
async fn pull(context: &Context, options: &ContainerOptions, image: &str) -> Result<(), Failure> {
    let image =
        image.parse().map_err(|error: minke_model::ReferenceError| Failure::new(error.to_string()))?;
    let platform = options.platform.as_deref().filter(|platform| !platform.is_empty());
    let screen = if options.quiet { Screen::Nowhere } else { Screen::Stderr };
    transfer::pull(context, Wanted { image: &image, all_tags: false, platform }, screen).await
}

/// Whether an image is meant by its name; no registry has it by its id.
fn is_name(image: &str) -> bool {
    matches!(image.parse(), Ok(AnyReference::Named(_)))
}

/// The image's name as Docker shows it: with the tag that is meant where none is given.
fn with_tag(image: &str) -> String {
    image.parse().map_or_else(
        |_| image.to_owned(),
        |image: minke_model::Reference| image.with_default_tag().familiar(),
    )
}

/// `--cidfile`: made before the container, so that there is never a container whose id could not be written.
struct IdFile<'a> {
    path: &'a Path,
    file: fs::File,
    written: bool,
}

impl<'a> IdFile<'a> {
    fn reserve(path: &'a Path) -> Result<Self, Failure> {
        if path.as_os_str().is_empty() {
            return Err(Failure::new("--cidfile: the file's name is empty"));
        }
        match fs::OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => Ok(Self { path, file, written: false }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::new(format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ))),
            Err(error) => {
                Err(Failure::doing(format!("create the container ID file {}", path.display()), error))
            }
        }
    }

    fn write(mut self, id: &str) -> Result<(), Failure> {
        self.file.write_all(id.as_bytes()).map_err(|error| {
            Failure::doing(format!("write the container ID file {}", self.path.display()), error)
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile<'_> {
    fn drop(&mut self) {
        if !self.written {
            // The container was not made; the file may already be gone.
            let _ = fs::remove_file(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_pulled_and_shown_with_their_tag() {
        assert!(is_name("redis") && is_name("r:5000/a/b:1"));
        let id = "0123456789abcdef".repeat(4);
        assert!(!is_name(&id) && !is_name(&format!("sha256:{id}")) && !is_name("Bad Name"));
        assert_eq!(with_tag("docker.io/library/redis"), "redis:latest");
        assert_eq!(with_tag("r:5000/a:1"), "r:5000/a:1");
    }

    #[test]
    fn an_id_file_is_never_overwritten_and_vanishes_when_nothing_was_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cid");
        drop(IdFile::reserve(&path).unwrap());
        assert!(!path.exists());
        IdFile::reserve(&path).unwrap().write("abc").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc");
        assert!(IdFile::reserve(&path).err().unwrap().message.contains("container ID file found"));
    }
}
