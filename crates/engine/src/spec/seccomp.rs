//! A container's system call filter: the engine's default, or a profile that the user gave, in Docker's
//! profile format (moby, "profiles/seccomp"): rules with conditions on capabilities, architecture and
//! kernel version.

mod default;

use minke_model::runtime_spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall};
use serde::Deserialize;

use crate::Error;

/// What decides which rules of a profile hold for one container on this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions<'a> {
    /// The container's bounding set.
    pub(crate) capabilities: &'a [String],
    /// Go's name of this machine's architecture (`amd64`, `arm64`).
    pub(crate) architecture: &'a str,
    /// The kernel's major and minor version.
    pub(crate) kernel: (u32, u32),
}

/// A profile in Docker's format.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: SeccompAction,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Architecture>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The form before Docker 17: one name.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: SeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<SeccompArg>>,
    includes: Option<Condition>,
    excludes: Option<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// The engine's own filter.
pub(crate) fn default_filter(conditions: Conditions<'_>) -> Seccomp {
    let holds = |name: &str| conditions.capabilities.iter().any(|held| held == name);
    let mut names = Vec::new();
    for theme in
        [default::FILES, default::IO, default::IPC, default::MEMORY, default::TIME, default::PROCESSES]
    {
        names.extend(theme.split_whitespace());
    }
    for (capability, list) in default::BY_CAPABILITY {
        if holds(capability) {
            names.extend(list.split_whitespace());
        }
    }
    for (architectures, list) in default::BY_ARCHITECTURE {
        if architectures.contains(&conditions.architecture) {
            names.extend(list.split_whitespace());
        }
    }
    names.sort_unstable();
    names.dedup();
    let mut syscalls = vec![allow(&names, Vec::new())];
    syscalls.push(allow(&["socket"], vec![arg(SeccompOperator::Less, default::SOCKET_FAMILIES_BELOW)]));
    let equal = |name: &'static str, value: &u64| allow(&[name], vec![arg(SeccompOperator::Equal, *value)]);
    syscalls.extend(default::SOCKET_FAMILIES.iter().map(|family| equal("socket", family)));
    syscalls.extend(default::PERSONALITIES.iter().map(|domain| equal("personality", domain)));
    if !holds("CAP_SYS_ADMIN") {
        syscalls.push(allow(&["clone"], vec![arg(SeccompOperator::MaskedEqual, default::CLONE_NAMESPACES)]));
        // clone3's flags are behind a pointer that a filter can't read; ENOSYS makes C libraries fall back
        // to clone.
        syscalls.push(SeccompSyscall {
            names: vec!["clone3".to_owned()],
            action: SeccompAction::Errno,
            errno_ret: Some(38),
            args: Vec::new(),
        });
    }
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(1),
        architectures: native_architectures(conditions.architecture),
        flags: Vec::new(),
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

/// The filter of a profile that the user gave.
///
/// # Errors
/// `InvalidParameter` for malformed JSON and for a profile that names architectures in both ways.
pub(crate) fn profile_filter(json: &str, conditions: Conditions<'_>) -> Result<Seccomp, Error> {
    let profile: Profile = serde_json::from_str(json)
        .map_err(|error| Error::invalid(format!("decoding seccomp profile failed: {error}")))?;
    let listed = profile.architectures.unwrap_or_default();
    let mapped = profile.arch_map.unwrap_or_default();
    if !listed.is_empty() && !mapped.is_empty() {
        return Err(Error::invalid("seccomp profile: use either 'architectures' or 'archMap', not both"));
    }
    let native = native_name(conditions.architecture);
    let mapped = mapped.into_iter().find(|entry| Some(entry.architecture.as_str()) == native);
    let architectures = match mapped {
        Some(entry) => {
            std::iter::once(entry.architecture).chain(entry.sub_architectures.unwrap_or_default()).collect()
        }
        None => listed,
    };
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if applies(&rule, conditions)? {
            let mut names = rule.names.unwrap_or_default();
            names.extend(rule.name);
            if names.is_empty() {
                return Err(Error::invalid("seccomp profile: a rule names no system call"));
            }
            syscalls.push(SeccompSyscall {
                names,
                action: rule.action,
                errno_ret: rule.errno_ret,
                args: rule.args.unwrap_or_default(),
            });
        }
    }
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures,
        flags: profile.flags.unwrap_or_default(),
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls,
    })
}

