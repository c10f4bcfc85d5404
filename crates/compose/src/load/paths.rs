//! Relative paths, made absolute from the folder of the project or of the file they stand in.

use std::path::Path as FilePath;

use super::{
    error::Fault,
    source::{Source, join},
};
use crate::tree::{Content, Node, path::Path};

/// What kind of a path an attribute is.
#[derive(Clone, Copy)]
enum Kind {
    /// A folder, a URL, or a service's image.
    Context,
    /// A file or folder of this host.
    Local,
    /// The same, with its links followed.
    Resolved,
    /// A file that may be a Windows path for an engine elsewhere.
    Anywhere,
    /// An agent's socket, or files of keys with commas between them.
    Several,
    /// A mount of a service.
    Mount,
    /// A volume that may be a bind mount in disguise.
    Volume,
}

const RULES: [(&str, Kind); 11] = [
    ("services.*.build.context", Kind::Context),
    ("services.*.build.additional_contexts.*", Kind::Context),
    ("services.*.build.ssh.*", Kind::Several),
    ("services.*.env_file.*.path", Kind::Local),
    ("services.*.label_file.*", Kind::Local),
    ("services.*.extends.file", Kind::Local),
    ("services.*.develop.watch.*.path", Kind::Resolved),
    ("services.*.volumes.*", Kind::Mount),
    ("configs.*.file", Kind::Anywhere),
    ("secrets.*.file", Kind::Anywhere),
    ("volumes.*", Kind::Volume),
];

/// What paths are made absolute with.
pub(crate) struct Resolver<'a> {
    pub(crate) folder: &'a FilePath,
    pub(crate) home: Option<&'a str>,
    pub(crate) source: &'a dyn Source,
}

impl Resolver<'_> {
    /// Makes the paths of a canonical tree absolute.
    pub(crate) fn resolve(&self, tree: &mut Node) -> Result<(), Fault> {
        self.visit(tree, &mut Path::default())
    }

    fn visit(&self, node: &mut Node, path: &mut Path) -> Result<(), Fault> {
        if let Some((_, kind)) = RULES.iter().find(|(pattern, _)| path.matches(pattern)) {
            return self.change(*kind, node, path);
        }
        match &mut node.content {
            Content::Map(map) => {
                map.iter_mut().try_for_each(|(name, value)| path.within(name, |path| self.visit(value, path)))
            }
            Content::Seq(items) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(index, item)| path.item(index, |path| self.visit(item, path))),
            _ => Ok(()),
        }
    }

    fn change(&self, kind: Kind, node: &mut Node, path: &Path) -> Result<(), Fault> {
        match kind {
            Kind::Mount => return self.mount(node, path),
            Kind::Volume => {
                self.volume(node);
                return Ok(());
            }
            _ => {}
        }
        let Some(text) = node.as_str() else { return Ok(()) };
        let changed = match kind {
            Kind::Context if is_remote(text) => text.to_owned(),
            Kind::Anywhere => self.anywhere(text),
            Kind::Several => text.split(',').map(|path| self.anywhere(path)).collect::<Vec<_>>().join(","),
            Kind::Resolved => {
                let local = self.local(text);
                self.source.resolved(FilePath::new(&local)).to_string_lossy().into_owned()
            }
            _ => self.local(text),
        };
        node.content = Content::Str(changed);
        Ok(())
    }

    /// `~` is the home of the user.
    fn expand(&self, path: &str) -> String {
        match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => {
                join(FilePath::new(home), rest.trim_start_matches('/')).to_string_lossy().into_owned()
            }
            _ => path.to_owned(),
        }
    }

    /// An absolute path; one that is absolute already, or empty, stays as it is.
    pub(crate) fn local(&self, path: &str) -> String {
        let path = self.expand(path);
        if path.is_empty() || path.starts_with('/') {
            return path;
        }
        join(self.folder, &path).to_string_lossy().into_owned()
    }

    fn anywhere(&self, path: &str) -> String {
        let path = self.expand(path);
        if path.starts_with('/') || is_windows_absolute(&path) {
            return path;
        }
        join(self.folder, &path).to_string_lossy().into_owned()
    }

    fn mount(&self, node: &mut Node, path: &Path) -> Result<(), Fault> {
        if node.text_of("type") != Some("bind") {
            return Ok(());
        }
        let place = node.place();
        let Some(source) = node.get_mut("source") else {
            let message = "invalid mount config for type \"bind\": field Source must not be empty";
            return Err(Fault::new(place, path, message));
        };
        if let Some(text) = source.as_str() {
            source.content = Content::Str(self.anywhere(text));
        }
        Ok(())
    }

    fn volume(&self, node: &mut Node) {
        let is_local = node.text_of("driver") == Some("local");
        let Some(options) = node.get_mut("driver_opts").filter(|_| is_local) else { return };
        if options.text_of("o") == Some("bind")
            && let Some(device) = options.get_mut("device")
            && let Some(text) = device.as_str()
        {
            device.content = Content::Str(self.anywhere(text));
        }
    }
}

fn is_remote(context: &str) -> bool {
    let prefixes = ["service:", "https://", "http://", "git://", "ssh://", "github.com/", "git@"];
    context.contains("://") || prefixes.iter().any(|prefix| context.starts_with(prefix))
}

/// `C:\…`, `C:/…` or `\\…`.
fn is_windows_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    let drive = matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    drive || path.starts_with(r"\\")
}
