//! Rules about devices, checked and made uniform; the two drivers make very different things of them.

use minke_model::runtime_spec::{DeviceRule, DeviceType};

use super::CgroupError;

/// Operations on a device, as a set: mknod 1, read 2, write 4 (`BPF_DEVCG_ACC_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access(pub(super) u8);

impl Access {
    pub(super) const ALL: Access = Access(7);

    fn parse(text: &str) -> Option<Access> {
        text.bytes()
            .try_fold(0, |bits, byte| {
                Some(
                    bits | match byte {
                        b'm' => 1,
                        b'r' => 2,
                        b'w' => 4,
                        _ => return None,
                    },
                )
            })
            .map(Access)
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        [(2, "r"), (4, "w"), (1, "m")]
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .try_for_each(|(_, c)| f.write_str(c))
    }
}

/// Kinds of device that the controller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Block,
    Character,
}

/// One rule, about devices of the given kind and numbers; None means all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Option<Kind>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) access: Access,
}

impl Rule {
    /// Whether this is about every device and operation.
    pub(super) fn is_total(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == Access::ALL
    }
}

/// Checks the specification's rules. Without `access`, a rule is about all operations; without a type, about
/// both kinds.
pub(super) fn parse(rules: &[DeviceRule]) -> Result<Vec<Rule>, CgroupError> {
    rules.iter().map(rule).filter(|rule| !matches!(rule, Ok(Rule { access: Access(0), .. }))).collect()
}

fn rule(rule: &DeviceRule) -> Result<Rule, CgroupError> {
    let invalid = |value: String, reason| CgroupError::Invalid { field: "devices", value, reason };
    let kind = match rule.kind.unwrap_or_default() {
        DeviceType::All => None,
        DeviceType::Block => Some(Kind::Block),
        DeviceType::Character => Some(Kind::Character),
        DeviceType::Fifo => return Err(invalid("p".into(), "is no type of device that rules can be about")),
    };
    let access = match rule.access.as_deref() {
        None => Access::ALL,
        Some(text) => Access::parse(text)
            .ok_or_else(|| invalid(text.to_owned(), "may only contain the letters r, w and m"))?,
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .ok()
            .filter(|number| *number <= i32::MAX.cast_unsigned())
            .map(Some)
            .ok_or_else(|| invalid(number.to_string(), "is no device number")),
    };
    Ok(Rule { allow: rule.allow, kind, major: number(rule.major)?, minor: number(rule.minor)?, access })
}

/// What every container may use besides its configuration's rules (runtime specification, "Default
/// Devices"): making any node, the memory devices, terminals. Callers append these to the configuration's.
#[must_use]
pub fn default_rules() -> Vec<DeviceRule> {
    let allow = |kind, major, minor, access: &str| DeviceRule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let character = |major, minor| allow(DeviceType::Character, Some(major), minor, "rwm");
    vec![
        allow(DeviceType::Character, None, None, "m"),
        allow(DeviceType::Block, None, None, "m"),
        character(1, Some(3)), // null
        character(1, Some(5)), // zero
        character(1, Some(7)), // full
        character(1, Some(8)), // random
        character(1, Some(9)), // urandom
        character(5, Some(0)), // tty
        character(5, Some(2)), // ptmx
        character(136, None),  // pts
        // Not in the specification, but in every runtime: images of VPNs make the node themselves.
        character(10, Some(200)), // tun
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_parts_mean_all() {
        let [rule] = parse(&[DeviceRule::default()]).unwrap()[..] else { panic!("one rule") };
        assert!(rule.is_total() && !rule.allow);
        let [rule] =
            parse(&[DeviceRule { major: Some(-1), access: Some("rw".into()), ..Default::default() }])
                .unwrap()[..]
        else {
            panic!("one rule")
        };
        assert_eq!((rule.major, rule.access, rule.is_total()), (None, Access(6), false));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            DeviceRule { access: Some("x".into()), ..Default::default() },
            DeviceRule { major: Some(-2), ..Default::default() },
            DeviceRule { minor: Some(1 << 40), ..Default::default() },
            DeviceRule { kind: Some(DeviceType::Fifo), ..Default::default() },
        ] {
            assert!(matches!(parse(&[bad]), Err(CgroupError::Invalid { field: "devices", .. })));
        }
    }

    #[test]
    fn access_is_written_as_it_is_read() {
        assert_eq!(Access::parse("mwr").unwrap().to_string(), "rwm");
        assert_eq!(Access::parse("w").unwrap().to_string(), "w");
    }
}
