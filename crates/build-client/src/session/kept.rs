//! Caches and images in folders of this host's: which of them the engine is offered before a build, and what in them gets a name
//! after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minke_model::{Descriptor, Digest};

use super::content::Stores;
use crate::layout::{Layout, LayoutError, Name};
use crate::options::{BuildOptions, CacheEntry, Destination};

/// What a cache is called where nobody says how.
const LATEST: &str = "latest";
/// The engine's name for the folder of an image; it knows of one in a build.
const EXPORT: &str = "export";

/// Why the engine can't have a folder, or what it wrote there can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The folder.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A cache without its folder.
    #[error("{flag} type=local: {key} is required, a folder for the cache")]
    NoFolder {
        /// `cache-from`, `cache-to`.
        flag: &'static str,
        /// The field that names it.
        key: &'static str,
    },
    /// A cache by something that is no digest.
    #[error("cache-from type=local,src={src}: digest")]
    Digest {
        /// The folder.
        src: String,
        /// What is wrong.
        #[source]
        source: minke_model::DigestError,
    },
    /// More than one image for a folder.
    #[error(
        "one output with tar=false is all that BuildKit knows in a build; leave out {0:?}, or its tar=false"
    )]
    SecondLayout(PathBuf),
    /// The engine says nothing, or nonsense, about what it wrote.
    #[error("the engine doesn't say what it wrote to {0:?}; a newer one, or an output with tar=true, may")]
    Untold(PathBuf),
    /// The engine speaks of something that it wrote elsewhere.
    #[error(
        "the engine says that it wrote {digest} to {path:?}, where it isn't; if there is a second --cache-to, leave it out"
    )]
    Elsewhere {
        /// What it speaks of.
        digest: Digest,
        /// The folder.
        path: PathBuf,
    },
}

/// Something that gets a name when the build is done.
#[derive(Debug)]
pub(crate) enum Kept {
    /// A cache, under this tag.
    Cache(Layout, String),
    /// An image, under its own names.
    Image(Layout),
}

/// The folders of a build.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    pub(super) stores: Stores,
    pub(super) kept: Vec<Kept>,
    /// What the user has to know, and what is no reason not to build.
    pub(super) warnings: Vec<String>,
}

impl Layouts {
    /// Those that the options name. Of the caches to read, the engine is told the digests of what is in them now.
    ///
    /// # Errors
    /// For folders that can't be made, and for damaged ones.
    pub(super) fn open(options: &mut BuildOptions) -> Result<Self, KeepError> {
        let mut layouts = Self::default();
        let mut imports = Vec::new();
        for mut entry in std::mem::take(&mut options.cache_from) {
            if !is_local(&entry) || layouts.import(&mut entry)? {
                imports.push(entry);
            }
        }
        options.cache_from = imports;
        for entry in options.cache_to.iter_mut().filter(|entry| is_local(entry)) {
            let dest = folder(entry, "cache-to", "dest")?;
            let (layout, name) = (Layout::make(Path::new(dest))?, name(dest));
            layouts.stores.put(format!("local:{name}"), layout.clone(), true);
            layouts.kept.push(Kept::Cache(layout, tag(entry).to_owned()));
            entry.attributes.insert("dest".to_owned(), name);
        }
        let images = options.outputs.iter().filter_map(|output| match &output.destination {
            Destination::Layout(path) => Some(path),
            _ => None,
        });
        for (number, path) in images.enumerate() {
            if number > 0 {
                return Err(KeepError::SecondLayout(path.clone()));
            }
            let layout = Layout::make(path)?;
            layouts.stores.put(EXPORT.to_owned(), layout.clone(), true);
            layouts.kept.push(Kept::Image(layout));
        }
        Ok(layouts)
    }

    /// Offers a cache to read; `false`: there is none yet.
    fn import(&mut self, entry: &mut CacheEntry) -> Result<bool, KeepError> {
        let src = folder(entry, "cache-from", "src")?.to_owned();
        let layout = Layout::at(Path::new(&src));
        let wanted = entry.attributes.get("digest").filter(|digest| !digest.is_empty());
        let digest = match wanted.map(|text| text.parse()) {
            Some(Ok(digest)) => layout.path().is_dir().then_some(digest),
            Some(Err(source)) => return Err(KeepError::Digest { src, source }),
            None => layout.find(tag(entry))?,
        };
        let Some(digest) = digest else {
            self.warnings
                .push(format!("--cache-from type=local,src={src} is not used: there is no cache yet"));
            return Ok(false);
        };
        let name = name(&src);
        self.stores.put(format!("local:{name}"), layout, false);
        entry.attributes.extend([("digest".to_owned(), digest.to_string()), ("src".to_owned(), name)]);
        Ok(true)
    }
}

fn is_local(entry: &CacheEntry) -> bool {
    entry.kind == "local"
}

fn tag(entry: &CacheEntry) -> &str {
    entry.attributes.get("tag").map(String::as_str).filter(|tag| !tag.is_empty()).unwrap_or(LATEST)
}

fn folder<'a>(entry: &'a CacheEntry, flag: &'static str, key: &'static str) -> Result<&'a str, KeepError> {
    let folder = entry.attributes.get(key).map(String::as_str).filter(|folder| !folder.is_empty());
    folder.ok_or(KeepError::NoFolder { flag, key })
}

