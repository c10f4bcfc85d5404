//! Whether anybody uses the engine, for one that leaves by itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// When the engine was last used, and how much goes on now.
#[derive(Debug)]
pub(crate) struct Idle(Mutex<(Instant, usize)>);

/// Something that goes on.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Idle>);

impl Idle {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }

    /// Somebody has just asked.
    pub(crate) fn touch(&self) {
        self.edit(|(last, _)| *last = Instant::now());
    }

    pub(crate) fn busy(this: &Arc<Self>) -> Busy {
        this.edit(|(_, count)| *count += 1);
        Busy(Arc::clone(this))
    }

    /// Since when nobody has asked; `None` while something goes on.
    pub(crate) fn since(&self) -> Option<Instant> {
        let (last, count) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (count == 0).then_some(last)
    }

    fn edit(&self, edit: impl FnOnce(&mut (Instant, usize))) {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.edit(|(last, count)| (*last, *count) = (Instant::now(), count.saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_idle_when_the_last_thing_is_over() {
        let idle = Arc::new(Idle::new());
        let (one, two) = (Idle::busy(&idle), Idle::busy(&idle));
        drop(one);
        assert!(idle.since().is_none());
        drop(two);
        assert!(idle.since().is_some());
    }
}
