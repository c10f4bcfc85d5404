//! What the options of a mount mean (specification, "Linux mount options"; fstab(5), mount(8)).

use super::{Attribute, Attributes, Parameter, Propagation};

/// The options of one mount, sorted by what they act on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// `Some(recursive)` for a bind mount.
    pub bind: Option<bool>,
    /// Attributes of the mount itself.
    pub attributes: Attributes,
    /// Attributes of the mount and all mounts below.
    pub recursive_attributes: Attributes,
    /// Propagation changes in order, each with whether it is recursive.
    pub propagation: Vec<(Propagation, bool)>,
    /// Copy what the directory holds into the new tmpfs.
    pub copy_up: bool,
    /// Change an existing mount only.
    pub remount: bool,
    /// `Some(recursive)` when ids are mapped.
    pub id_map: Option<bool>,
    /// Parameters of the file system.
    pub parameters: Vec<Parameter>,
}

/// Options of mount(8) that act on the whole file system; it takes them as flags.
const FILESYSTEM_FLAGS: [(&str, &str); 7] = [
    ("sync", "sync"),
    ("async", "async"),
    ("dirsync", "dirsync"),
    ("lazytime", "lazytime"),
    ("nolazytime", "nolazytime"),
    ("mand", "mand"),
    ("nomand", "nomand"),
];

/// Options that change nothing here: file systems count versions where they can, whatever is asked for.
const WITHOUT_EFFECT: [&str; 9] =
    ["", "defaults", "silent", "loud", "auto", "noauto", "_netdev", "iversion", "noiversion"];

/// Sorts the options of a mount whose type is `bind` or not.
pub fn parse(options: &[String], is_bind: bool) -> MountOptions {
    let mut parsed = MountOptions { bind: is_bind.then_some(false), ..MountOptions::default() };
    for option in options {
        parsed.add(option);
    }
    parsed
}

impl MountOptions {
    fn add(&mut self, option: &str) {
        if self.add_attribute(option) || self.add_propagation(option) {
            return;
        }
        match option {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "tmpcopyup" => self.copy_up = true,
            "remount" => self.remount = true,
            "idmap" => self.id_map = Some(false),
            "ridmap" => self.id_map = Some(true),
            _ if WITHOUT_EFFECT.contains(&option) => {}
            _ => self.parameters.push(match FILESYSTEM_FLAGS.iter().find(|(name, _)| *name == option) {
                Some((_, flag)) => Parameter::flag(*flag),
                None => match option.split_once('=') {
                    Some((key, value)) => Parameter::new(key, value),
                    None => Parameter::flag(option),
                },
            }),
        }
    }

    fn add_attribute(&mut self, option: &str) -> bool {
        if let Some((attribute, on)) = attribute(option) {
            match on {
                true => self.attributes.set(attribute),
                false => self.attributes.clear(attribute),
            }
            return true;
        }
        // `rro` is the recursive `ro`; `ro` itself must not be read as a recursive `o`.
        if let Some((attribute, on)) = option.strip_prefix('r').and_then(attribute) {
            match on {
                true => self.recursive_attributes.set(attribute),
                // On many mounts, "as each has it" would say nothing.
                false if attribute.is_atime() => self.recursive_attributes.set(Attribute::RelAtime),
                false => self.recursive_attributes.clear(attribute),
            }
            return true;
        }
        false
    }

    fn add_propagation(&mut self, option: &str) -> bool {
        let found = propagation(option);
        self.propagation.extend(found);
        found.is_some()
    }
}

