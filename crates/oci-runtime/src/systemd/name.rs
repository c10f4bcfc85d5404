//! What `linux.cgroupsPath` names with the systemd driver: `slice:prefix:name`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A container's unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// `docker-0123.scope`
    pub(crate) name: String,
    /// `system.slice`
    pub(crate) slice: String,
    /// Whether it is the user's own manager that has it.
    pub(crate) user: bool,
}

impl Unit {
    /// The unit of a container `id`; the error is what is wrong with `cgroups_path`.
    pub(super) fn parse(cgroups_path: &str, id: &str, user: bool) -> Result<Self, String> {
        let default = if user { "user.slice" } else { "system.slice" };
        let (slice, prefix, name) = match cgroups_path.split(':').collect::<Vec<_>>()[..] {
            [""] => ("", "minke", id),
            [slice, prefix, name] => (slice, prefix, name),
            _ => {
                return Err(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {cgroups_path:?} instead"
                ));
            }
        };
        if name.is_empty() || name.ends_with(".slice") || format!("{prefix}{name}").contains('/') {
            return Err(format!("{cgroups_path:?} names no scope"));
        }
        let slice = if slice.is_empty() { default } else { slice };
        if expand(slice).is_none() {
            return Err(format!("invalid slice name {slice:?}"));
        }
        Ok(Self { name: format!("{prefix}-{name}.scope"), slice: slice.to_owned(), user })
    }

    /// Where its cgroup is below that of the manager.
    pub(super) fn path(&self) -> PathBuf {
        expand(&self.slice).unwrap_or_default().join(&self.name)
    }
}

/// `a-b.slice` is in `a.slice`.
fn expand(slice: &str) -> Option<PathBuf> {
    let stem = slice.strip_suffix(".slice").filter(|stem| !stem.is_empty() && !stem.contains('/'))?;
    if stem == "-" {
        return Some(PathBuf::new());
    }
    if stem.split('-').any(str::is_empty) {
        return None;
    }
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    Some(ends.map(|end| format!("{}.slice", &stem[..end])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn slices_lie_in_the_slices_that_their_names_begin_with() {
        assert_eq!(expand("-.slice").unwrap(), Path::new(""));
        assert_eq!(expand("a-b-c.slice").unwrap(), Path::new("a.slice/a-b.slice/a-b-c.slice"));
        for bad in ["", ".slice", "a", "a--b.slice", "-a.slice", "a/b.slice", "../x.slice"] {
            assert_eq!(expand(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn units_are_named_as_runc_does() {
        let unit = Unit::parse("machine.slice:libpod:0123", "id", false).unwrap();
        assert_eq!(unit.path(), Path::new("machine.slice/libpod-0123.scope"));
        let unit = Unit::parse("", "web", true).unwrap();
        assert_eq!((unit.slice.as_str(), unit.name.as_str()), ("user.slice", "minke-web.scope"));
        assert_eq!(Unit::parse(":docker:1", "id", false).unwrap().slice, "system.slice");
        for bad in
            ["/docker/1", "a:b", "a:b:c:d", "x:y:z", "a.slice:x:", "a.slice:x:../y", "a.slice:x:b.slice"]
        {
            assert!(Unit::parse(bad, "id", false).is_err(), "{bad}");
        }
    }
}
