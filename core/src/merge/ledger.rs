//! The ledger of one cycle: how much merge work a number of appended bytes must have paid for.
//!
//! Both debts are known when the cycle starts. The work that is owed follows from the *total* appended since then, so that
//! rounding never compounds:
//!
//! ```text
//! target(nominal) = floor(nominal * merge_debt / nominal_debt)      0 at the start, exactly merge_debt at the end
//! ```
//! The scheme is that of incremental merges in log-structured trees with credits (Haskell's lsm-tree); here the debt is
//! that of one victim, and what was paid too much goes on to the next.

/// Bytes that appends consume of the log: records, group headers and trailers, hints, padding, ends of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NominalBytes(pub(crate) u64);

/// Bytes of merge work: read from victims, and appended for copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergeBytes(pub(crate) u64);

/// The account of one cycle. Invariants: both debts are positive, `spent` never falls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    nominal_debt: NominalBytes,
    merge_debt: MergeBytes,
    /// Total of nominal bytes when the cycle started, less what was paid too much before.
    start: NominalBytes,
    spent: MergeBytes,
}

impl Ledger {
    /// A cycle that starts when `start` nominal bytes were appended in all.
    ///
    /// # Panics
    /// If a debt is 0: such a victim gives nothing back.
    #[must_use]
    pub(crate) fn new(
        nominal_debt: NominalBytes,
        merge_debt: MergeBytes,
        start: NominalBytes,
    ) -> Self {
        assert!(nominal_debt.0 > 0 && merge_debt.0 > 0, "a cycle gives bytes back for work");
        Self { nominal_debt, merge_debt, start, spent: MergeBytes(0) }
    }

    /// Work done.
    #[must_use]
    pub(crate) const fn spent(&self) -> MergeBytes {
        self.spent
    }

    /// Work that must be done before the total of nominal bytes may become `total`.
    #[must_use]
    pub(crate) fn target(&self, total: NominalBytes) -> MergeBytes {
        let nominal = total.0.saturating_sub(self.start.0);
        if nominal >= self.nominal_debt.0 {
            return self.merge_debt;
        }
        let scaled = u128::from(nominal) * u128::from(self.merge_debt.0);
        MergeBytes((scaled / u128::from(self.nominal_debt.0)) as u64)
    }

    /// Whether the cycle must be complete before the total may become `total`.
    #[must_use]
    pub(crate) fn is_due(&self, total: NominalBytes) -> bool {
        total.0.saturating_sub(self.start.0) >= self.nominal_debt.0
    }

    /// Work was done.
    pub(crate) fn spend(&mut self, work: MergeBytes) {
        self.spent.0 += work.0;
    }

    /// Where the next cycle's account starts: what was appended beyond this one's debt counts for that one.
    #[must_use]
    pub(crate) fn end(&self, total: NominalBytes) -> NominalBytes {
        NominalBytes(
            total.0.min(self.start.0.saturating_add(self.nominal_debt.0)).max(self.start.0),
        )
    }

    /// Work that is left, at most.
    #[must_use]
    pub(crate) const fn left(&self) -> MergeBytes {
        MergeBytes(self.merge_debt.0.saturating_sub(self.spent.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, MergeBytes, NominalBytes};

    #[test]
    fn the_target_is_exact_at_both_ends_and_rounds_down_in_between() {
        for (nominal, merge) in [(1, 1), (3, 7), (7, 3), (1 << 30, 3 << 30), (u64::MAX / 2, 5)] {
            let ledger = Ledger::new(NominalBytes(nominal), MergeBytes(merge), NominalBytes(100));
            assert_eq!(ledger.target(NominalBytes(100)), MergeBytes(0));
            assert_eq!(ledger.target(NominalBytes(99)), MergeBytes(0));
            assert_eq!(ledger.target(NominalBytes(100 + nominal)), MergeBytes(merge));
            assert_eq!(ledger.target(NominalBytes(u64::MAX)), MergeBytes(merge));
            let half = u128::from(nominal / 2) * u128::from(merge) / u128::from(nominal);
            assert_eq!(u128::from(ledger.target(NominalBytes(100 + nominal / 2)).0), half);
        }
    }

    #[test]
    fn many_small_deposits_owe_what_one_large_one_does() {
        let ledger = Ledger::new(NominalBytes(1000), MergeBytes(777), NominalBytes(0));
        let mut spent = 0;
        for total in 1..=1000 {
            spent += ledger.target(NominalBytes(total)).0 - spent;
        }
        assert_eq!(spent, 777);
    }

    #[test]
    fn what_exceeds_the_debt_counts_for_the_next_cycle_and_what_is_short_of_it_does_not() {
        let ledger = Ledger::new(NominalBytes(50), MergeBytes(10), NominalBytes(100));
        assert_eq!(ledger.end(NominalBytes(170)), NominalBytes(150));
        assert_eq!(ledger.end(NominalBytes(120)), NominalBytes(120));
        assert!(ledger.is_due(NominalBytes(150)) && !ledger.is_due(NominalBytes(149)));
    }
}
