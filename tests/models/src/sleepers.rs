//! Who sleeps on which word, for checkers that run all threads of a model on one thread and change between them at their own
//! primitives only.

use core::cell::RefCell;

/// Sleeping threads, each with the address of its word, in the order in which they fell asleep.
pub(crate) struct Sleepers<T>(RefCell<Vec<(usize, T)>>);

impl<T> Sleepers<T> {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Forgets who slept when a run was given up.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    pub(crate) fn add<W>(&self, word: &W, thread: T) {
        self.0.borrow_mut().push((address(word), thread));
    }

    /// Whether a thread still sleeps: who wakes takes the sleeper off the list, so that a wake-up which was meant for an
    /// earlier sleep does not end this one.
    pub(crate) fn has<W>(&self, word: &W, is_me: impl Fn(&T) -> bool) -> bool {
        self.0.borrow().iter().any(|(at, thread)| *at == address(word) && is_me(thread))
    }

    /// The first that sleeps on a word.
    pub(crate) fn take<W>(&self, word: &W) -> Option<T> {
        let mut sleepers = self.0.borrow_mut();
        let first = sleepers.iter().position(|(at, _)| *at == address(word))?;
        Some(sleepers.remove(first).1)
    }
}

fn address<W>(word: &W) -> usize {
    core::ptr::from_ref(word).addr()
}
