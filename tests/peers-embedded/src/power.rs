//! Where and how the power fails.

/// An operation that changes the medium.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Program { at: usize, data: Vec<u8> },
    Erase { at: usize, bytes: usize },
}

/// What is left of the operation that the power failed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing happened.
    Before,
    /// All of it, but nobody was told.
    After,
    /// The first bytes.
    Prefix,
    /// The last bytes.
    Suffix,
    /// A random half of the bits that had to change.
    Random,
    /// Zeros: a chip programs a block to zeros before it erases it.
    Zeroed,
    /// Bits that had to change read as anything, each time anew, until they are erased.
    Unstable,
    /// A word, or half of a block's words, cannot be read.
    Unreadable,
}

/// All modes, in the order of the tables.
pub(crate) const MODES: [Mode; 8] = [
    Mode::Before,
    Mode::After,
    Mode::Prefix,
    Mode::Suffix,
    Mode::Random,
    Mode::Zeroed,
    Mode::Unstable,
    Mode::Unreadable,
];

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Prefix => "prefix",
            Self::Suffix => "suffix",
            Self::Random => "random",
            Self::Zeroed => "zeroed",
            Self::Unstable => "unstable",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The power fails in the change with this index, counted from when it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) at: u64,
    pub(crate) mode: Mode,
}
