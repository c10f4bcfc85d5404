//! `--rootless` and the state root of a caller who isn't the host's root, by runc's rules.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::bail;
use minke_kernel::identity;
use minke_oci_runtime::container;

/// Where the host's root keeps state unless `--root` says otherwise; it belongs on a tmpfs.
const HOST_ROOT: &str = "/run/minke-oci";

/// The directory's name in `$XDG_RUNTIME_DIR`.
const NAME: &str = "minke-oci";

/// Only its owner may enter; the sticky bit keeps it from being tidied away (XDG base directory specification).
const MODE: u32 = 0o1700;

/// What `--rootless` was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rootless {
    #[default]
    Auto,
    Given(bool),
}

impl Rootless {
    pub(super) fn parse(text: &OsStr) -> anyhow::Result<Self> {
        match text.to_str() {
            Some("auto" | "") => Ok(Self::Auto),
            Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(Self::Given(true)),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(Self::Given(false)),
            _ => bail!("--rootless: {text:?} is neither true, false nor auto"),
        }
    }

    /// Whether cgroups that the caller may not make are done without.
    pub(super) fn applies(self) -> bool {
        match self {
            Self::Auto => container::is_rootless(),
            Self::Given(given) => given,
        }
    }
}

/// The state root where `--root` says nothing. In `$XDG_RUNTIME_DIR` it is made at once, as runc does; where that fails,
/// the command that needs it says so.
pub(super) fn state_root() -> PathBuf {
    let Some(runtime_dir) = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty() && honours_xdg())
    else {
        return HOST_ROOT.into();
    };
    let root = Path::new(&runtime_dir).join(NAME);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&root);
    let _unusable = made.and_then(|()| make_sticky(&root));
    root
}

/// The host's root has its own place, also where `su` left it somebody's variable.
fn honours_xdg() -> bool {
    if identity::effective_user() != 0 {
        return true;
    }
    identity::is_in_user_namespace() && env::var_os("USER").is_none_or(|user| user != "root")
}

fn make_sticky(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o7777 == MODE {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(MODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_takes_what_runc_takes() {
        assert_eq!(Rootless::parse("auto".as_ref()).unwrap(), Rootless::Auto);
        assert_eq!(Rootless::parse("true".as_ref()).unwrap(), Rootless::Given(true));
        assert_eq!(Rootless::parse("0".as_ref()).unwrap(), Rootless::Given(false));
        assert!(Rootless::parse("maybe".as_ref()).is_err());
        assert!(Rootless::Given(true).applies());
    }
}
