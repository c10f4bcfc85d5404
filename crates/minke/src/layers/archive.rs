//! Reads a saved image from a stream. Its files come in any order, so every one that is a tar is walked as if it were a layer,
//! and the image's own JSON, which may come last, tells which ones are. Kept are names and sizes: memory grows with the number
//! of files and not with their bytes.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

use minke_model::Platform;

use super::{
    Entry, EntryKind, Layer,
    image::{self, Texts},
};

/// The longest JSON file that is kept; manifests and configurations have some kilobytes.
const LONGEST_TEXT: u64 = 4 << 20;
/// All that is kept of JSON.
const ALL_TEXTS: usize = 64 << 20;
/// So many entries at most in all layers.
const MOST_ENTRIES: usize = 20_000_000;
/// Linux's longest path; a longer one can't be unpacked.
const LONGEST_PATH: usize = 4096;
/// Enough to tell a tar.
const BLOCK: usize = 512;

/// Why a saved image was not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The stream broke or is no tar.
    #[error("read the image's archive")]
    Read(#[source] io::Error),
    /// There is nothing in it that names layers.
    #[error("the archive has no image in it (neither manifest.json nor index.json lead to one)")]
    NoImage,
    /// A file that another one names is not there.
    #[error("the archive lacks {name}, which it says it has")]
    Missing { name: String },
    /// A file is no JSON, or not of the form that it should have.
    #[error("{name} in the archive is not understood")]
    Json {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    /// A layer can't be read.
    #[error("the layer {name} in the archive can't be read: {problem}")]
    Layer { name: String, problem: String },
    /// More than this program keeps in memory.
    #[error("the archive has too much in it: {0}")]
    TooMuch(&'static str),
}

/// A file of the archive that may be a layer.
enum Walked {
    Entries(Vec<Entry>),
    /// Why it is none; worth a word only if the image says that it is one.
    Unreadable(String),
}

/// Everything in the archive that may matter.
#[derive(Default)]
struct Found {
    texts: Texts,
    text_bytes: usize,
    tars: BTreeMap<String, Walked>,
    /// Files that are other files: old engines saved a layer that two images share as a link.
    links: BTreeMap<String, String>,
    entries: usize,
}

/// Reads an archive, to its very end, and returns the layers of its image, lowest first.
///
/// # Errors
/// When the stream breaks or has no image in it whose layers can be read.
pub(crate) fn read(stream: impl Read, wanted: &Platform) -> Result<Vec<Layer>, ArchiveError> {
    let mut archive = tar::Archive::new(stream);
    let mut found = Found::default();
    for entry in archive.entries().map_err(ArchiveError::Read)? {
        found.take(entry.map_err(ArchiveError::Read)?)?;
    }
    // Whoever sends must not be left with a broken pipe.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(ArchiveError::Read)?;
    found.layers(wanted)
}

impl Found {
    fn take(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
        let name = text_of(&clean(&entry.path_bytes()));
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            tar::EntryType::Symlink => {
                if let Some(target) = entry.link_name_bytes() {
                    self.links.insert(name.clone(), beside(&name, &text_of(&target)));
                }
                return Ok(());
            }
            tar::EntryType::Link => {
                if let Some(target) = entry.link_name_bytes() {
                    self.links.insert(name, text_of(&clean(&target)));
                }
                return Ok(());
            }
            _ => return Ok(()),
        }
        let size = entry.size();
        let mut start = Vec::with_capacity(BLOCK);
        entry.by_ref().take(BLOCK as u64).read_to_end(&mut start).map_err(ArchiveError::Read)?;
        let is_text = matches!(start.trim_ascii_start().first(), Some(b'{' | b'[')) && !is_tar(&start);
        let whole = io::Cursor::new(start).chain(entry);
        match is_text {
            true if size <= LONGEST_TEXT => self.keep_text(name, whole),
            true => Ok(()),
            false => {
                let walked = match walk(whole, MOST_ENTRIES - self.entries) {
                    Ok(entries) => Walked::Entries(entries),
                    Err(WalkError::TooMany) => return Err(ArchiveError::TooMuch("files in its layers")),
                    Err(WalkError::Io(error)) => Walked::Unreadable(error.to_string()),
                };
                if let Walked::Entries(entries) = &walked {
                    self.entries += entries.len();
                }
                self.tars.insert(name, walked);
                Ok(())
            }
        }
    }

    fn keep_text(&mut self, name: String, mut content: impl Read) -> Result<(), ArchiveError> {
        let mut text = Vec::new();
        content.read_to_end(&mut text).map_err(ArchiveError::Read)?;
        self.text_bytes += text.len();
        if self.text_bytes > ALL_TEXTS {
            return Err(ArchiveError::TooMuch("JSON"));
        }
        self.texts.insert(name, text);
        Ok(())
    }

    fn layers(mut self, wanted: &Platform) -> Result<Vec<Layer>, ArchiveError> {
        let files = image::layer_files(&self.texts, wanted)?;
        let mut layers = Vec::with_capacity(files.len());
        for (at, file) in files.iter().enumerate() {
            let name = self.links.get(&file.name).unwrap_or(&file.name).clone();
            // An image may have the same layer twice.
            let is_last = !files[at + 1..].iter().any(|later| later.name == file.name || later.name == name);
            let walked = match is_last && self.links.is_empty() {
                true => self.tars.remove(&name),
                false => self.tars.get(&name).map(Walked::copy),
            };
            let entries = match walked {
                Some(Walked::Entries(entries)) => entries,
                Some(Walked::Unreadable(problem)) => return Err(ArchiveError::Layer { name, problem }),
                None => return Err(ArchiveError::Missing { name }),
            };
            layers.push(Layer { step: file.step.clone(), entries });
        }
        Ok(layers)
    }
}

impl Walked {
    fn copy(&self) -> Self {
        match self {
            Self::Entries(entries) => Self::Entries(entries.clone()),
            Self::Unreadable(problem) => Self::Unreadable(problem.clone()),
        }
    }
}

/// Why a file is no layer.
enum WalkError {
    Io(io::Error),
    TooMany,
}

/// The entries of a layer, compressed or not.
fn walk(content: impl Read, most: usize) -> Result<Vec<Entry>, WalkError> {
    let mut archive = tar::Archive::new(decompressed(content).map_err(WalkError::Io)?);
    let mut entries = Vec::new();
    for entry in archive.entries().map_err(WalkError::Io)? {
        let entry = entry.map_err(WalkError::Io)?;
        if entries.len() >= most {
            return Err(WalkError::TooMany);
        }
        entries.extend(layer_entry(&entry));
    }
    // Only the end of a compressed stream tells whether it is whole.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(WalkError::Io)?;
    Ok(entries)
}

fn decompressed<'a>(content: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut content = BufReader::with_capacity(64 << 10, content);
    // Four bytes of the first read tell; what is shorter is no compressed tar.
    let start = content.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(content)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(content)?)
        }
        _ => Box::new(content),
    })
}

