//! What a recorded session did to its device: operations, cut into atoms, and notes between them.
//!
//! Each operation is stamped with the oracle's bounds when it was *issued*: a crash before or inside it must
//! recover to a state between `lower` and `upper`.

use super::rng::digest;

/// What the harness was doing: for the timeline and for coverage marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Inside `format`.
    Format,
    /// Inside `open`.
    Open,
    /// A user's operation.
    Run,
    /// Inside `close`.
    Close,
}

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// A buffered write.
    Write,
    /// A write that is durable when it returns.
    WriteDurable,
    /// A barrier.
    Flush,
    /// A barrier that answered with an error: nothing became durable.
    FlushFailed,
    /// An erase.
    Erase,
    /// A discard.
    Discard,
    /// Not a device operation: the engine gives a range up, it may be written again.
    Free,
    /// Not a device operation: everything flushed so far is acknowledged.
    Ack,
    /// Not a device operation: the power came back or the program was killed; `open` follows.
    Reopen,
    /// Not a device operation: the user operation with this index on the tape starts.
    User(u32),
}

impl OpKind {
    /// Whether the device saw it, so that a crash can be inside.
    #[must_use]
    pub const fn is_device_op(self) -> bool {
        !matches!(self, Self::Free | Self::Ack | Self::Reopen | Self::User(_))
    }
}

/// What an atom does to its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomKind {
    /// Bytes are written (NOR: ANDed in).
    Program,
    /// The range is erased.
    Erase,
    /// The range's content is given up.
    Trim,
}

/// The piece of an operation that tears by itself.
#[derive(Clone, Copy, Debug)]
pub struct Atom {
    /// What it does.
    pub kind: AtomKind,
    /// First byte on the device.
    pub offset: u32,
    /// Its bytes.
    pub bytes: u32,
    /// Where its data starts in [`OpLog::data`]; unused without data.
    pub data: u32,
    /// Index of its operation.
    pub op: u32,
}

/// One entry with its stamps.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// What.
    pub kind: OpKind,
    /// In which phase.
    pub phase: Phase,
    /// Oldest legal step if the power fails before or inside this operation.
    pub lower: u32,
    /// Newest legal step.
    pub upper: u32,
    /// Largest sequence number issued, as far as the harness saw.
    pub seq: u64,
    /// The user's operation that asked for it announced a segment as free.
    pub announces: bool,
    /// It begins the second use of a segment in this session.
    pub reuses: bool,
    /// Old versions were kept for snapshots when the user's operation that asked for it was over.
    pub keeps: bool,
    /// First atom.
    pub first: u32,
    /// One past the last atom.
    pub end: u32,
}

/// A recorded session.
#[derive(Clone, Debug, Default)]
pub struct OpLog {
    /// Entries in order.
    pub ops: Vec<Op>,
    /// Atoms of all entries.
    pub atoms: Vec<Atom>,
    /// Their bytes.
    pub data: Vec<u8>,
}

impl OpLog {
    /// Empties the log, keeps its memory.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.atoms.clear();
        self.data.clear();
    }

    /// Starts an entry; atoms follow with [`atom`](Self::atom).
    pub fn begin(&mut self, kind: OpKind, phase: Phase, bounds: (u32, u32), seq: u64) {
        let first = self.atoms.len() as u32;
        self.ops.push(Op {
            kind,
            phase,
            lower: bounds.0,
            upper: bounds.1,
            seq,
            announces: false,
            reuses: false,
            keeps: false,
            first,
            end: first,
        });
    }

    /// Adds an atom to the newest entry; `data` is empty for erases and trims.
    pub fn atom(&mut self, kind: AtomKind, offset: u32, bytes: u32, data: &[u8]) {
        let op = self.ops.len() as u32 - 1;
        let start = self.data.len() as u32;
        self.data.extend_from_slice(data);
        self.atoms.push(Atom { kind, offset, bytes, data: start, op });
        self.ops[op as usize].end = self.atoms.len() as u32;
    }

    /// The bytes that an atom writes.
    #[must_use]
    pub fn data_of(&self, atom: &Atom) -> &[u8] {
        match atom.kind {
            AtomKind::Program => &self.data[atom.data as usize..(atom.data + atom.bytes) as usize],
            AtomKind::Erase | AtomKind::Trim => &[],
        }
    }

    /// A digest of everything the device was asked: equal for equal tapes.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        let mut sum = digest(&self.data);
        for atom in &self.atoms {
            let place =
                u128::from(atom.offset) << 64 | u128::from(atom.bytes) << 32 | u128::from(atom.op);
            sum = sum.wrapping_mul(0x2545_f491_4f6c_dd1d_8372_1f4b_1b33_1d05).wrapping_add(place);
        }
        for op in &self.ops {
            let kind =
                u128::from(op.kind.is_device_op()) << 8 | u128::from(op.kind == OpKind::Flush);
            sum = sum.wrapping_mul(0x2545_f491_4f6c_dd1d_8372_1f4b_1b33_1d05).wrapping_add(kind);
        }
        sum
    }
}
