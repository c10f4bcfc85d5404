//! Reads an OCI profile into what the kernel understands: return values, conditions and flags.
//!
//! Everything that can be wrong with a profile is found here, before any code is made.

use minke_model::runtime_spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall};

use super::SeccompError;

/// `SECCOMP_FILTER_FLAG_…` of linux/seccomp.h.
const FLAG_TSYNC: u32 = 1 << 0;
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;
pub(super) const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_TSYNC_ESRCH: u32 = 1 << 4;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// The largest errno that a system call can return (`MAX_ERRNO`).
const MAX_ERRNO: u32 = 4095;

/// What a filter returns: an action in the upper half, its data in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ret(pub(super) u32);

impl Ret {
    pub(super) const ENOSYS: Ret = Ret(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);

    /// Whether the call takes place; a tracer counts, since it knows about calls that don't exist.
    pub(super) fn permits(self) -> bool {
        matches!(
            self.0 & libc::SECCOMP_RET_ACTION_FULL,
            libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG | libc::SECCOMP_RET_TRACE
        )
    }

    /// Whether this hinders a call more than `other`: the kernel's own order among filters.
    pub(super) fn stricter_than(self, other: Ret) -> bool {
        let rank = |ret: Ret| (ret.0 & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
        rank(self) < rank(other)
    }
}

/// One condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) op: SeccompOperator,
    pub(super) value: u64,
    pub(super) value_two: u64,
}

/// One rule; it holds where any of the alternatives does, all of whose conditions must hold.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    pub(super) names: &'a [String],
    pub(super) ret: Ret,
    /// Empty for a rule without conditions.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

/// A profile, checked.
#[derive(Debug)]
pub(super) struct Profile<'a> {
    pub(super) default: Ret,
    pub(super) rules: Vec<Rule<'a>>,
    pub(super) flags: u32,
}

impl Profile<'_> {
    /// Whether calls beyond the newest that the profile names fail with ENOSYS.
    pub(super) fn hides_newer_calls(&self) -> bool {
        !self.default.permits() && self.default != Ret::ENOSYS
    }
}

pub(super) fn parse(profile: &Seccomp) -> Result<Profile<'_>, SeccompError> {
    let default =
        ret(profile.default_action, profile.default_errno_ret).map_err(|fault| fault.at("defaultAction"))?;
    if profile.default_action == SeccompAction::Notify {
        return Err(SeccompError::NotifyBlocksItself { place: "defaultAction".into() });
    }
    let rules = profile.syscalls.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    let mut flags = flags(&profile.flags)?;
    if profile.syscalls.iter().any(|s| s.action == SeccompAction::Notify) {
        flags |= FLAG_NEW_LISTENER;
        if flags & FLAG_TSYNC != 0 {
            // One return value can't be a descriptor and a thread id, so the kernel (5.7) wants this too.
            flags |= FLAG_TSYNC_ESRCH;
        }
    }
    Ok(Profile { default, rules, flags })
}

/// The flags' bits. Without any, speculation is left as it is, as runc does: kernels before 5.16 would
/// otherwise slow every filtered program down with mitigations that hardly anyone needs there.
fn flags(names: &[String]) -> Result<u32, SeccompError> {
    if names.is_empty() {
        return Ok(FLAG_SPEC_ALLOW);
    }
    names.iter().try_fold(0, |flags, name| {
        let flag = match name.as_str() {
            "SECCOMP_FILTER_FLAG_TSYNC" => FLAG_TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => FLAG_SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => FLAG_WAIT_KILLABLE_RECV,
            _ => return Err(SeccompError::UnknownFlag { name: name.clone() }),
        };
        Ok(flags | flag)
    })
}

fn rule(syscall: &SeccompSyscall) -> Result<Rule<'_>, SeccompError> {
    let first = || syscall.names.first().cloned().unwrap_or_default();
    let ret =
        ret(syscall.action, syscall.errno_ret).map_err(|fault| fault.at(&format!("rule for {}", first())))?;
    if syscall.action == SeccompAction::Notify
        && let Some(name) = syscall.names.iter().find(|name| ["write", "sendmsg"].contains(&name.as_str()))
    {
        return Err(SeccompError::NotifyBlocksItself { place: format!("the {name} syscall") });
    }
    if let Some(arg) = syscall.args.iter().find(|arg| arg.index > 5) {
        return Err(SeccompError::ArgumentIndex { syscall: first(), index: arg.index });
    }
    Ok(Rule { names: &syscall.names, ret, alternatives: alternatives(&syscall.args) })
}