fn attribute(option: &str) -> Option<(Attribute, bool)> {
    Some(match option {
        "ro" => (Attribute::ReadOnly, true),
        "rw" => (Attribute::ReadOnly, false),
        "nosuid" => (Attribute::NoSuid, true),
        "suid" => (Attribute::NoSuid, false),
        "nodev" => (Attribute::NoDev, true),
        "dev" => (Attribute::NoDev, false),
        "noexec" => (Attribute::NoExec, true),
        "exec" => (Attribute::NoExec, false),
        "nodiratime" => (Attribute::NoDirAtime, true),
        "diratime" => (Attribute::NoDirAtime, false),
        "nosymfollow" => (Attribute::NoSymFollow, true),
        "symfollow" => (Attribute::NoSymFollow, false),
        "noatime" => (Attribute::NoAtime, true),
        "atime" => (Attribute::NoAtime, false),
        "strictatime" => (Attribute::StrictAtime, true),
        "nostrictatime" => (Attribute::StrictAtime, false),
        "relatime" => (Attribute::RelAtime, true),
        "norelatime" => (Attribute::RelAtime, false),
        _ => return None,
    })
}

/// `shared`, `rslave` and so on, with whether it is recursive.
pub fn propagation(option: &str) -> Option<(Propagation, bool)> {
    let plain = |option| {
        Some(match option {
            "shared" => Propagation::Shared,
            "slave" => Propagation::Slave,
            "private" => Propagation::Private,
            "unbindable" => Propagation::Unbindable,
            _ => return None,
        })
    };
    match plain(option) {
        Some(found) => Some((found, false)),
        None => option.strip_prefix('r').and_then(plain).map(|found| (found, true)),
    }
}

/// All options that are understood, for `features`.
pub fn known() -> Vec<String> {
    let attributes = [
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "nodiratime",
        "diratime",
        "nosymfollow",
        "symfollow",
        "noatime",
        "atime",
        "strictatime",
        "nostrictatime",
        "relatime",
        "norelatime",
    ];
    let propagations = ["shared", "slave", "private", "unbindable"];
    let others = ["bind", "rbind", "tmpcopyup", "remount", "idmap", "ridmap"];
    let recursive = attributes.iter().chain(&propagations).map(|name| format!("r{name}"));
    let plain = attributes.iter().chain(&propagations).chain(&others).chain(&WITHOUT_EFFECT);
    let flags = FILESYSTEM_FLAGS.iter().map(|(name, _)| (*name).to_owned());
    let mut all: Vec<_> = plain.map(|name| (*name).to_owned()).chain(recursive).chain(flags).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[&str]) -> MountOptions {
        parse(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>(), false)
    }

    #[test]
    fn options_are_sorted_by_what_they_act_on() {
        let options = parsed(&["rbind", "ro", "rnosuid", "rslave", "size=64k", "newinstance", "sync"]);
        assert_eq!(options.bind, Some(true));
        assert!(options.attributes.is_read_only() && !options.recursive_attributes.is_read_only());
        assert_eq!(options.recursive_attributes, [Attribute::NoSuid].into_iter().collect());
        assert_eq!(options.propagation, [(Propagation::Slave, true)]);
        let flags = [Parameter::new("size", "64k"), Parameter::flag("newinstance"), Parameter::flag("sync")];
        assert_eq!(options.parameters, flags);
    }

    #[test]
    fn recursive_and_plain_names_are_not_mixed_up() {
        assert!(parsed(&["rro"]).recursive_attributes.is_read_only());
        assert!(!parsed(&["ro", "rw"]).attributes.is_read_only());
        assert_eq!(parsed(&["relatime"]).attributes, [Attribute::RelAtime].into_iter().collect());
        assert_eq!(parsed(&["rrelatime"]).recursive_attributes, [Attribute::RelAtime].into_iter().collect());
        assert_eq!(parsed(&["rw"]).parameters, []);
    }

    #[test]
    fn access_times_that_are_turned_off_are_none_that_are_asked_for() {
        let asked = |options: &[&str]| parsed(options).attributes;
        let no_atime: Attributes = [Attribute::NoAtime].into_iter().collect();
        assert_eq!(asked(&["noatime", "norelatime"]), no_atime);
        assert!(!asked(&["noatime", "atime"]).names_times() && !asked(&["atime"]).names_times());
        assert!(asked(&["nodiratime"]).names_times() && asked(&["atime", "relatime"]).names_times());
        let recursive = parsed(&["ratime"]).recursive_attributes;
        assert_eq!(recursive, [Attribute::RelAtime].into_iter().collect());
    }
}
