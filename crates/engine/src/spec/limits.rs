//! `--ulimit`: names and values as the runtime wants them, checked against what this engine may set.

use bollard_stubs::models::ResourcesUlimits;
use minke_model::runtime_spec::Rlimit;

use super::Facts;
use crate::Error;

const OPEN_FILES: &str = "RLIMIT_NOFILE";

/// The limits of Linux, setrlimit(2), by Docker's names.
const NAMES: [(&str, &str); 15] = [
    ("core", "RLIMIT_CORE"),
    ("cpu", "RLIMIT_CPU"),
    ("data", "RLIMIT_DATA"),
    ("fsize", "RLIMIT_FSIZE"),
    ("locks", "RLIMIT_LOCKS"),
    ("memlock", "RLIMIT_MEMLOCK"),
    ("msgqueue", "RLIMIT_MSGQUEUE"),
    ("nice", "RLIMIT_NICE"),
    ("nofile", OPEN_FILES),
    ("nproc", "RLIMIT_NPROC"),
    ("rss", "RLIMIT_RSS"),
    ("rtprio", "RLIMIT_RTPRIO"),
    ("rttime", "RLIMIT_RTTIME"),
    ("sigpending", "RLIMIT_SIGPENDING"),
    ("stack", "RLIMIT_STACK"),
];

/// This process's own hard limits: a process without CAP_SYS_RESOURCE can't give more.
#[derive(Debug, Clone, Default)]
pub(crate) struct HardLimits {
    /// `None` when the engine may raise any limit.
    pub(crate) ceilings: Option<Vec<(String, u64)>>,
}

impl HardLimits {
    /// Reads /proc/self/limits, whose lines are `Max open files   soft   hard   units`.
    pub(crate) fn parse(proc_limits: &str) -> Self {
        const LINES: [(&str, &str); 15] = [
            ("Max core file size", "core"),
            ("Max cpu time", "cpu"),
            ("Max data size", "data"),
            ("Max file size", "fsize"),
            ("Max file locks", "locks"),
            ("Max locked memory", "memlock"),
            ("Max msgqueue size", "msgqueue"),
            ("Max nice priority", "nice"),
            ("Max open files", "nofile"),
            ("Max processes", "nproc"),
            ("Max resident set", "rss"),
            ("Max realtime priority", "rtprio"),
            ("Max realtime timeout", "rttime"),
            ("Max pending signals", "sigpending"),
            ("Max stack size", "stack"),
        ];
        let hard = |(title, name): &(&str, &str)| {
            let line = proc_limits.lines().find_map(|line| line.strip_prefix(title))?;
            let value = line.split_whitespace().nth(1)?;
            Some(((*name).to_owned(), value.parse().unwrap_or(u64::MAX)))
        };
        Self { ceilings: Some(LINES.iter().filter_map(hard).collect()) }
    }

    fn ceiling(&self, name: &str) -> u64 {
        let ceilings = self.ceilings.as_ref();
        ceilings
            .and_then(|list| list.iter().find(|(known, _)| known == name))
            .map_or(u64::MAX, |(_, hard)| *hard)
    }
}

/// The runtime's form of `--ulimit`s; -1 is unlimited. Open files, if nobody asks, are limited as the engine's were when it
/// began, which has taken more since.
///
/// # Errors
/// `InvalidParameter` for an unknown name, a soft limit above the hard one, and a limit that the engine
/// can't raise.
pub(crate) fn rlimits(ulimits: &[ResourcesUlimits], facts: &Facts) -> Result<Vec<Rlimit>, Error> {
    let mut limits =
        ulimits.iter().map(|ulimit| rlimit(ulimit, &facts.hard_limits)).collect::<Result<Vec<_>, _>>()?;
    let given = facts.open_files;
    if given.current != given.maximum && !limits.iter().any(|limit| limit.kind == OPEN_FILES) {
        let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        limits.push(Rlimit {
            kind: OPEN_FILES.to_owned(),
            soft: number(given.current),
            hard: number(given.maximum),
        });
    }
    Ok(limits)
}

/// Whether a limit makes sense, whatever this engine can give.
///
/// # Errors
/// `InvalidParameter` for an unknown name, and a soft limit above the hard one.
pub(crate) fn check(ulimit: &ResourcesUlimits) -> Result<(), Error> {
    rlimit(ulimit, &HardLimits::default()).map(drop)
}

fn rlimit(ulimit: &ResourcesUlimits, own: &HardLimits) -> Result<Rlimit, Error> {
    let name = ulimit.name.as_deref().unwrap_or("");
    let kind = NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| Error::invalid(format!("invalid ulimit type: {name}")))?;
    let value = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap_or(u64::MAX);
    let (soft, hard) = (value(ulimit.soft), value(ulimit.hard));
    if soft > hard {
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard} for {name}"
        )));
    }
    let ceiling = own.ceiling(name);
    if hard > ceiling {
        return Err(Error::invalid(format!(
            "ulimit {name}={}: the engine's own hard limit is {ceiling} and without CAP_SYS_RESOURCE it can't give more",
            if hard == u64::MAX { "unlimited".to_owned() } else { hard.to_string() }
        )));
    }
    Ok(Rlimit { kind: kind.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let open_files = rustix::process::Rlimit { current: Some(1024), maximum: Some(20_000) };
        Facts { open_files, ..crate::spec::tests::facts() }
    }

    #[test]
    fn containers_inherit_what_the_engine_was_given_and_not_what_it_took() {
        assert_eq!(
            rlimits(&[ulimit("core", 0, 0)], &facts()).unwrap()[1],
            Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 1024, hard: 20_000 }
        );
        assert_eq!(rlimits(&[ulimit("nofile", 5, 6)], &facts()).unwrap().len(), 1);
        assert_eq!(rlimits(&[], &crate::spec::tests::facts()).unwrap(), []);
    }

    fn ulimit(name: &str, soft: i64, hard: i64) -> ResourcesUlimits {
        ResourcesUlimits { name: Some(name.into()), soft: Some(soft), hard: Some(hard) }
    }

    #[test]
    fn limits_are_named_as_in_the_runtime_specification() {
        let limits = rlimits(&[ulimit("nofile", 10, 20), ulimit("core", -1, -1)], &facts()).unwrap();
        assert_eq!(limits[0], Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 10, hard: 20 });
        assert_eq!((limits[1].soft, limits[1].hard), (u64::MAX, u64::MAX));
    }

    #[test]
    fn the_engines_own_ceiling_is_named_in_the_refusal() {
        let hard_limits = HardLimits::parse(
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max open files            1024                 20000                files\n\
             Max cpu time              unlimited            unlimited            seconds\n",
        );
        let own = Facts { hard_limits, ..facts() };
        assert!(rlimits(&[ulimit("nofile", 1024, 20000)], &own).is_ok());
        assert!(rlimits(&[ulimit("cpu", -1, -1)], &own).is_ok());
        let error = rlimits(&[ulimit("nofile", 1024, 20001)], &own).unwrap_err().to_string();
        assert!(
            error.contains("nofile=20001") && error.contains("20000") && error.contains("CAP_SYS_RESOURCE"),
            "{error}"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(rlimits(&[ulimit("wings", 1, 1)], &facts()).is_err());
        assert!(rlimits(&[ulimit("nofile", 2, 1)], &facts()).is_err());
    }
}