/// A folder's name for the engine, which says it in a header, where only printable ASCII can be.
fn name(folder: &str) -> String {
    let printable = |byte: u8| match byte {
        b'!'..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    folder.bytes().map(printable).collect()
}

impl Kept {
    /// Names what the engine says that it wrote.
    ///
    /// # Errors
    /// When it isn't there, and when the index can't be written.
    pub(crate) fn name(&self, response: &BTreeMap<String, String>) -> Result<(), KeepError> {
        match self {
            Self::Cache(layout, tag) => {
                // Without a word about it, there was nothing to be cached, or the failure was to be ignored.
                let Some(told) = response.get("cache.manifest") else { return Ok(()) };
                put(layout, told.as_bytes(), &[Name::tag(tag)])
            }
            Self::Image(layout) => {
                let told = response.get("containerimage.descriptor");
                let told = told.and_then(|told| BASE64_STANDARD.decode(told).ok()).unwrap_or_default();
                let names = response.get("image.name").map(String::as_str).unwrap_or_default();
                let names = names.split(',').filter(|name| !name.is_empty());
                let mut names: Vec<_> = names.map(Name::image).collect();
                if names.is_empty() {
                    names.push(Name::tag(LATEST));
                }
                put(layout, &told, &names)
            }
        }
    }
}

fn put(layout: &Layout, told: &[u8], names: &[Name]) -> Result<(), KeepError> {
    let path = || layout.path().to_owned();
    let what: Descriptor = serde_json::from_slice(told).map_err(|_| KeepError::Untold(path()))?;
    match layout.open(&what.digest)? {
        Some((_, length)) if length == what.size => Ok(layout.name(&what, names)?),
        _ => Err(KeepError::Elsewhere { digest: what.digest, path: path() }),
    }
}

#[cfg(test)]
mod tests {
    use minke_model::media_type::MANIFEST;

    use super::*;
    use crate::options::Output;

    fn local(key: &str, path: &Path, more: &[(&str, &str)]) -> CacheEntry {
        let path = path.to_str().unwrap();
        let all = [(key, path)].into_iter().chain(more.iter().copied());
        let attributes = all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        CacheEntry { kind: "local".into(), attributes }
    }

    /// A folder with something that is named `tag`.
    fn with_cache(path: &Path, tag: &str) -> Descriptor {
        let layout = Layout::make(path).unwrap();
        let digest = layout.keep(layout.begin().unwrap(), None).unwrap();
        let what = Descriptor::new(MANIFEST, digest, 0);
        let response = [("cache.manifest".to_owned(), serde_json::to_string(&what).unwrap())].into();
        Kept::Cache(layout, tag.to_owned()).name(&response).unwrap();
        what
    }

    #[test]
    fn a_cache_is_found_by_its_tag_and_its_digest_and_missed_with_a_warning() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("cache");
        let what = with_cache(&path, "mine");
        let digest = what.digest.to_string();
        let open = |entry: CacheEntry| {
            let mut options = BuildOptions { cache_from: vec![entry], ..BuildOptions::default() };
            Layouts::open(&mut options).map(|layouts| (options.cache_from, layouts.warnings))
        };
        for more in [("tag", "mine"), ("digest", &*digest)] {
            let (entries, warnings) = open(local("src", &path, &[more])).unwrap();
            assert_eq!((&entries[0].attributes["digest"], warnings.len()), (&digest, 0));
        }
        let (entries, warnings) = open(local("src", &root.path().join("none"), &[])).unwrap();
        assert!(entries.is_empty() && warnings[0].contains("there is no cache yet"), "{warnings:?}");
        assert!(!root.path().join("none").exists());
        let text = |entry| open(entry).unwrap_err().to_string();
        assert!(text(local("src", &path, &[])).contains("but mine; say tag="));
        assert!(text(local("src", &path, &[("digest", "x")])).contains("digest"));
        assert!(text(local("source", &path, &[])).contains("src is required"));
    }

    #[test]
    fn a_folders_name_can_be_said_in_a_header() {
        assert_eq!(name("/a b/ä%"), "/a%20b/%C3%A4%25");
    }

    #[test]
    fn what_the_engine_wrote_is_named_and_what_it_did_not_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let what = with_cache(root.path(), "cache");
        let image = Kept::Image(Layout::at(root.path()));
        let response = |what: &Descriptor| {
            let told = BASE64_STANDARD.encode(serde_json::to_vec(what).unwrap());
            let names = "docker.io/library/a:1,docker.io/library/b:2".to_owned();
            BTreeMap::from([("containerimage.descriptor".into(), told), ("image.name".into(), names)])
        };
        image.name(&response(&what)).unwrap();
        let layout = Layout::at(root.path());
        for name in ["docker.io/library/b:2", "1", "cache"] {
            assert_eq!(layout.find(name).unwrap(), Some(what.digest), "{name}");
        }
        let other = Descriptor::new(MANIFEST, Digest::from_bytes([7; 32]), 1);
        assert!(matches!(image.name(&response(&other)), Err(KeepError::Elsewhere { .. })));
        assert!(matches!(image.name(&BTreeMap::new()), Err(KeepError::Untold(_))));
    }

    #[test]
    fn an_engine_has_one_folder_for_an_image() {
        let root = tempfile::tempdir().unwrap();
        let output = |name| Output {
            kind: "oci".into(),
            attributes: [].into(),
            destination: Destination::Layout(root.path().join(name)),
        };
        let mut options = BuildOptions { outputs: vec![output("a"), output("b")], ..BuildOptions::default() };
        assert!(
            matches!(Layouts::open(&mut options), Err(KeepError::SecondLayout(path)) if path.ends_with("b"))
        );
    }
}
