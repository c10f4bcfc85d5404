//! What takes back a creation that failed half-way.

use std::os::fd::OwnedFd;

use minke_kernel::process;

/// Steps back, run in reverse order unless [`Undo::disarm`]ed.
#[derive(Default)]
pub(super) struct Undo(Vec<Box<dyn FnOnce()>>);

impl Undo {
    /// Adds the step back of something that was just done.
    pub(super) fn add(&mut self, step: impl FnOnce() + 'static) {
        self.0.push(Box::new(step));
    }

    /// Keeps everything.
    pub(super) fn disarm(mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        while let Some(step) = self.0.pop() {
            step();
        }
    }
}

/// Kills a child and reaps it.
pub(super) fn kill(pidfd: &OwnedFd) {
    let _ = process::signal(pidfd, rustix::process::Signal::KILL.as_raw());
    let _ = process::wait(pidfd);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::RefCell, rc::Rc};

    #[test]
    fn steps_are_taken_back_in_reverse_order_unless_disarmed() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let build = || {
            let mut undo = Undo::default();
            for i in 0..3 {
                let seen = Rc::clone(&seen);
                undo.add(move || seen.borrow_mut().push(i));
            }
            undo
        };
        build().disarm();
        assert!(seen.borrow().is_empty());
        drop(build());
        assert_eq!(*seen.borrow(), [2, 1, 0]);
    }
}
