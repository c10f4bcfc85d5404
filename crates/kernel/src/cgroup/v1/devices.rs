//! cgroup v1's device controller (admin-guide/cgroup-v1/devices.rst).
//!
//! The kernel keeps a default and exceptions from it. An exception is taken back only by naming it
//! exactly, so "all of these but that one" can't be said, and is refused here instead of being
//! taken for something wider. Only what differs from the kernel's list is written: a running
//! container never loses, even for a moment, what it keeps.

use std::collections::BTreeMap;

use minke_model::runtime_spec::DeviceRule;

use super::super::{
    CgroupError, Controller,
    devices::{self, Access, Kind, Rule},
    dir::Dir,
};

/// What the kernel's list says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    default_allow: bool,
    exceptions: BTreeMap<Device, Access>,
}

/// Devices that one exception is about; None means all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Device {
    kind: Kind,
    major: Option<u32>,
    minor: Option<u32>,
}

pub(super) fn apply(rules: &[DeviceRule], dir: Option<&Dir>) -> Result<(), CgroupError> {
    if rules.is_empty() {
        return Ok(());
    }
    let rules = devices::parse(rules)?;
    let Some(dir) = dir else {
        return Err(CgroupError::NoController { field: "devices".into(), controller: Controller::Devices });
    };
    let current = List::parse(&dir.read_named("devices.list")?);
    let wanted = current.clone().with(&rules)?;
    for changes in current.changes_to(&wanted).chunk_by(|one, next| one.0 == next.0) {
        write(dir, changes)?;
    }
    Ok(())
}

