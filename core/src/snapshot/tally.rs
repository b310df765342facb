//! Counts the slots, hooks and entries that an operation loads or stores: the tests of the bounds
//! read it. Outside tests it is nothing.

#[cfg(test)]
std::thread_local! {
    static TOUCHED: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// One more load or store.
#[inline]
pub(super) fn touch() {
    #[cfg(test)]
    TOUCHED.set(TOUCHED.get() + 1);
}

/// Loads and stores of this thread since it began.
#[cfg(test)]
pub(super) fn touched() -> u64 {
    TOUCHED.get()
}
