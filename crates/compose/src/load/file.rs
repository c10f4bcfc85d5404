//! One file on top of those before it: read, interpolated, extended, with what it includes, merged, checked, canonical.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use super::{
    Options,
    canonical::Stage,
    error::{Fault, Files, LoadError},
    extends, include, interpolate, merge, paths, reset, settle,
    source::Source,
    template::Lookup,
    unicity, validate,
};
use crate::{
    model::Mapping,
    tree::{Content, Map, Node, parse},
};

/// What the loading of one project shares.
pub(crate) struct Session<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) options: &'a Options,
    pub(crate) home: Option<&'a str>,
    pub(crate) files: RefCell<Files>,
    pub(crate) warnings: RefCell<Vec<String>>,
    /// How many files were read so far.
    pub(crate) read: RefCell<usize>,
    /// The current folder: errors name files from there.
    pub(crate) here: &'a Path,
}

/// More files than any project is made of.
const MOST_FILES: usize = 1_000;

/// A file to load, by the name that errors call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// `-` for the standard input.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl File {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { name: path.display().to_string(), path }
    }

    fn is_stdin(&self) -> bool {
        self.name == "-"
    }
}

/// Where a file's relative paths begin, what it is interpolated from, and what it was included by.
#[derive(Clone)]
pub(crate) struct Surroundings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a Mapping,
    pub(crate) included: Vec<PathBuf>,
}

impl Session<'_> {
    /// Tells something once.
    pub(crate) fn warn(&self, warning: String) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub(crate) fn error(&self, fault: Fault) -> LoadError {
        self.files.borrow().error(fault)
    }

    /// The text of a file of this project.
    pub(crate) fn text(&self, file: &File, most: usize) -> Result<String, LoadError> {
        *self.read.borrow_mut() += 1;
        if *self.read.borrow() > MOST_FILES {
            return Err(LoadError::Project(format!("more than {MOST_FILES} files in one project")));
        }
        let bytes =
            if file.is_stdin() { self.source.stdin(most) } else { self.source.read(&file.path, most) };
        let bytes = bytes.map_err(|source| LoadError::Read { path: PathBuf::from(&file.name), source })?;
        if bytes.len() > most {
            return Err(LoadError::Project(format!("{}: larger than {} MiB", file.name, most >> 20)));
        }
        String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            LoadError::Project(format!("{}:{line}: this is no UTF-8", file.name))
        })
    }

    /// The documents of a file.
    pub(crate) fn documents(&self, file: &File) -> Result<Vec<Node>, LoadError> {
        let text = self.text(file, parse::LARGEST_FILE)?;
        let shown = file.path.strip_prefix(self.here).unwrap_or(&file.path).display().to_string();
        let number = self.files.borrow_mut().add(&shown, &text);
        parse::documents(&text, number).map_err(|error| self.error(error.into()))
    }

    /// A file's documents on top of the tree so far.
    pub(crate) fn add_file(
        &self,
        tree: Node,
        file: &File,
        documents: Vec<Node>,
        around: &Surroundings<'_>,
    ) -> Result<Node, LoadError> {
        documents.into_iter().try_fold(tree, |tree, document| self.add_document(tree, file, document, around))
    }

    fn add_document(
        &self,
        mut tree: Node,
        file: &File,
        mut document: Node,
        around: &Surroundings<'_>,
    ) -> Result<Node, LoadError> {
        let resets = self.prepare(file, &mut document, around.environment)?;
        extends::apply(self, file, &mut document, &resets, around)?;
        reset::apply(&mut tree, &resets);
        include::apply(self, file, &mut document, around)?;
        let mut tree = merge::merge(tree, document).map_err(|fault| self.error(fault))?;
        unicity::enforce(&mut tree).map_err(|fault| self.error(fault))?;
        validate::check(&tree).map_err(|fault| self.error(fault))?;
        if tree.as_map_mut().is_some_and(|map| map.remove("version").is_some()) {
            let warning = "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion";
            self.warn(format!("{}: {warning}", file.name));
        }
        self.canonical(tree)
    }

    /// Takes the tags out of a document and fills in its variables; gives what the tags name.
    pub(crate) fn prepare(
        &self,
        file: &File,
        document: &mut Node,
        environment: &Mapping,
    ) -> Result<Vec<crate::tree::path::Path>, LoadError> {
        if document.as_map().is_none() {
            let error = "top-level object must be a mapping";
            return Err(match document.content {
                Content::Null => LoadError::Project(format!("{}: {error}", file.name)),
                _ => self.error(Fault::new(document.at, &crate::tree::path::Path::default(), error)),
            });
        }
        let resets = reset::collect(document);
        if self.options.interpolate {
            let variables = Variables { session: self, environment };
            interpolate::interpolate(document, &variables, &|warning| self.warn(warning))
                .map_err(|fault| self.error(fault))?;
        }
        Ok(resets)
    }

    /// The long forms of a merged tree, without what is said twice.
    pub(crate) fn canonical(&self, tree: Node) -> Result<Node, LoadError> {
        let stage = Stage { is_lenient: !self.options.interpolate, warn: &|warning| self.warn(warning) };
        let mut tree = stage.canonical(tree).map_err(|fault| self.error(fault))?;
        without_empty_dns(&mut tree);
        unicity::enforce(&mut tree).map_err(|fault| self.error(fault))?;
        Ok(tree)
    }

    /// Several files on top of each other, with defaults and absolute paths.
    pub(crate) fn model(
        &self,
        files: Vec<(File, Vec<Node>)>,
        around: &Surroundings<'_>,
    ) -> Result<Node, LoadError> {
        let empty = Node { content: Content::Map(Map::new()), ..Node::default() };
        let mut tree = files
            .into_iter()
            .try_fold(empty, |tree, (file, documents)| self.add_file(tree, &file, documents, around))?;
        settle::defaults(&mut tree).map_err(|fault| self.error(fault))?;
        if self.options.resolve_paths {
            self.resolve_paths(&mut tree, around.folder)?;
        }
        settle::environment(&mut tree, around.environment);
        Ok(tree)
    }

    pub(crate) fn resolve_paths(&self, tree: &mut Node, folder: &Path) -> Result<(), LoadError> {
        let resolver = paths::Resolver { folder, home: self.home, source: self.source };
        resolver.resolve(tree).map_err(|fault| self.error(fault))
    }
}

/// Name servers that variables left empty are none.
fn without_empty_dns(tree: &mut Node) {
    for service in
        tree.get_mut("services").and_then(Node::as_map_mut).into_iter().flat_map(|map| map.values_mut())
    {
        if let Some(Content::Seq(items)) = service.get_mut("dns").map(|dns| &mut dns.content) {
            items.retain(|item| !(item.is_null() || item.as_str() == Some("")));
        }
    }
}

/// The variables of a project; one that is not set is told of.
struct Variables<'a> {
    session: &'a Session<'a>,
    environment: &'a Mapping,
}

impl Lookup for Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    fn missing(&self, name: &str) {
        self.session.warn(format!("The {name:?} variable is not set. Defaulting to a blank string."));
    }
}
