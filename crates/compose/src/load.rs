//! From files to a project.
//!
//! ```text
//!  locate   files, folder, variables, name         (-f, COMPOSE_FILE, .env, -p, …)
//!  file     for each file, on top of those before:
//!             parse → !reset → interpolate → extends → include → merge → unicity → validate → canonical
//!  settle   defaults, checks of attributes, absolute paths, what is implied
//!  project  types, profiles, consistency, env_file and label_file
//! ```
//!
//! All steps before the last work on trees in which every node knows its line. The order of steps is docker compose's,
//! since it decides what a file means: variables are filled in before files are merged, and types are checked after.

mod canonical;
mod consistency;
mod dotenv;
pub(crate) mod error;
mod extends;
mod file;
mod include;
mod interpolate;
mod locate;
mod merge;
mod paths;
mod ports;
mod reset;
mod resolve;
mod schema;
mod settle;
mod source;
mod template;
mod unicity;
mod validate;
mod volume;
pub(crate) mod words;

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf};

pub use error::{Invalid, LoadError};
pub use locate::normalize_name;
pub use source::{Disk, Kind, Source};
pub use template::{TemplateError, Variable};

use crate::{
    model::{
        Mapping, Project,
        attribute::{extensions, member},
    },
    tree::{Content, Node, path::Path},
    value::Value,
};

/// The names of a project's file, the best first.
pub const FILE_NAMES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The names of the file beside it that is merged on top.
pub const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Which project to load.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The files (`-f`), merged in this order; `-` is the standard input. None looks for the usual names.
    pub files: Vec<String>,
    /// The folder that relative paths begin at (`--project-directory`).
    pub project_directory: Option<PathBuf>,
    /// The project's name (`-p`).
    pub project_name: Option<String>,
    /// Active profiles (`--profile`); `*` is all.
    pub profiles: Vec<String>,
    /// Files of variables (`--env-file`) instead of `.env`.
    pub env_files: Vec<String>,
    /// The environment of the process.
    pub environment: Mapping,
    /// The current folder, absolute.
    pub working_dir: PathBuf,
    /// What is done, and what is left out.
    pub options: Options,
}

/// What the loader does; each `false` is a `--no-…` of `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the command line")]
pub struct Options {
    /// Variables are filled in.
    pub interpolate: bool,
    /// What is implied is added.
    pub normalize: bool,
    /// Relative paths become absolute.
    pub resolve_paths: bool,
    /// References and contradictions are checked.
    pub check_consistency: bool,
    /// Files of `env_file` are read. Leave it for [`Project::resolve_environment`] where only some services matter.
    pub resolve_environment: bool,
    /// The lists of files that were read are emptied.
    pub discard_env_files: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interpolate: true,
            normalize: true,
            resolve_paths: true,
            check_consistency: true,
            resolve_environment: true,
            discard_env_files: true,
        }
    }
}

/// A project and what its author should know.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// Warnings, each once.
    pub warnings: Vec<String>,
}

/// A merged file that is no project yet.
#[derive(Debug, Clone)]
pub struct Model {
    /// The file, canonical as far as its variables allow.
    pub value: Value,
    /// The name of the project.
    pub name: String,
    /// Warnings, each once.
    pub warnings: Vec<String>,
}

/// Loads a project.
///
/// # Errors
/// What is wrong with the files, with file, line and column where it is in one; the same again until they change.
pub fn project(request: &Request, source: &dyn Source) -> Result<Loaded, LoadError> {
    let session = session(request, source);
    let located = locate::locate(&session, request)?;
    let (mut tree, name, environment) = tree(&session, request, &located)?;
    settle::health_commands(&mut tree);
    let mut project = read(&tree).map_err(|fault| session.error(fault))?;
    project.name = name;
    project.working_dir.clone_from(&located.folder);
    project.compose_files = located.files.iter().map(|file| file.name.clone()).collect();
    project.environment = environment;
    project.enable_profiles(&located.profiles);
    if request.options.check_consistency {
        consistency::check(&project, &tree).map_err(|fault| session.error(fault))?;
    }
    if request.options.resolve_environment {
        resolve::environments(&mut project, source, request.options.discard_env_files)?;
    }
    resolve::labels(&mut project, source, request.options.discard_env_files)?;
    warn_of_ports(&project, &session);
    Ok(Loaded { project, warnings: session.warnings.into_inner() })
}

/// Merges the files of a project without making it one: what `config --no-interpolate` prints.
///
/// # Errors
/// As [`project`].
pub fn model(request: &Request, source: &dyn Source) -> Result<Model, LoadError> {
    let session = session(request, source);
    let located = locate::locate(&session, request)?;
    let (tree, name, _) = tree(&session, request, &located)?;
    let mut value = tree.to_value();
    without_secrets(&mut value);
    Ok(Model { value, name, warnings: session.warnings.into_inner() })
}

