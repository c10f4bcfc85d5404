//! Which capabilities a container holds: Docker's default set, what `--cap-add` and `--cap-drop` change,
//! what this engine can give.

use minke_kernel::caps;
use minke_model::runtime_spec::Capabilities;

use crate::Error;

/// What a container holds if nothing else is said: the same set as Docker's.
pub(crate) const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
];

/// A set of capabilities as the kernel writes it: bit n is the capability of number n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) u64);

impl Mask {
    fn has(self, name: &str) -> bool {
        caps::number(name).is_some_and(|bit| self.0 >> bit & 1 == 1)
    }

    /// Whether this engine lacks CAP_SYS_RESOURCE, as inside most virtual development machines.
    pub(crate) fn lacks_sys_resource(self) -> bool {
        !self.has("CAP_SYS_RESOURCE")
    }
}

/// The names a container of these options holds, in the order of their numbers.
///
/// # Errors
/// `InvalidParameter` for an unknown name, and for one that `--cap-add` asks for and the engine doesn't
/// hold itself.
pub(crate) fn held(
    add: &[String],
    drop: &[String],
    privileged: bool,
    engine: Mask,
) -> Result<Vec<String>, Error> {
    let add = normal_list(add, "CapAdd")?;
    let drop = normal_list(drop, "CapDrop")?;
    if let Some(name) = add.iter().find(|name| *name != "ALL" && !engine.has(name)) {
        return Err(Error::invalid(format!(
            "can't add capability {name}: the engine does not hold it itself"
        )));
    }
    let named = |list: &[String], name: &str| list.iter().any(|other| other == name);
    let (add_all, drop_all) = (named(&add, "ALL"), named(&drop, "ALL"));
    let wanted = |name: &str| {
        if privileged {
            return true;
        }
        match (add_all, drop_all) {
            // As Docker decides: adding ALL, what is dropped by name is missing; dropping ALL, what is
            // added by name stays.
            (true, _) => !named(&drop, name),
            (false, true) => named(&add, name),
            (false, false) => (DEFAULT.contains(&name) || named(&add, name)) && !named(&drop, name),
        }
    };
    Ok(caps::names()
        .iter()
        .filter(|name| wanted(name) && engine.has(name))
        .map(|name| (*name).to_owned())
        .collect())
}

/// The sets of a process: an ordinary user starts with none effective, but may gain them by set-user-id
/// programs.
pub(crate) fn sets(held: &[String], root: bool) -> Capabilities {
    let effective = if root { held.to_vec() } else { Vec::new() };
    Capabilities {
        bounding: held.to_vec(),
        permitted: effective.clone(),
        effective,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}

fn normal_list(names: &[String], field: &str) -> Result<Vec<String>, Error> {
    names.iter().map(|name| normalise(name, field)).collect()
}

/// `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are the same; `ALL` is itself.
fn normalise(name: &str, field: &str) -> Result<String, Error> {
    let upper = name.trim().to_ascii_uppercase();
    if upper == "ALL" || upper == "CAP_ALL" {
        return Ok("ALL".to_owned());
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    match caps::number(&full).is_some() {
        true => Ok(full),
        false => Err(Error::invalid(format!("invalid {field}: unknown capability: {full:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Mask = Mask((1 << 41) - 1);

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_default_set_is_dockers() {
        assert_eq!(held(&[], &[], false, FULL).unwrap(), list(&DEFAULT));
    }

    #[test]
    fn names_are_added_and_dropped_with_and_without_prefix_in_any_case() {
        let set = held(&list(&["net_admin"]), &list(&["CAP_CHOWN", "MKNOD"]), false, FULL).unwrap();
        assert!(set.contains(&"CAP_NET_ADMIN".to_owned()));
        assert!(!set.contains(&"CAP_CHOWN".to_owned()) && !set.contains(&"CAP_MKNOD".to_owned()));
    }

    #[test]
    fn all_can_be_dropped_with_exceptions_and_added_with_exceptions() {
        assert_eq!(held(&list(&["KILL"]), &list(&["ALL"]), false, FULL).unwrap(), list(&["CAP_KILL"]));
        let most = held(&list(&["ALL"]), &list(&["SYS_ADMIN"]), false, FULL).unwrap();
        assert_eq!(most.len(), 40);
        assert_eq!(held(&[], &list(&["ALL"]), false, FULL).unwrap(), list(&[]));
    }

    #[test]
    fn privileged_means_all_that_the_engine_holds() {
        let without_resource = Mask(FULL.0 & !(1 << 24));
        let set = held(&[], &[], true, without_resource).unwrap();
        assert_eq!(set.len(), 40);
        assert!(!set.contains(&"CAP_SYS_RESOURCE".to_owned()));
    }

    #[test]
    fn what_cannot_be_given_is_refused_by_name() {
        let error = held(&list(&["SYS_RESOURCE"]), &[], false, Mask(FULL.0 & !(1 << 24))).unwrap_err();
        assert!(error.to_string().contains("CAP_SYS_RESOURCE"), "{error}");
        assert!(
            held(&list(&["FLY"]), &[], false, FULL)
                .unwrap_err()
                .to_string()
                .contains("invalid CapAdd: unknown capability: \"CAP_FLY\"")
        );
    }

    #[test]
    fn an_ordinary_user_starts_with_no_effective_capability() {
        let sets = sets(&list(&["CAP_CHOWN"]), false);
        assert!(sets.effective.is_empty() && sets.permitted.is_empty());
        assert_eq!(sets.bounding, list(&["CAP_CHOWN"]));
    }
}
