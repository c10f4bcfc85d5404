//! `extends`: a service that is another one and more.

use std::path::Path as FilePath;

use super::{
    error::{Fault, LoadError, did_you_mean},
    file::{File, Session, Surroundings},
    merge, reset,
    source::{Kind, join},
};
use crate::tree::{Content, Map, Node, path::Path};

/// Puts what each service extends below it.
pub(crate) fn apply(
    session: &Session<'_>,
    file: &File,
    document: &mut Node,
    resets: &[Path],
    around: &Surroundings<'_>,
) -> Result<(), LoadError> {
    let Some(node) = document.get_mut("services") else { return Ok(()) };
    let Content::Map(services) = &mut node.content else {
        if node.is_null() {
            return Ok(());
        }
        let message = format!("must be a mapping, not {}", node.kind());
        return Err(session.error(Fault::new(node.at, &Path::of(&["services"]), message)));
    };
    let extender = Extender { session, around };
    let names: Vec<String> = services.keys().cloned().collect();
    for name in names {
        extender.extend(&name, services, &Place { file: &file.name, folder: around.folder }, &[], resets)?;
    }
    Ok(())
}

struct Extender<'a> {
    session: &'a Session<'a>,
    around: &'a Surroundings<'a>,
}

/// Where a service stands.
struct Place<'a> {
    file: &'a str,
    folder: &'a FilePath,
}

/// What `extends` names.
struct Reference {
    service: String,
    file: Option<String>,
    at: Node,
}

/// The services that led here, as messages name them.
type Trail = [String];