/// Writes values that are all for one file, which is opened once.
fn write(dir: &Dir, changes: &[(&'static str, String)]) -> Result<(), CgroupError> {
    let [(file, first), ..] = changes else { return Ok(()) };
    let failed = |value: &str, source| CgroupError::Write {
        field: "devices".into(),
        value: value.to_owned(),
        path: dir.path().join(file),
        source,
    };
    let open = dir.open_for_writing(file).map_err(|source| failed(first, source))?;
    changes.iter().try_for_each(|(_, value)| open.write(value).map_err(|source| failed(value, source)))
}

impl List {
    /// Reads `devices.list`. With a default of allow it says only that, and not the exceptions.
    fn parse(text: &str) -> List {
        let mut list = List { default_allow: false, exceptions: BTreeMap::new() };
        for line in text.lines() {
            let mut words = line.split([' ', ':']);
            let kind = match words.next() {
                Some("a") => {
                    list.default_allow = true;
                    continue;
                }
                Some("b") => Kind::Block,
                Some("c") => Kind::Character,
                _ => continue,
            };
            let mut number = || words.next().and_then(|word| word.parse().ok());
            let device = Device { kind, major: number(), minor: number() };
            let access = words.next().unwrap_or_default();
            let bits = |letter, bit| if access.contains(letter) { bit } else { 0 };
            list.exceptions.insert(device, Access(bits('m', 1) | bits('r', 2) | bits('w', 4)));
        }
        list
    }

    /// This list after `rules`, the later of which win.
    fn with(mut self, rules: &[Rule]) -> Result<List, CgroupError> {
        for rule in rules {
            if rule.is_total() {
                self = List { default_allow: rule.allow, exceptions: BTreeMap::new() };
                continue;
            }
            for kind in rule.kind.map_or(vec![Kind::Block, Kind::Character], |kind| vec![kind]) {
                let device = Device { kind, major: rule.major, minor: rule.minor };
                match rule.allow == self.default_allow {
                    true => self.take_back(device, rule.access)?,
                    false => self.exceptions.entry(device).or_insert(Access(0)).0 |= rule.access.0,
                }
            }
        }
        Ok(self)
    }

    fn take_back(&mut self, device: Device, access: Access) -> Result<(), CgroupError> {
        let hole = self.exceptions.iter().find(|(other, held)| {
            **other != device && held.0 & access.0 != 0 && other.overlaps(device) && !device.covers(**other)
        });
        if let Some((other, _)) = hole {
            return Err(CgroupError::Invalid {
                field: "devices",
                value: device.describe(access),
                reason: match other.covers(device) {
                    true => "would take back a part of an earlier rule, which cgroup v1 can't do",
                    false => "overlaps an earlier rule, which cgroup v1 can't take apart",
                },
            });
        }
        for (other, held) in &mut self.exceptions {
            if device.covers(*other) {
                held.0 &= !access.0;
            }
        }
        self.exceptions.retain(|_, held| held.0 != 0);
        Ok(())
    }

    /// What to write where to get from this list to `wanted`; permissions are added before others are taken.
    fn changes_to(&self, wanted: &List) -> Vec<(&'static str, String)> {
        let file = |allow| if allow { "devices.allow" } else { "devices.deny" };
        let mut changes = Vec::new();
        let unknown = List { default_allow: wanted.default_allow, exceptions: BTreeMap::new() };
        // The exceptions of an allowing list can't be read, so that one begins anew.
        let from = if self.default_allow != wanted.default_allow || wanted.default_allow {
            if self != wanted {
                changes.push((file(wanted.default_allow), "a".to_owned()));
            }
            &unknown
        } else {
            self
        };
        let differing = |a: &List, b: &List, allow| {
            let mut lines = Vec::new();
            for (device, access) in &a.exceptions {
                let rest = access.0 & !b.exceptions.get(device).map_or(0, |held| held.0);
                if rest != 0 {
                    lines.push((file(allow), device.describe(Access(rest))));
                }
            }
            lines
        };
        changes.extend(differing(wanted, from, !wanted.default_allow));
        changes.extend(differing(from, wanted, wanted.default_allow));
        changes
    }
}

impl Device {
    fn covers(self, other: Device) -> bool {
        let all_of = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || mine == theirs;
        self.kind == other.kind && all_of(self.major, other.major) && all_of(self.minor, other.minor)
    }

    fn overlaps(self, other: Device) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }

    fn describe(self, access: Access) -> String {
        let kind = match self.kind {
            Kind::Block => 'b',
            Kind::Character => 'c',
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

#[cfg(test)]
mod tests {
    use minke_model::runtime_spec::DeviceType;

    use super::*;

    fn rule(
        allow: bool,
        kind: DeviceType,
        major: Option<i64>,
        minor: Option<i64>,
        access: &str,
    ) -> DeviceRule {
        DeviceRule { allow, kind: Some(kind), major, minor, access: Some(access.into()) }
    }

    fn changes(list: &str, rules: &[DeviceRule]) -> Result<Vec<(&'static str, String)>, CgroupError> {
        let current = List::parse(list);
        let wanted = current.clone().with(&devices::parse(rules)?)?;
        Ok(current.changes_to(&wanted))
    }

    const DENY_ALL: DeviceRule =
        DeviceRule { allow: false, kind: None, major: None, minor: None, access: None };

    #[test]
    fn a_new_container_is_denied_all_and_then_allowed_what_it_needs() {
        let rules = [DENY_ALL, rule(true, DeviceType::Character, Some(1), Some(3), "rwm")];
        assert_eq!(
            changes("a *:* rwm\n", &rules).unwrap(),
            [("devices.deny", "a".into()), ("devices.allow", "c 1:3 rwm".into())]
        );
    }

    #[test]
    fn an_update_writes_only_what_differs() {
        let list = "c 1:3 rwm\nc *:* m\nb 8:0 r\n";
        let rules = [
            DENY_ALL,
            rule(true, DeviceType::Character, None, None, "m"),
            rule(true, DeviceType::Character, Some(1), Some(3), "rw"),
            rule(true, DeviceType::Block, Some(8), Some(1), "r"),
        ];
        assert_eq!(
            changes(list, &rules).unwrap(),
            [
                ("devices.allow", "b 8:1 r".into()),
                ("devices.deny", "b 8:0 r".into()),
                ("devices.deny", "c 1:3 m".into())
            ]
        );
        assert!(changes("c 1:3 rwm\n", &rules[..1]).unwrap() == [("devices.deny", "c 1:3 rwm".to_owned())]);
    }

    #[test]
    fn a_hole_in_a_wildcard_is_refused() {
        let rules = [
            DENY_ALL,
            rule(true, DeviceType::Character, Some(1), None, "rwm"),
            rule(false, DeviceType::Character, Some(1), Some(3), "w"),
        ];
        assert!(matches!(changes("a *:* rwm", &rules), Err(CgroupError::Invalid { field: "devices", .. })));
    }

    #[test]
    fn a_wide_denial_takes_back_all_it_covers() {
        let rules = [
            DENY_ALL,
            rule(true, DeviceType::Character, Some(1), Some(3), "rwm"),
            rule(true, DeviceType::Character, Some(1), Some(5), "rwm"),
            rule(false, DeviceType::Character, Some(1), None, "wm"),
        ];
        assert_eq!(
            changes("a *:* rwm", &rules).unwrap()[1..],
            [("devices.allow", "c 1:3 r".into()), ("devices.allow", "c 1:5 r".into())]
        );
    }

    #[test]
    fn a_rule_for_both_kinds_of_some_number_becomes_two() {
        let rules = [DENY_ALL, rule(true, DeviceType::All, Some(7), None, "r")];
        assert_eq!(
            changes("a *:* rwm", &rules).unwrap()[1..],
            [("devices.allow", "b 7:* r".into()), ("devices.allow", "c 7:* r".into())]
        );
    }

    #[test]
    fn privileged_containers_keep_everything() {
        let rules = [DENY_ALL, DeviceRule { allow: true, ..DENY_ALL }];
        assert!(changes("a *:* rwm\n", &rules).unwrap().is_empty());
    }
}