/// Whether a file begins as a tar does.
fn is_tar(start: &[u8]) -> bool {
    start.get(257..262).is_some_and(|magic| magic == b"ustar")
}

/// What an entry of a layer means (OCI image specification, "Image Layer Filesystem Changeset").
fn layer_entry(entry: &tar::Entry<'_, impl Read>) -> Option<Entry> {
    const OPAQUE: &[u8] = b".wh..wh..opq";
    const WHITEOUT: &[u8] = b".wh.";
    /// What aufs keeps for itself.
    const INTERNAL: &[u8] = b".wh..wh.";
    let path = clean(&entry.path_bytes());
    if path.len() > LONGEST_PATH || path.split(|byte| *byte == b'/').any(|name| name == b"..") {
        return None;
    }
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b""[..], path.as_slice()),
    };
    if name == OPAQUE {
        return Some(Entry { path: parent.to_owned(), kind: EntryKind::Opaque });
    }
    if name.starts_with(INTERNAL) {
        return None;
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        let separator: &[u8] = if parent.is_empty() { b"" } else { b"/" };
        return Some(Entry { path: [parent, separator, hidden].concat(), kind: EntryKind::Whiteout });
    }
    let kind = match entry.header().entry_type() {
        tar::EntryType::Directory => EntryKind::Directory,
        tar::EntryType::Link => EntryKind::Hardlink(clean(&entry.link_name_bytes()?)),
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            EntryKind::File(entry.size())
        }
        tar::EntryType::XGlobalHeader => return None,
        _ => EntryKind::Other,
    };
    Some(Entry { path, kind })
}

/// `./etc//passwd/` is `etc/passwd`.
fn clean(path: &[u8]) -> Vec<u8> {
    let names: Vec<_> =
        path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    names.join(&b'/')
}

/// Where a symbolic link in the archive leads.
fn beside(name: &str, target: &str) -> String {
    let mut names: Vec<_> = name.split('/').collect();
    names.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(names.pop()),
            part => names.push(part),
        }
    }
    names.join("/")
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