/// The variables that a project's files use, by name: what `config --variables` prints.
///
/// # Errors
/// As [`project`].
pub fn variables(request: &Request, source: &dyn Source) -> Result<BTreeMap<String, Variable>, LoadError> {
    let options = Options { interpolate: false, ..request.options };
    let request = Request { options, ..request.clone() };
    let mut found = BTreeMap::new();
    collect(&model(&request, source)?.value, &mut found);
    Ok(found)
}

fn collect(value: &Value, found: &mut BTreeMap<String, Variable>) {
    match value {
        Value::Str(text) => {
            found.extend(
                template::variables(text).into_iter().map(|variable| (variable.name.clone(), variable)),
            );
        }
        Value::Seq(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Map(members) => members.iter().for_each(|(_, value)| collect(value, found)),
        _ => {}
    }
}

fn session<'a>(request: &'a Request, source: &'a dyn Source) -> file::Session<'a> {
    file::Session {
        source,
        options: &request.options,
        home: request.environment.get("HOME").map(String::as_str).filter(|home| !home.is_empty()),
        files: RefCell::default(),
        warnings: RefCell::default(),
        read: RefCell::default(),
        here: &request.working_dir,
    }
}

/// The settled tree, the project's name, and what it was interpolated from.
fn tree(
    session: &file::Session<'_>,
    request: &Request,
    located: &locate::Located,
) -> Result<(Node, String, Mapping), LoadError> {
    let mut documents = Vec::new();
    for file in &located.files {
        documents.push((file.clone(), session.documents(file)?));
    }
    let name = locate::project_name(session, request, located, &documents)?;
    let mut environment = located.environment.clone();
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let around =
        file::Surroundings { folder: &located.folder, environment: &environment, included: Vec::new() };
    let mut tree = session.model(documents, &around)?;
    if tree.as_map().is_none_or(BTreeMap::is_empty) {
        return Err(LoadError::Project("empty compose file".to_owned()));
    }
    if let Some(map) = tree.as_map_mut() {
        map.insert("name".to_owned(), Node { content: Content::Str(name.clone()), ..Node::default() });
    }
    if request.options.normalize {
        settle::normalize(&mut tree, &name, &environment);
    }
    Ok((tree, name, environment))
}

/// The types of a settled tree.
fn read(tree: &Node) -> Result<Project, error::Fault> {
    let mut project = Project::default();
    let mut path = Path::default();
    let none = BTreeMap::new();
    let map = tree.as_map().unwrap_or(&none);
    member(map, &mut path, "services", &mut project.services)?;
    member(map, &mut path, "networks", &mut project.networks)?;
    member(map, &mut path, "volumes", &mut project.volumes)?;
    member(map, &mut path, "secrets", &mut project.secrets)?;
    member(map, &mut path, "configs", &mut project.configs)?;
    member(map, &mut path, "models", &mut project.models)?;
    project.extensions = extensions(map);
    for (name, service) in &mut project.services {
        service.name.clone_from(name);
    }
    for secret in project.secrets.values_mut() {
        secret.content = match secret.extensions.remove(settle::SECRET_CONTENT) {
            Some(Value::Str(content)) => Some(content),
            _ => None,
        };
    }
    let services = project.services.values_mut();
    for (deploy, scale) in services.filter_map(|service| Some((service.deploy.as_mut()?, service.scale?))) {
        deploy.replicas = deploy.replicas.or(Some(scale));
    }
    Ok(project)
}

fn without_secrets(value: &mut Value) {
    let Value::Map(members) = value else { return };
    members.retain(|(name, _)| name != settle::SECRET_CONTENT);
    members.iter_mut().for_each(|(_, value)| without_secrets(value));
}

/// Two replicas can't have one port of the host.
fn warn_of_ports(project: &Project, session: &file::Session<'_>) {
    for service in project.services.values().filter(|service| service.scale() > 1) {
        let fixed =
            service.ports.iter().find(|port| !port.published.is_empty() && !port.published.contains('-'));
        if let Some(port) = fixed {
            session.warn(format!(
                "services.{}: {} replicas can't all publish port {}: give a range, or leave out the published port",
                service.name,
                service.scale(),
                port.published
            ));
        }
    }
}

impl Project {
    /// Reads the files of `env_file` of the active services, where [`Options::resolve_environment`] left that.
    ///
    /// # Errors
    /// A file that is required and isn't there, or what is wrong in one.
    pub fn resolve_environment(&mut self, source: &dyn Source, discard: bool) -> Result<(), LoadError> {
        resolve::environments(self, source, discard)
    }
}
