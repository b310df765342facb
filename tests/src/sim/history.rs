//! The oracle: what the user committed, in order, and which states a recovered store may have.
//!
//! Step j is the state S_j after commit j. A step normally is one state; after an operation that answered with an
//! error of unknown outcome it is several. Steps are only ever appended (a reopen that falls back to an earlier
//! state appends it again), so that stamps of old device operations stay meaningful.

use super::rng::mix;

/// Keys that tapes use.
pub const KEYS: usize = 8;

/// A state of the store: per key the digest of its value (0: no such key), and one sum over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Multiset hash over (key, value): order does not matter, and it is kept up incrementally.
    pub sum: u128,
    /// Digests of the values.
    pub values: [u128; KEYS],
}

impl State {
    /// Sets or removes (0) the value of a key.
    pub fn set(&mut self, key: usize, value: u128) {
        self.sum = self.sum.wrapping_sub(term(key, self.values[key]));
        self.values[key] = value;
        self.sum = self.sum.wrapping_add(term(key, value));
    }

    /// Number of keys that are there.
    #[must_use]
    pub fn count(&self) -> usize {
        self.values.iter().filter(|&&value| value != 0).count()
    }
}

/// One pair's share of a state's sum.
#[must_use]
pub fn term(key: usize, value: u128) -> u128 {
    if value == 0 {
        return 0;
    }
    let (high, low) = ((value >> 64) as u64, value as u64);
    let key = mix(key as u64 + 1);
    u128::from(mix(high ^ key)) << 64 | u128::from(mix(low.wrapping_add(key)))
}

/// How a step came about: for coverage marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The blank store, or a state that a reopen fixed.
    Base,
    /// A put of one value.
    Put,
    /// A delete.
    Delete,
    /// A batch of several changes.
    Batch,
    /// A value from a stream.
    Stream,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    first: u32,
    count: u32,
    commit: Commit,
}

/// The history of one store.
#[derive(Debug, Default)]
pub struct History {
    states: Vec<State>,
    steps: Vec<Step>,
    /// The oldest step that may be recovered.
    pub lower: u32,
    /// The newest step that was submitted.
    pub upper: u32,
    /// Bit per key: it was ever written.
    pub used: u8,
    /// Digests and lengths of all values: only to explain failures.
    values: Vec<(u128, u32)>,
}

/// A point of a history to return to.
#[derive(Clone, Copy, Debug)]
pub struct Bookmark {
    states: usize,
    steps: usize,
    values: usize,
    lower: u32,
    upper: u32,
    used: u8,
}

/// Most states that a step may have before the oldest alternatives no longer branch.
const STATES_MAX: usize = 1 << 12;

impl History {
    /// Starts again with an empty store.
    pub fn clear(&mut self) {
        self.states.clear();
        self.steps.clear();
        self.values.clear();
        self.states.push(State::default());
        self.steps.push(Step { first: 0, count: 1, commit: Commit::Base });
        self.lower = 0;
        self.upper = 0;
        self.used = 0;
    }

    /// The bounds as a pair, for the device's stamps.
    #[must_use]
    pub const fn bounds(&self) -> (u32, u32) {
        (self.lower, self.upper)
    }

    /// The state that readers see now.
    #[must_use]
    pub fn current(&self) -> &State {
        &self.states[self.steps[self.upper as usize].first as usize]
    }

    /// How a step came about.
    #[must_use]
    pub fn commit_of(&self, step: u32) -> Commit {
        self.steps[step as usize].commit
    }

    /// Remembers a value for explanations.
    pub fn learn(&mut self, digest: u128, bytes: u32) {
        self.values.push((digest, bytes));
    }

    /// A commit is submitted: (key, digest or 0 for a delete) changes.
    pub fn submit(&mut self, commit: Commit, changes: &[(usize, u128)]) {
        let last = self.steps[self.upper as usize];
        let first = self.states.len();
        for index in last.first..last.first + last.count {
            let mut state = self.states[index as usize];
            for &(key, value) in changes {
                state.set(key, value);
                self.used |= 1 << key;
            }
            self.states.push(state);
        }
        self.push_step(first, commit);
    }

    fn push_step(&mut self, first: usize, commit: Commit) {
        let count = self.states.len() - first;
        self.steps.push(Step { first: first as u32, count: count as u32, commit });
        self.upper = self.steps.len() as u32 - 1;
    }

    /// The newest commit definitely did not happen. Returns its step, which is gone.
    pub fn retract(&mut self) -> u32 {
        let step = self.steps.pop().expect("a commit was submitted before it is retracted");
        self.states.truncate(step.first as usize);
        let gone = self.upper;
        self.upper -= 1;
        self.lower = self.lower.min(self.upper);
        gone
    }