/// All of `includes` must hold (any one architecture, every capability), nothing of `excludes` may.
fn applies(rule: &Rule, conditions: Conditions<'_>) -> Result<bool, Error> {
    let holds = |name: &String| conditions.capabilities.contains(name);
    let here = |list: &Vec<String>| list.iter().any(|name| name == conditions.architecture);
    let newer = |wanted: &str| kernel_version(wanted).map(|wanted| conditions.kernel >= wanted);
    let nothing = Condition::default();
    let yes = rule.includes.as_ref().unwrap_or(&nothing);
    let no = rule.excludes.as_ref().unwrap_or(&nothing);
    if yes.arches.as_ref().is_some_and(|list| !list.is_empty() && !here(list))
        || no.arches.as_ref().is_some_and(here)
        || yes.caps.as_ref().is_some_and(|caps| !caps.iter().all(holds))
        || no.caps.as_ref().is_some_and(|caps| caps.iter().any(holds))
    {
        return Ok(false);
    }
    if let Some(wanted) = yes.min_kernel.as_deref().filter(|text| !text.is_empty())
        && !newer(wanted)?
    {
        return Ok(false);
    }
    if let Some(wanted) = no.min_kernel.as_deref().filter(|text| !text.is_empty())
        && newer(wanted)?
    {
        return Ok(false);
    }
    Ok(true)
}

/// `major.minor` at the start of a kernel's release string.
pub(crate) fn kernel_version(release: &str) -> Result<(u32, u32), Error> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(Error::invalid(format!("invalid kernel version {release:?}: want major.minor"))),
    }
}

fn allow(names: &[&str], args: Vec<SeccompArg>) -> SeccompSyscall {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    SeccompSyscall { names, action: SeccompAction::Allow, errno_ret: None, args }
}

fn arg(op: SeccompOperator, value: u64) -> SeccompArg {
    SeccompArg { index: 0, value, value_two: 0, op }
}

fn native_name(architecture: &str) -> Option<&'static str> {
    match architecture {
        "amd64" => Some("SCMP_ARCH_X86_64"),
        "arm64" => Some("SCMP_ARCH_AARCH64"),
        _ => None,
    }
}

/// This architecture and those whose programs its kernel also runs.
fn native_architectures(architecture: &str) -> Vec<String> {
    let names: &[&str] = match architecture {
        "amd64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "arm64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(capabilities: &[String]) -> Conditions<'_> {
        Conditions { capabilities, architecture: "amd64", kernel: (6, 18) }
    }

    fn allows(filter: &Seccomp, name: &str) -> bool {
        let allowing = |rule: &&SeccompSyscall| rule.action == SeccompAction::Allow && rule.args.is_empty();
        filter.syscalls.iter().filter(allowing).any(|rule| rule.names.iter().any(|other| other == name))
    }

    #[test]
    fn the_default_denies_what_it_does_not_list() {
        let filter = default_filter(conditions(&[]));
        assert_eq!((filter.default_action, filter.default_errno_ret), (SeccompAction::Errno, Some(1)));
        for name in ["openat", "execve", "clone", "arch_prctl", "ptrace"] {
            assert_eq!(allows(&filter, name), name != "clone", "{name}");
        }
        for name in ["mount", "io_uring_setup", "keyctl", "reboot", "bpf", "unshare", "userfaultfd", "socket"]
        {
            assert!(!allows(&filter, name), "{name}");
        }
    }

    #[test]
    fn capabilities_open_what_they_are_about() {
        let filter = default_filter(conditions(&["CAP_SYS_ADMIN".to_owned(), "CAP_SYS_TIME".to_owned()]));
        for name in ["mount", "clone", "clone3", "unshare", "settimeofday"] {
            assert!(allows(&filter, name), "{name}");
        }
        assert!(!filter.syscalls.iter().any(|rule| rule.errno_ret == Some(38)));
    }

    #[test]
    fn without_sys_admin_clone_is_limited_and_clone3_says_enosys() {
        let filter = default_filter(conditions(&[]));
        let clone = filter.syscalls.iter().find(|rule| rule.names == ["clone"]).unwrap();
        assert_eq!((clone.args[0].op, clone.args[0].value), (SeccompOperator::MaskedEqual, 2_114_060_288));
        assert!(filter.syscalls.iter().any(|rule| rule.names == ["clone3"] && rule.errno_ret == Some(38)));
    }

    #[test]
    fn a_profile_in_dockers_format_keeps_only_the_rules_that_hold_here() {
        let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
          "syscalls":[
            {"names":["read","write"],"action":"SCMP_ACT_ALLOW","args":null,"includes":{},"excludes":{}},
            {"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_KILL"]}},
            {"names":["b"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
            {"names":["c"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"7.0"}},
            {"names":["d"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
            {"names":["e"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_CHOWN"]}},
            {"name":"f","action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
        let filter = profile_filter(json, conditions(&["CAP_CHOWN".to_owned()])).unwrap();
        let names: Vec<_> = filter.syscalls.iter().map(|rule| rule.names.join(",")).collect();
        assert_eq!(names, ["read,write", "d", "f"]);
        assert_eq!(filter.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    }

    #[test]
    fn malformed_profiles_are_refused_with_the_reason() {
        for json in ["", "{}", "[]", r#"{"defaultAction":"SCMP_ACT_FLY"}"#] {
            let error = profile_filter(json, conditions(&[])).unwrap_err().to_string();
            assert!(error.starts_with("decoding seccomp profile failed"), "{error}");
        }
    }
}
