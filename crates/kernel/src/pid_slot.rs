//! A word that a process and its parent share, in which the kernel stores a pid.
//!
//! A process that makes a sibling of its own has to tell the common parent which one it is. A message could be forged by
//! whoever has the sibling in hand, or be denied by a filter; a word that the kernel itself writes
//! (`CLONE_PARENT_SETTID`), in a page that isn't mapped in the sibling, can't.

use std::{io, ptr::NonNull, sync::atomic::Ordering};

use crate::sys;

/// The word; 0 until a pid is stored.
#[derive(Debug)]
pub struct PidSlot {
    word: NonNull<std::sync::atomic::AtomicI32>,
}

impl PidSlot {
    /// A new word, which children that are made by fork share, and theirs don't.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        Ok(Self { word: sys::shared_word()? })
    }

    /// Keeps the word out of the caller's own children.
    ///
    /// # Errors
    /// None that is known.
    pub fn hide_from_children(&self) -> io::Result<()> {
        sys::leave_out_of_children(self.word)
    }

    /// The pid as it is numbered where the caller of clone(2) lives, once there is one.
    pub fn get(&self) -> Option<i32> {
        // SAFETY: the page is mapped as long as this lives, and only read and written as a whole word.
        let pid = unsafe { self.word.as_ref() }.load(Ordering::Acquire);
        (pid != 0).then_some(pid)
    }

    pub(crate) fn address(&self) -> *mut i32 {
        self.word.as_ptr().cast()
    }
}

impl Drop for PidSlot {
    fn drop(&mut self) {
        sys::unmap_word(self.word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_word_is_empty() {
        let slot = PidSlot::new().unwrap();
        assert_eq!(slot.get(), None);
        slot.hide_from_children().unwrap();
        assert_eq!(slot.get(), None);
    }
}