/// Conditions on different arguments must all hold; as soon as two are on the same argument, any
/// one of all of them is enough. That is what runc has always made of such rules, and profiles rely on it.
fn alternatives(args: &[SeccompArg]) -> Vec<Vec<Condition>> {
    let conditions: Vec<Condition> = args
        .iter()
        .map(|a| Condition { index: a.index, op: a.op, value: a.value, value_two: a.value_two })
        .collect();
    let repeated = (1..args.len()).any(|i| args[..i].iter().any(|a| a.index == args[i].index));
    match conditions.is_empty() {
        true => Vec::new(),
        false if repeated => conditions.into_iter().map(|c| vec![c]).collect(),
        false => vec![conditions],
    }
}

enum ErrnoFault {
    WithoutUse,
    Range(u32),
}

impl ErrnoFault {
    fn at(self, place: &str) -> SeccompError {
        match self {
            ErrnoFault::WithoutUse => SeccompError::ErrnoWithoutUse { place: place.to_owned() },
            ErrnoFault::Range(value) => SeccompError::ErrnoRange { place: place.to_owned(), value },
        }
    }
}

fn ret(action: SeccompAction, errno: Option<u32>) -> Result<Ret, ErrnoFault> {
    let (action, data_limit) = match action {
        SeccompAction::Kill | SeccompAction::KillThread => (libc::SECCOMP_RET_KILL_THREAD, None),
        SeccompAction::KillProcess => (libc::SECCOMP_RET_KILL_PROCESS, None),
        SeccompAction::Trap => (libc::SECCOMP_RET_TRAP, None),
        SeccompAction::Errno => (libc::SECCOMP_RET_ERRNO, Some(MAX_ERRNO)),
        SeccompAction::Trace => (libc::SECCOMP_RET_TRACE, Some(libc::SECCOMP_RET_DATA)),
        SeccompAction::Allow => (libc::SECCOMP_RET_ALLOW, None),
        SeccompAction::Log => (libc::SECCOMP_RET_LOG, None),
        SeccompAction::Notify => (libc::SECCOMP_RET_USER_NOTIF, None),
    };
    let data = match (data_limit, errno) {
        (None, None) => 0,
        (None, Some(_)) => return Err(ErrnoFault::WithoutUse),
        (Some(_), None) => libc::EPERM.cast_unsigned(),
        (Some(limit), Some(errno)) if errno > limit => return Err(ErrnoFault::Range(errno)),
        (Some(_), Some(errno)) => errno,
    };
    Ok(Ret(action | data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(index: u32, value: u64) -> SeccompArg {
        SeccompArg { index, value, value_two: 0, op: SeccompOperator::Equal }
    }

    #[test]
    fn conditions_on_different_arguments_must_all_hold() {
        assert_eq!(alternatives(&[arg(0, 1), arg(1, 2)]).iter().map(Vec::len).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn conditions_on_the_same_argument_are_alternatives() {
        let got = alternatives(&[arg(0, 1), arg(1, 2), arg(0, 3)]);
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn actions_are_ordered_as_the_kernel_orders_them() {
        let order = [
            libc::SECCOMP_RET_KILL_PROCESS,
            libc::SECCOMP_RET_KILL_THREAD,
            libc::SECCOMP_RET_TRAP,
            libc::SECCOMP_RET_ERRNO,
            libc::SECCOMP_RET_USER_NOTIF,
            libc::SECCOMP_RET_TRACE,
            libc::SECCOMP_RET_LOG,
            libc::SECCOMP_RET_ALLOW,
        ];
        assert!(order.windows(2).all(|pair| Ret(pair[0]).stricter_than(Ret(pair[1]))));
    }

    #[test]
    fn an_errno_for_an_action_that_returns_none_is_refused() {
        assert!(matches!(ret(SeccompAction::Allow, Some(1)), Err(ErrnoFault::WithoutUse)));
        assert!(matches!(ret(SeccompAction::Errno, Some(4096)), Err(ErrnoFault::Range(4096))));
        assert!(matches!(ret(SeccompAction::Trace, Some(0xffff)), Ok(Ret(0x7ff0_ffff))));
    }

    #[test]
    fn without_flags_speculation_is_left_as_it_is() {
        assert!(matches!(flags(&[]), Ok(FLAG_SPEC_ALLOW)));
        assert!(matches!(flags(&["SECCOMP_FILTER_FLAG_LOG".into()]), Ok(FLAG_LOG)));
        assert!(flags(&["SECCOMP_FILTER_FLAG_NEW_LISTENER".into()]).is_err());
    }
}
