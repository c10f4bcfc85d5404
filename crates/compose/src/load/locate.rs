//! Which files a project is made of, where it begins, what it is interpolated from, and its name.

use std::path::{Path, PathBuf};

use super::{
    FILE_NAMES, OVERRIDE_NAMES, Request,
    error::LoadError,
    file::{File, Session},
    include::env_files,
    source::{Kind, Source, clean, join},
    template::substitute,
};
use crate::{model::Mapping, tree::Node};

/// Where a project is.
pub(crate) struct Located {
    pub(crate) files: Vec<File>,
    pub(crate) folder: PathBuf,
    pub(crate) environment: Mapping,
    pub(crate) profiles: Vec<String>,
}

/// Finds the files of a project and the variables around them.
pub(crate) fn locate(session: &Session<'_>, request: &Request) -> Result<Located, LoadError> {
    let mut environment = request.environment.clone();
    environment.entry("PWD".to_owned()).or_insert_with(|| request.working_dir.display().to_string());
    // Variables are needed to find the files (COMPOSE_FILE), and the files to find all variables.
    let first = folder(request, &request.files);
    add_env_files(session, request, &first, &mut environment)?;
    let files = named_files(session.source, request, &environment, &first, session)?;
    let folder = folder(request, &files);
    if folder != first {
        add_env_files(session, request, &folder, &mut environment)?;
    }
    let files = files.iter().map(|name| match name.as_str() {
        "-" => File { name: "-".to_owned(), path: PathBuf::from("-") },
        name => File::at(join(&request.working_dir, name)),
    });
    let profiles = profiles(request, &environment);
    Ok(Located { files: files.collect(), folder, environment, profiles })
}

/// The folder of the project: the one that was asked for, else that of the first file, else the current one.
fn folder(request: &Request, files: &[String]) -> PathBuf {
    if let Some(folder) = &request.project_directory {
        return clean(&request.working_dir.join(folder));
    }
    match files.iter().find(|name| *name != "-") {
        Some(name) => {
            let path = join(&request.working_dir, name);
            path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
        }
        None => request.working_dir.clone(),
    }
}

fn add_env_files(
    session: &Session<'_>,
    request: &Request,
    folder: &Path,
    environment: &mut Mapping,
) -> Result<(), LoadError> {
    let from_variable = || {
        let names = request.environment.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let named: Vec<String> =
        if request.env_files.is_empty() { from_variable() } else { request.env_files.clone() };
    let files: Vec<PathBuf> = if !named.is_empty() {
        named.iter().map(|name| join(&request.working_dir, name)).collect()
    } else if is_disabled(request)? {
        Vec::new()
    } else {
        let usual = folder.join(".env");
        (session.source.kind(&usual) == Some(Kind::File)).then_some(usual).into_iter().collect()
    };
    for (name, value) in env_files(session, &files, environment)? {
        environment.entry(name).or_insert(value);
    }
    Ok(())
}

/// `COMPOSE_DISABLE_ENV_FILE`: no `.env` is read that wasn't named.
fn is_disabled(request: &Request) -> Result<bool, LoadError> {
    match request.environment.get("COMPOSE_DISABLE_ENV_FILE").map(String::as_str) {
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some(other) => Err(LoadError::Project(format!("COMPOSE_DISABLE_ENV_FILE: {other:?} is no boolean"))),
    }
}

/// The files that were asked for, those of `COMPOSE_FILE`, or those of the usual names here or in a folder above.
fn named_files(
    source: &dyn Source,
    request: &Request,
    environment: &Mapping,
    folder: &Path,
    session: &Session<'_>,
) -> Result<Vec<String>, LoadError> {
    if !request.files.is_empty() {
        return Ok(request.files.clone());
    }
    if let Some(files) = environment.get("COMPOSE_FILE").filter(|files| !files.is_empty()) {
        let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty());
        let separator = separator.map_or(":", String::as_str);
        return Ok(files.split(separator).map(str::to_owned).collect());
    }
    for folder in folder.ancestors() {
        let found = |names: &[&str]| -> Vec<PathBuf> {
            names.iter().map(|name| folder.join(name)).filter(|path| source.kind(path).is_some()).collect()
        };
        let files = found(&FILE_NAMES);
        if files.is_empty() {
            continue;
        }
        let overrides = found(&OVERRIDE_NAMES);
        warn_of_several(session, "config", &files);
        warn_of_several(session, "override", &overrides);
        let chosen = files.first().into_iter().chain(overrides.first());
        return Ok(chosen.map(|path| path.display().to_string()).collect());
    }
    Err(LoadError::NoFile(folder.to_owned()))
}

fn warn_of_several(session: &Session<'_>, kind: &str, files: &[PathBuf]) {
    if let [first, _, ..] = files {
        let all: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        session.warn(format!("Found multiple {kind} files with supported names: {}", all.join(", ")));
        session.warn(format!("Using {}", first.display()));
    }
}

fn profiles(request: &Request, environment: &Mapping) -> Vec<String> {
    if !request.profiles.is_empty() {
        return request.profiles.clone();
    }
    let listed = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    listed.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The project's name: what was asked for, `COMPOSE_PROJECT_NAME`, the files' `name`, or the folder's.
pub(crate) fn project_name(
    session: &Session<'_>,
    request: &Request,
    located: &Located,
    documents: &[(File, Vec<Node>)],
) -> Result<String, LoadError> {
    let from_variable = || located.environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty());
    if let Some(name) = request.project_name.as_ref().filter(|name| !name.is_empty()).or_else(from_variable) {
        if normalize_name(name) != *name {
            return Err(LoadError::Project(format!(
                "invalid project name {name:?}: must consist only of lowercase alphanumeric characters, hyphens, and \
                 underscores as well as start with a letter or number"
            )));
        }
        return Ok(name.clone());
    }
    let mut named = documents.iter().flat_map(|(_, documents)| documents).filter_map(|document| {
        document.get("name").filter(|name| name.as_str().is_some_and(|name| !name.is_empty()))
    });
    let name = match named.next_back() {
        Some(node) => {
            let text = node.as_str().unwrap_or_default();
            let filled = match session.options.interpolate {
                true => substitute(text, &|name: &str| located.environment.get(name).cloned()).map_err(
                    |error| {
                        let path = crate::tree::path::Path::of(&["name"]);
                        session.error(super::error::Fault::new(node.at, &path, error.to_string()))
                    },
                )?,
                false => text.to_owned(),
            };
            if session.options.normalize { normalize_name(&filled) } else { filled }
        }
        None => normalize_name(&located.folder.file_name().unwrap_or_default().to_string_lossy()),
    };
    if name.is_empty() {
        return Err(LoadError::Project("project name must not be empty".to_owned()));
    }
    Ok(name)
}

/// A name of lowercase letters, digits, `-` and `_` alone, which begins with one of the first two.
#[must_use]
pub fn normalize_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept =
        lower.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    kept.collect::<String>().trim_start_matches(['_', '-']).to_owned()
}
