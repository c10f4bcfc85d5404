//! The files that services name: variables of `env_file` and labels of `label_file`, put where they belong.

use std::path::Path;

use super::{dotenv, error::LoadError, include::LARGEST_ENV_FILE, source::Source};
use crate::model::{EnvFile, Environment, Mapping, Project, Service};

/// Reads the variables of each service's files into its environment. What the service itself says wins.
pub(crate) fn environments(
    project: &mut Project,
    source: &dyn Source,
    discard: bool,
) -> Result<(), LoadError> {
    let outer = project.environment.clone();
    for service in project.services.values_mut() {
        environment(service, &outer, source)?;
        if discard {
            service.env_file.clear();
        }
    }
    Ok(())
}

fn environment(service: &mut Service, outer: &Mapping, source: &dyn Source) -> Result<(), LoadError> {
    for (name, value) in &mut service.environment {
        if value.is_none() {
            *value = outer.get(name).cloned();
        }
    }
    let own = service.environment.clone();
    let lookup = |name: &str| outer.get(name).cloned().or_else(|| own.get(name).cloned().flatten());
    let given = own.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    let mut variables: Mapping = given.collect();
    for file in &service.env_file {
        read_env_file(file, &mut variables, &lookup, source)?;
    }
    let mut environment: Environment =
        variables.into_iter().map(|(name, value)| (name, Some(value))).collect();
    environment.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    service.environment = environment;
    Ok(())
}

fn read_env_file(
    file: &EnvFile,
    variables: &mut Mapping,
    lookup: &dyn Fn(&str) -> Option<String>,
    source: &dyn Source,
) -> Result<(), LoadError> {
    let path = Path::new(&file.path);
    if source.kind(path).is_none() {
        return match file.required {
            true => Err(LoadError::Project(format!("env file {} not found", file.path))),
            false => Ok(()),
        };
    }
    let text = text(path, source)?;
    let read = match file.format.as_str() {
        "" | ".env" => dotenv::parse(&text, variables, lookup),
        "raw" => dotenv::parse_raw(&text, variables, lookup),
        other => return Err(LoadError::Project(format!("unsupported env_file format {other:?}"))),
    };
    read.map_err(|error| LoadError::Project(format!("failed to read {}: {error}", file.path)))
}

/// Reads the labels of each service's files. What the service itself says wins.
pub(crate) fn labels(project: &mut Project, source: &dyn Source, discard: bool) -> Result<(), LoadError> {
    for service in project.services.values_mut() {
        let mut labels = Mapping::new();
        for file in &service.label_file {
            let path = Path::new(file);
            if source.kind(path).is_none() {
                return Err(LoadError::Project(format!("label file {file} not found")));
            }
            dotenv::parse(&text(path, source)?, &mut labels, &|_: &str| None)
                .map_err(|error| LoadError::Project(format!("failed to read {file}: {error}")))?;
        }
        labels.append(&mut service.labels);
        service.labels = labels;
        if discard {
            service.label_file.clear();
        }
    }
    Ok(())
}

fn text(path: &Path, source: &dyn Source) -> Result<String, LoadError> {
    let read = source.read(path, LARGEST_ENV_FILE);
    let bytes = read.map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    if bytes.len() > LARGEST_ENV_FILE {
        return Err(LoadError::Project(format!(
            "{}: larger than {} MiB",
            path.display(),
            LARGEST_ENV_FILE >> 20
        )));
    }
    String::from_utf8(bytes).map_err(|_| LoadError::Project(format!("{}: this is no UTF-8", path.display())))
}
