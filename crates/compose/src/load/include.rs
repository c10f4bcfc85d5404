//! `include`: other applications, each with its own folder and variables, in this one.

use std::path::{Path as FilePath, PathBuf};

use super::{
    dotenv,
    error::{Fault, LoadError},
    file::{File, Session, Surroundings},
    source::{Kind, join},
};
use crate::{
    model::Mapping,
    tree::{Content, Map, Node, path::Path},
};

/// A `.env` file is smaller than this.
pub(crate) const LARGEST_ENV_FILE: usize = 4 << 20;

/// Puts the resources of what a document includes into it.
pub(crate) fn apply(
    session: &Session<'_>,
    file: &File,
    document: &mut Node,
    around: &Surroundings<'_>,
) -> Result<(), LoadError> {
    let Some(node) = document.as_map_mut().and_then(|map| map.remove("include")) else { return Ok(()) };
    let path = Path::of(&["include"]);
    let entries = match &node.content {
        Content::Null => return Ok(()),
        Content::Seq(entries) => entries,
        _ => {
            let message = format!("must be a list, not {}", node.kind());
            return Err(session.error(Fault::new(node.at, &path, message)));
        }
    };
    let includer = Includer { session, around, trail: trail(around, file) };
    for (index, entry) in entries.iter().enumerate() {
        let mut path = path.clone();
        path.item(index, |path| includer.include(entry, path, document))?;
    }
    Ok(())
}

/// The files that include each other down to this one.
fn trail(around: &Surroundings<'_>, file: &File) -> Vec<PathBuf> {
    let mut trail = around.included.clone();
    trail.push(file.path.clone());
    trail
}

struct Includer<'a> {
    session: &'a Session<'a>,
    around: &'a Surroundings<'a>,
    trail: Vec<PathBuf>,
}

impl Includer<'_> {
    fn include(&self, entry: &Node, path: &Path, document: &mut Node) -> Result<(), LoadError> {
        let files = self.texts(entry, "path", path)?;
        let Some(first) = files.first() else {
            return Err(self.session.error(Fault::new(entry.at, path, "missing property 'path'")));
        };
        let main = join(self.around.folder, first);
        self.check_cycle(&main, entry, path)?;
        let folder = match self.texts(entry, "project_directory", path)?.first() {
            Some(folder) => join(self.around.folder, folder),
            None => main.parent().unwrap_or(FilePath::new("/")).to_owned(),
        };
        let environment = self.environment(entry, &folder, path)?;
        let mut loaded = Vec::new();
        for name in &files {
            let file = File::at(join(self.around.folder, name));
            if self.session.source.kind(&file.path) != Some(Kind::File) {
                let message = format!("no file {}", file.path.display());
                return Err(self.session.error(Fault::new(entry.at, path, message)));
            }
            let documents = self.session.documents(&file)?;
            loaded.push((file, documents));
        }
        let around =
            Surroundings { folder: &folder, environment: &environment, included: self.trail.clone() };
        let imported = self.session.model(loaded, &around)?;
        self.import(imported, document, entry)
    }

    /// A text or a list of texts.
    fn texts(&self, entry: &Node, name: &str, path: &Path) -> Result<Vec<String>, LoadError> {
        let node = match entry.as_map() {
            Some(map) => map.get(name),
            None => Some(entry).filter(|_| name == "path"),
        };
        let Some(node) = node else { return Ok(Vec::new()) };
        let items = node.as_seq().unwrap_or(std::slice::from_ref(node));
        let text = |item: &Node| {
            item.as_str().map(str::to_owned).ok_or_else(|| {
                let message = format!("must be a string or a list of strings, not {}", item.kind());
                self.session.error(Fault::new(item.at, &path.join(name), message))
            })
        };
        items.iter().map(text).collect()
    }

    fn check_cycle(&self, main: &FilePath, entry: &Node, path: &Path) -> Result<(), LoadError> {
        let Some(first) = self.trail.iter().position(|file| file == main) else { return Ok(()) };
        let mut names: Vec<String> =
            self.trail[first..].iter().map(|file| file.display().to_string()).collect();
        names.push(main.display().to_string());
        let message = format!("include cycle detected: {}", names.join(" → "));
        Err(self.session.error(Fault::new(entry.at, path, message)))
    }

    /// What is set around it wins over the variables of its own files.
    fn environment(&self, entry: &Node, folder: &FilePath, path: &Path) -> Result<Mapping, LoadError> {
        let named = self.texts(entry, "env_file", path)?;
        let files: Vec<PathBuf> = if named.is_empty() {
            let usual = folder.join(".env");
            (self.session.source.kind(&usual) == Some(Kind::File)).then_some(usual).into_iter().collect()
        } else {
            named.iter().map(|name| join(self.around.folder, name)).collect()
        };
        let own = env_files(self.session, &files, self.around.environment)?;
        let mut environment = self.around.environment.clone();
        for (name, value) in own {
            environment.entry(name).or_insert(value);
        }
        Ok(environment)
    }

    fn import(&self, imported: Node, document: &mut Node, entry: &Node) -> Result<(), LoadError> {
        let Content::Map(mut imported) = imported.content else { return Ok(()) };
        let Some(target) = document.as_map_mut() else { return Ok(()) };
        for kind in ["services", "volumes", "networks", "secrets", "configs", "models"] {
            let Some(Content::Map(resources)) = imported.remove(kind).map(|node| node.content) else {
                continue;
            };
            let node = target.entry(kind.to_owned()).or_default();
            if node.is_null() {
                node.content = Content::Map(Map::new());
            }
            let Some(own) = node.as_map_mut() else { continue };
            for (name, resource) in resources {
                match own.get(&name) {
                    Some(conflict) if conflict.to_value() != resource.to_value() => {
                        let path = Path::of(&[kind, &name]);
                        let place = if conflict.place().line > 0 { conflict.place() } else { entry.at };
                        return Err(self.session.error(Fault::new(
                            place,
                            &path,
                            "conflicts with imported resource",
                        )));
                    }
                    Some(_) => {}
                    None => {
                        own.insert(name, resource);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The variables of several files, of which later ones win; they may use those of `outer`, which win over all.
pub(crate) fn env_files(
    session: &Session<'_>,
    files: &[PathBuf],
    outer: &Mapping,
) -> Result<Mapping, LoadError> {
    let mut variables = Mapping::new();
    for path in files {
        match session.source.kind(path) {
            None => return Err(LoadError::Project(format!("couldn't find env file: {}", path.display()))),
            Some(Kind::Folder) => {
                return Err(LoadError::Project(format!("{} is a directory", path.display())));
            }
            Some(Kind::File) => {}
        }
        let text = session.text(&File::at(path.clone()), LARGEST_ENV_FILE)?;
        dotenv::parse(&text, &mut variables, &|name| outer.get(name).cloned())
            .map_err(|error| LoadError::Project(format!("failed to read {}: {error}", path.display())))?;
    }
    Ok(variables)
}
