//! socketcall(2) and ipc(2) of 32-bit x86: one number for many calls, told apart by the first argument.
//!
//! A rule for `socket` must hold for `socketcall(SYS_SOCKET, …)` as well, or an old program (or a
//! clever one) would walk around it. The other arguments are behind a pointer there, which a
//! filter can't follow; [`super::select`] says what becomes of rules with conditions.

use minke_model::runtime_spec::SeccompOperator;

use super::profile::Condition;

pub(super) const SOCKETCALL: u32 = 102;
pub(super) const IPC: u32 = 117;

/// The lowest number that any of these calls has by itself: recvmmsg, since Linux 2.6.33.
pub(super) const FIRST_DIRECT: u32 = 337;

/// linux/net.h; the position plus one is the call's number.
const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// linux/ipc.h.
const IPC_CALLS: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The number that carries the call `name`, and what its first argument is then.
pub(super) fn route(name: &str) -> Option<(u32, Condition)> {
    if let Some(at) = SOCKET_CALLS.iter().position(|call| *call == name) {
        let value = at as u64 + 1;
        return Some((SOCKETCALL, Condition { index: 0, op: SeccompOperator::Equal, value, value_two: 0 }));
    }
    let (_, call) = IPC_CALLS.iter().find(|(call, _)| *call == name)?;
    // The upper half of the argument is a version number and may be anything.
    let op = SeccompOperator::MaskedEqual;
    Some((IPC, Condition { index: 0, op, value: 0xffff, value_two: *call }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_multiplexed_call_has_a_lower_number_of_its_own() {
        let calls = syscalls::x86::Sysno::iter().filter(|call| route(call.name()).is_some());
        assert_eq!(calls.map(|call| call.id().cast_unsigned()).min(), Some(FIRST_DIRECT));
    }

    #[test]
    fn sockets_and_ipc_have_their_number_in_the_first_argument() {
        assert!(matches!(route("socket"), Some((SOCKETCALL, Condition { value: 1, .. }))));
        assert!(matches!(route("sendmmsg"), Some((SOCKETCALL, Condition { value: 20, .. }))));
        assert!(matches!(route("shmctl"), Some((IPC, Condition { value: 0xffff, value_two: 24, .. }))));
        assert!(route("read").is_none());
    }
}
