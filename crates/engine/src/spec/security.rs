//! `--security-opt`: what it may say and what this engine does about it.

use crate::Error;

/// What a container's security options amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    /// The system call filter.
    pub(crate) seccomp: SeccompChoice,
    /// The process can't gain privileges by execve.
    pub(crate) no_new_privileges: bool,
    /// `systempaths=unconfined`: no masked and no read-only paths.
    pub(crate) system_paths_unconfined: bool,
    /// The container may make and change cgroups below its own.
    pub(crate) writable_cgroups: bool,
}

/// Which system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SeccompChoice {
    /// The engine's own.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// This one, JSON in Docker's profile format.
    Profile(String),
}

/// Reads the options of `HostConfig.SecurityOpt`.
///
/// # Errors
/// `InvalidParameter` for an unknown option, for an AppArmor profile, and for an SELinux label where the kernel has SELinux: this
/// engine can't apply them. Where it hasn't, labels mean nothing, as with Docker.
pub(crate) fn parse(options: &[String]) -> Result<Security, Error> {
    parse_for(options, std::path::Path::new("/sys/fs/selinux/enforce").exists())
}

/// Whether it is a part of an SELinux label: `type:svirt_t`.
fn is_label(text: &str) -> bool {
    let kind = text.split_once(':').map(|(kind, _)| kind);
    kind.is_some_and(|kind| ["user", "role", "type", "level", "filetype"].contains(&kind))
}

fn parse_for(options: &[String], has_selinux: bool) -> Result<Security, Error> {
    let mut security = Security::default();
    for option in options {
        // Docker accepts ':' for '=' as its first releases had it.
        let parts = option.split_once('=').or_else(|| option.split_once(':'));
        let (has_value, (key, value)) = (parts.is_some(), parts.unwrap_or((option, "")));
        match (key, value) {
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("seccomp", "unconfined") => security.seccomp = SeccompChoice::Unconfined,
            ("seccomp", "builtin") => security.seccomp = SeccompChoice::Default,
            ("seccomp", json) => security.seccomp = SeccompChoice::Profile(json.to_owned()),
            ("apparmor", "unconfined") | ("label", "disable") => {}
            ("systempaths", "unconfined") => security.system_paths_unconfined = true,
            ("writable-cgroups", "" | "true") => security.writable_cgroups = true,
            ("writable-cgroups", "false") => security.writable_cgroups = false,
            ("apparmor", profile) => {
                return Err(Error::invalid(format!(
                    "security option apparmor={profile}: this engine does not load AppArmor profiles; only apparmor=unconfined"
                )));
            }
            ("label", label) if !has_selinux && is_label(label) => {}
            ("label", label) => {
                return Err(Error::invalid(format!(
                    "security option label={label}: this engine does not set SELinux labels; only label=disable"
                )));
            }
            _ => {
                return Err(Error::invalid(format!(
                    "invalid --security-opt {}: {option:?}",
                    if has_value { 2 } else { 1 }
                )));
            }
        }
    }
    Ok(security)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_one(option: &str) -> Result<Security, Error> {
        parse(&[option.to_owned()])
    }

    #[test]
    fn dockers_spellings_are_understood() {
        assert!(parse_one("no-new-privileges").unwrap().no_new_privileges);
        assert!(parse_one("no-new-privileges:true").unwrap().no_new_privileges);
        assert!(!parse_one("no-new-privileges=false").unwrap().no_new_privileges);
        assert_eq!(parse_one("seccomp=unconfined").unwrap().seccomp, SeccompChoice::Unconfined);
        assert_eq!(parse_one("seccomp:unconfined").unwrap().seccomp, SeccompChoice::Unconfined);
        assert_eq!(parse_one("seccomp={}").unwrap().seccomp, SeccompChoice::Profile("{}".into()));
        assert_eq!(parse_one("apparmor=unconfined").unwrap(), Security::default());
        assert_eq!(parse_one("label=disable").unwrap(), Security::default());
        assert!(parse_one("systempaths=unconfined").unwrap().system_paths_unconfined);
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        for option in ["apparmor=docker-default", "label=type:svirt_t", "magic", "no-new-privileges=maybe"] {
            assert!(parse_for(&[option.to_owned()], true).is_err(), "{option}");
        }
        for option in ["label=type:svirt_t", "label:level:s0:c100,c200", "label=user:x"] {
            assert_eq!(parse_for(&[option.to_owned()], false).unwrap(), Security::default(), "{option}");
        }
        assert!(parse_for(&["label=other:x".to_owned()], false).is_err());
    }
}
