//! Which limits hold after an update that names only some.
//!
//! Some of the kernel's settings are made of two fields of the specification: v2's swap is what remains of
//! `memory.swap` beyond `memory.limit`, and a quota counts by its period. So the record keeps these four.

use minke_model::runtime_spec::{Cpu, Memory, Resources};
use serde::{Deserialize, Serialize};

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u64>,
}

impl Limits {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those of `resources`; 0 means unset everywhere.
    pub(super) fn of(resources: Option<&Resources>) -> Self {
        let memory = resources.and_then(|resources| resources.memory.as_ref());
        let cpu = resources.and_then(|resources| resources.cpu.as_ref());
        Self {
            memory: memory.and_then(|memory| memory.limit).filter(|limit| *limit != 0),
            swap: memory.and_then(|memory| memory.swap).filter(|swap| *swap != 0),
            quota: cpu.and_then(|cpu| cpu.quota).filter(|quota| *quota != 0),
            period: cpu.and_then(|cpu| cpu.period).filter(|period| *period != 0),
        }
    }

    /// The update with the other half of each pair, and what holds after it.
    pub(crate) fn complete(&self, update: &Resources) -> (Resources, Self) {
        let given = Self::of(Some(update));
        let mut whole = update.clone();
        let mut after = Self {
            memory: given.memory.or(self.memory),
            swap: given.swap.or(self.swap),
            quota: given.quota.or(self.quota),
            period: given.period.or(self.period),
        };
        if given.memory.is_some_and(|limit| limit < 0) && given.swap.is_none() {
            // Memory without a limit has swap without one: nothing could be the sum.
            after.swap = None;
        }
        if given.memory.or(given.swap).is_some() {
            let memory = whole.memory.get_or_insert_with(Memory::default);
            (memory.limit, memory.swap) = (after.memory, after.swap);
        }
        if given.quota.is_some() || given.period.is_some() {
            let cpu = whole.cpu.get_or_insert_with(Cpu::default);
            (cpu.quota, cpu.period) = (after.quota, after.period);
        }
        (whole, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit: Option<i64>, swap: Option<i64>) -> Resources {
        Resources { memory: Some(Memory { limit, swap, ..Memory::default() }), ..Resources::default() }
    }

    #[test]
    fn an_update_of_one_half_takes_the_other_from_before() {
        let before = Limits::of(Some(&memory(Some(100), Some(300))));
        let (whole, after) = before.complete(&memory(Some(200), None));
        assert_eq!(whole, memory(Some(200), Some(300)));
        let (whole, _) = after.complete(&memory(None, Some(500)));
        assert_eq!(whole, memory(Some(200), Some(500)));
        let (whole, after) = after.complete(&memory(Some(-1), None));
        assert_eq!(whole, memory(Some(-1), None));
        assert_eq!(after.swap, None);
    }

    #[test]
    fn an_update_of_something_else_touches_neither() {
        let before = Limits::of(Some(&memory(Some(100), Some(300))));
        let update =
            Resources { cpu: Some(Cpu { quota: Some(5), ..Cpu::default() }), ..Resources::default() };
        let (whole, after) = before.complete(&update);
        assert_eq!((whole, after.memory), (update, Some(100)));
    }
}
