//! What `docker save` writes, read: an image's configuration, and its layers laid on each other.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use minke_model::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};

/// Longer content is shown by its digest.
const SHOWN: usize = 1000;

/// An image.
pub(super) struct Saved {
    pub(super) config: Value,
    files: BTreeMap<PathBuf, Node>,
}

/// What is at a path.
#[derive(Clone)]
struct Node {
    /// All but the time and other names.
    description: String,
    time: u64,
    /// The layer and the first name there.
    inode: (usize, PathBuf),
}

impl Saved {
    pub(super) fn read(archive: &Path) -> Self {
        let members = members(archive);
        let json = |name: &str| serde_json::from_slice::<Value>(&members[Path::new(name)]).unwrap();
        let manifest = json("manifest.json");
        let layers = manifest[0]["Layers"].as_array().unwrap();
        let mut files = BTreeMap::new();
        for (number, name) in layers.iter().enumerate() {
            lay(&mut files, number, &members[Path::new(name.as_str().unwrap())]);
        }
        Self { config: json(manifest[0]["Config"].as_str().unwrap()), files }
    }

    /// A line for each path. Times of the build, which are later than this second, are equal. Directories have none: those of a context
    /// have that of their transfer in BuildKit 0.8, and a change of nothing else escapes dockerd's driver.
    pub(super) fn described(&self, began: u64) -> BTreeMap<PathBuf, String> {
        let mut names: HashMap<&(usize, PathBuf), Vec<&Path>> = HashMap::new();
        for (path, node) in &self.files {
            names.entry(&node.inode).or_default().push(path);
        }
        let line = |(path, node): (&PathBuf, &Node)| {
            let time = match node.description.starts_with("directory") {
                true => String::new(),
                false if node.time >= began => " now".to_owned(),
                false => format!(" {}", node.time),
            };
            let first = names[&node.inode][0];
            let same = if first == path { String::new() } else { format!(" = {}", first.display()) };
            (path.clone(), format!("{}{time}{same}", node.description))
        };
        self.files.iter().map(line).collect()
    }
}

/// The files in an archive; dockerd has links in the place of layers that are there twice.
fn members(archive: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let mut archive = Archive::new(File::open(archive).unwrap());
    let (mut members, mut links) = (HashMap::new(), Vec::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        match entry.link_name().unwrap() {
            Some(target) => links.push((path, target.strip_prefix("..").unwrap().to_owned())),
            None => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                members.insert(path, content);
            }
        }
    }
    for (path, target) in links {
        members.insert(path, members[&target].clone());
    }
    members
}

/// Lays a layer over those before: what it takes away first, for that is never its own.
fn lay(files: &mut BTreeMap<PathBuf, Node>, number: usize, layer: &[u8]) {
    let mut added = Vec::new();
    for entry in Archive::new(layer).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path: PathBuf =
            entry.path().unwrap().components().filter(|part| part.as_os_str() != ".").collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.strip_prefix(".wh.") {
            Some(".wh..opq") => files
                .retain(|old, _| old == path.parent().unwrap() || !old.starts_with(path.parent().unwrap())),
            Some(gone) => files.retain(|old, _| !old.starts_with(path.with_file_name(gone))),
            None if path.as_os_str().is_empty() => {}
            None => added.push((path.clone(), node(&mut entry, number, path))),
        }
    }
    for (path, (is_directory, node)) in added {
        if !is_directory {
            files.retain(|old, _| !old.starts_with(&path));
        }
        // Another name of what came before in the same layer.
        let node = match node {
            Ok(node) => node,
            Err(target) => files[&target].clone(),
        };
        files.insert(path, node);
    }
}

/// Whether it is a directory; what it is, or of what it is another name.
fn node(
    entry: &mut tar::Entry<'_, impl Read>,
    number: usize,
    path: PathBuf,
) -> (bool, Result<Node, PathBuf>) {
    let header = entry.header().clone();
    let kind = header.entry_type();
    let target = entry.link_name().unwrap().map(|target| target.into_owned());
    if kind == EntryType::Link {
        let target = target.unwrap();
        return (false, Err(target.strip_prefix("/").unwrap_or(&target).to_owned()));
    }
    // Others than this dockerd 20.10 doesn't keep in layers.
    let fields = entry.pax_extensions().unwrap().into_iter().flatten().map(Result::unwrap);
    let capability = fields.filter(|field| field.key() == Ok("SCHILY.xattr.security.capability"));
    let capability: String = capability.map(|field| format!(" {:?}", field.value_bytes())).collect();
    let mut content = Vec::new();
    entry.read_to_end(&mut content).unwrap();
    let content = match std::str::from_utf8(&content) {
        Ok(text) if text.len() < SHOWN => format!("{text:?}"),
        _ => Digest::from_bytes(Sha256::digest(&content).into()).to_string(),
    };
    let what = match kind {
        EntryType::Directory => "directory".to_owned(),
        EntryType::Symlink => format!("-> {}", target.unwrap_or_default().display()),
        EntryType::Char | EntryType::Block => {
            format!("{kind:?} {:?}:{:?}", header.device_major().unwrap(), header.device_minor().unwrap())
        }
        EntryType::Regular => format!("file {content}"),
        other => format!("{other:?}"),
    };
    let (mode, uid, gid) = (header.mode().unwrap() & 0o7777, header.uid().unwrap(), header.gid().unwrap());
    let description = format!("{what}{capability} {mode:04o} {uid}:{gid}");
    (
        kind == EntryType::Directory,
        Ok(Node { description, time: header.mtime().unwrap(), inode: (number, path) }),
    )
}

/// The values of a document by their places.
pub(super) fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let below = |name: String, value: &Value, found: &mut BTreeMap<String, String>| {
        let inner = leaves(value).into_iter();
        found.extend(inner.map(|(place, text)| {
            (format!("{name}{}{place}", if place.is_empty() { "" } else { "." }), text)
        }));
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| below(name.clone(), value, &mut found));
        }
        Value::Array(values) if !values.is_empty() => {
            values
                .iter()
                .enumerate()
                .for_each(|(number, value)| below(number.to_string(), value, &mut found));
        }
        value => drop(found.insert(String::new(), value.to_string())),
    }
    found
}