    /// The newest commit may or may not have happened, now or later: both remain possible.
    pub fn doubt(&mut self) {
        if self.steps.len() < 2 {
            return;
        }
        let before = self.steps[self.upper as usize - 1];
        let range = before.first as usize..(before.first + before.count) as usize;
        let first = self.steps[self.upper as usize].first as usize;
        for index in range {
            let state = self.states[index];
            if self.states.len() - first < STATES_MAX && !self.states[first..].contains(&state) {
                self.states.push(state);
            }
        }
        self.steps[self.upper as usize].count = (self.states.len() - first) as u32;
    }

    /// How many states the store may be in now, as far as its answers tell.
    #[must_use]
    pub fn alternatives(&self) -> u32 {
        self.steps[self.upper as usize].count
    }

    /// Everything submitted is durable.
    pub fn ack(&mut self) {
        self.lower = self.upper;
    }

    /// A store that reads as `state`: the newest step between the bounds that is this.
    #[must_use]
    pub fn find(&self, state: &State, bounds: (u32, u32)) -> Option<u32> {
        (bounds.0..=bounds.1).rev().find(|&step| {
            let step = self.steps[step as usize];
            self.states[step.first as usize..(step.first + step.count) as usize]
                .iter()
                .any(|legal| legal.sum == state.sum && legal.values == state.values)
        })
    }

    /// Whether a read of one key may answer so, given that the store is between the bounds.
    #[must_use]
    pub fn may_read(&self, key: usize, value: u128, bounds: (u32, u32)) -> bool {
        (bounds.0..=bounds.1).any(|step| {
            let step = self.steps[step as usize];
            self.states[step.first as usize..(step.first + step.count) as usize]
                .iter()
                .any(|legal| legal.values[key] == value)
        })
    }

    /// `open` answered and showed `state`: from now on it is the only one that may be recovered.
    pub fn fix(&mut self, state: State) {
        let first = self.states.len();
        self.states.push(state);
        self.push_step(first, Commit::Base);
        self.lower = self.upper;
    }

    /// A point to return to.
    #[must_use]
    pub const fn bookmark(&self) -> Bookmark {
        Bookmark {
            states: self.states.len(),
            steps: self.steps.len(),
            values: self.values.len(),
            lower: self.lower,
            upper: self.upper,
            used: self.used,
        }
    }

    /// Returns to a point.
    pub fn rewind(&mut self, to: Bookmark) {
        self.states.truncate(to.states);
        self.steps.truncate(to.steps);
        self.values.truncate(to.values);
        (self.lower, self.upper, self.used) = (to.lower, to.upper, to.used);
    }

    /// A state in words.
    #[must_use]
    pub fn explain(&self, state: &State) -> String {
        let mut text = String::from("{");
        for (key, &value) in state.values.iter().enumerate() {
            if value == 0 {
                continue;
            }
            let place = self.values.iter().position(|&(digest, _)| digest == value);
            text.push_str(&match place {
                Some(index) => format!(" k{key}=v{index}({} B)", self.values[index].1),
                None => format!(" k{key}=UNKNOWN"),
            });
        }
        text.push_str(" }");
        text
    }

    /// The legal steps in words, at most the last few.
    #[must_use]
    pub fn explain_bounds(&self, bounds: (u32, u32)) -> String {
        let mut text = String::new();
        for step in bounds.0.max(bounds.1.saturating_sub(7))..=bounds.1 {
            let entry = self.steps[step as usize];
            text.push_str(&format!(
                "\n    S{step} ({:?}) {}{}",
                entry.commit,
                self.explain(&self.states[entry.first as usize]),
                if entry.count > 1 { " or alternatives" } else { "" }
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Commit, History, State};

    #[test]
    fn a_prefix_is_legal_and_a_hole_is_not() {
        let mut history = History::default();
        history.clear();
        history.submit(Commit::Put, &[(0, 7)]);
        history.submit(Commit::Put, &[(1, 9)]);
        let mut state = State::default();
        assert_eq!(history.find(&state, (0, 2)), Some(0));
        state.set(1, 9);
        assert_eq!(history.find(&state, (0, 2)), None, "the second commit without the first");
        state.set(0, 7);
        assert_eq!(history.find(&state, (0, 2)), Some(2));
        state.set(1, 0);
        assert_eq!(history.find(&state, (2, 2)), None, "an acknowledged commit is lost");
    }

    #[test]
    fn an_unknown_outcome_leaves_both_states_possible() {
        let mut history = History::default();
        history.clear();
        history.submit(Commit::Put, &[(0, 7)]);
        history.doubt();
        history.submit(Commit::Put, &[(1, 9)]);
        let mut state = State::default();
        state.set(1, 9);
        assert_eq!(history.find(&state, (2, 2)), Some(2));
        state.set(0, 7);
        assert_eq!(history.find(&state, (2, 2)), Some(2));
        assert!(history.retract() == 2 && history.find(&state, (0, 1)).is_none());
    }
}