impl Extender<'_> {
    /// Replaces a service by its base with it on top, and its base before.
    fn extend(
        &self,
        name: &str,
        services: &mut Map,
        place: &Place<'_>,
        trail: &Trail,
        resets: &[Path],
    ) -> Result<(), LoadError> {
        let Some(reference) =
            services.get(name).map(|service| self.reference(name, service)).transpose()?.flatten()
        else {
            return Ok(());
        };
        let trail = self.longer(trail, name, place.file, &reference)?;
        let base = match &reference.file {
            Some(file) => self.base_elsewhere(name, &reference, file, place, &trail)?,
            None => self.base_here(name, &reference, services, place, &trail, resets)?,
        };
        let Some(mut service) = services.remove(name) else { return Ok(()) };
        if let Some(map) = service.as_map_mut() {
            map.remove("extends");
        }
        let service = match base {
            Some(base) => {
                let base = self.without_resets(base, name, resets);
                merge::extend(base, service, name).map_err(|fault| self.session.error(fault))?
            }
            None => service,
        };
        services.insert(name.to_owned(), service);
        Ok(())
    }

    fn reference(&self, name: &str, service: &Node) -> Result<Option<Reference>, LoadError> {
        let path = Path::of(&["services", name]);
        let refuse = |node: &Node, path: &Path, message: String| {
            Err(self.session.error(Fault::new(node.at, path, message)))
        };
        if service.as_map().is_none() {
            return match service.content {
                Content::Null => Ok(None),
                _ => refuse(service, &path, format!("must be a mapping, not {}", service.kind())),
            };
        }
        let Some(extends) = service.get("extends") else { return Ok(None) };
        if let Some(text) = extends.as_str() {
            return Ok(Some(Reference { service: text.to_owned(), file: None, at: extends.clone() }));
        }
        let path = path.join("extends");
        let Some(base) = extends.text_of("service") else {
            return refuse(extends, &path, "missing property 'service'".to_owned());
        };
        let file = match extends.get("file") {
            None => None,
            Some(node) => match node.as_str() {
                Some(file) => Some(file.to_owned()),
                None => {
                    return refuse(
                        node,
                        &path.join("file"),
                        format!("must be a string, not {}", node.kind()),
                    );
                }
            },
        };
        Ok(Some(Reference { service: base.to_owned(), file, at: extends.clone() }))
    }

    /// The trail with this service, which must not be on it.
    fn longer(
        &self,
        trail: &Trail,
        name: &str,
        file: &str,
        reference: &Reference,
    ) -> Result<Vec<String>, LoadError> {
        let step = format!("{name} in {file}");
        let mut longer = trail.to_vec();
        longer.push(step.clone());
        if let Some(first) = trail.iter().position(|earlier| *earlier == step) {
            let message = format!("circular reference: {}", longer[first..].join(" → "));
            let path = Path::of(&["services", name, "extends"]);
            return Err(self.session.error(Fault::new(reference.at.place(), &path, message)));
        }
        Ok(longer)
    }

    fn base_here(
        &self,
        name: &str,
        reference: &Reference,
        services: &mut Map,
        place: &Place<'_>,
        trail: &Trail,
        resets: &[Path],
    ) -> Result<Option<Node>, LoadError> {
        if !services.contains_key(&reference.service) {
            return Err(self.not_found(name, reference, services, place.file));
        }
        self.extend(&reference.service, services, place, trail, resets)?;
        Ok(services.get(&reference.service).filter(|base| !base.is_null()).cloned())
    }

    fn base_elsewhere(
        &self,
        name: &str,
        reference: &Reference,
        file: &str,
        place: &Place<'_>,
        trail: &Trail,
    ) -> Result<Option<Node>, LoadError> {
        let file = self.file(name, reference, file, place)?;
        let documents = self.session.documents(&file)?;
        let mut tree = Node { content: Content::Map(Map::new()), ..Node::default() };
        let mut resets = Vec::new();
        for mut document in documents {
            resets = self.session.prepare(&file, &mut document, self.around.environment)?;
            reset::apply(&mut tree, &resets);
            tree = merge::merge(tree, document).map_err(|fault| self.session.error(fault))?;
        }
        let mut tree = self.session.canonical(self.well_formed(tree, reference)?)?;
        let folder = file.path.parent().unwrap_or(FilePath::new("/"));
        self.session.resolve_paths(&mut tree, folder)?;
        let mut none = Map::new();
        let services = tree.get_mut("services").and_then(Node::as_map_mut).unwrap_or(&mut none);
        let elsewhere = Place { file: &file.name, folder };
        self.base_here(name, reference, services, &elsewhere, trail, &resets)
    }

    /// Only the service that is asked for must be right; all must be mappings.
    fn well_formed(&self, tree: Node, reference: &Reference) -> Result<Node, LoadError> {
        let mut only = tree.clone();
        if let Some(services) = only.get_mut("services").and_then(Node::as_map_mut) {
            services.retain(|name, _| *name == reference.service);
        }
        if let Some(map) = only.as_map_mut() {
            map.retain(|name, _| name == "services");
        }
        super::validate::check(&only).map_err(|fault| self.session.error(fault))?;
        Ok(tree)
    }

    fn file(
        &self,
        name: &str,
        reference: &Reference,
        file: &str,
        place: &Place<'_>,
    ) -> Result<File, LoadError> {
        let path = join(place.folder, file);
        if self.session.source.kind(&path) == Some(Kind::File) {
            return Ok(File::at(path));
        }
        let message = format!("cannot extend service {name:?} in {}: no file {}", place.file, path.display());
        let attribute = Path::of(&["services", name, "extends", "file"]);
        let at = reference.at.get("file").map_or(reference.at.at, |node| node.at);
        Err(self.session.error(Fault::new(at, &attribute, message)))
    }

    fn not_found(&self, name: &str, reference: &Reference, services: &Map, file: &str) -> LoadError {
        let base = &reference.service;
        let message = format!("cannot extend service {name:?} in {file}: service {base:?} not found");
        let path = Path::of(&["services", name, "extends"]);
        let hint = did_you_mean(base, services.keys().map(String::as_str).filter(|other| *other != name));
        self.session.error(Fault::new(reference.at.at, &path, message).hint(hint))
    }

    /// The base without what the tags in the extending service take away.
    fn without_resets(&self, base: Node, name: &str, resets: &[Path]) -> Node {
        let mut services = Map::new();
        services.insert(name.to_owned(), base);
        let mut tree = Map::new();
        tree.insert("services".to_owned(), Node { content: Content::Map(services), ..Node::default() });
        let mut tree = Node { content: Content::Map(tree), ..Node::default() };
        reset::apply(&mut tree, resets);
        let services = tree.get_mut("services").and_then(Node::as_map_mut);
        services.and_then(|services| services.remove(name)).unwrap_or_default()
    }
}
