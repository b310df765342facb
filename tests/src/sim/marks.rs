//! Coverage marks and counts: rare states that a long run must have reached, or it proves little.

use std::fmt::Write as _;

macro_rules! marks {
    ($($name:ident = $text:literal,)*) => {
        /// A rare state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Mark { $(#[doc = $text] $name,)* }

        /// All marks with their names.
        pub const MARKS: &[(Mark, &str)] = &[$((Mark::$name, $text),)*];
    };
}

marks! {
    TornTailCut = "commits that were not acknowledged are cut off",
    UnackedKept = "commits that were not acknowledged survive",
    BatchCut = "the first lost commit is a batch",
    DeleteCut = "the first lost commit is a delete",
    StreamCut = "the first lost commit is a stream",
    StreamKept = "the newest recovered commit is a stream",
    CrashInFormat = "crash inside format",
    CrashInOpen = "crash inside open",
    CrashInClose = "crash inside close",
    CrashInFlush = "crash inside a flush",
    CrashInErase = "crash inside an erase",
    CrashAtSegmentStart = "crash inside the first write of a segment",
    CrashInFirstSector = "crash inside a write to the first segment's worth of bytes",
    DurableWriteInFlight = "crash inside a durable write",
    Unreadable = "a torn unit that cannot be read",
    Weak = "a torn program that reads well once",
    Unstable = "an erase that looks done",
    Garbage = "a torn write that destroys its whole tear unit",
    RecoveryWrote = "open wrote to the medium",
    RecoveryClean = "open wrote nothing after a crash",
    DepthTwo = "second crash in a row",
    DepthThree = "third crash in a row",
    Killed = "the program died with writes in the device's cache",
    PowerCut = "a power cut asked for by the tape",
    Full = "the store was full",
    BatchTooLarge = "a batch was too large",
    BatchAborted = "a batch was dropped",
    ShortStream = "a stream ended early",
    EmptyValue = "an empty value",
    MediumInValue = "a value holds bytes of the medium",
    EmptyStore = "recovered with no keys",
    SecondOpen = "opened twice without writes between",
    ReadOnlyOpen = "opened read-only",
    Progress = "a recovered store took a put",
    Announced = "a segment was announced as free",
    Freed = "a segment was given back",
    Reused = "a segment was opened for the second time",
    CrashInAnnouncement = "crash while a segment was being announced",
    CrashInReuse = "crash between the opening of a freed segment and the proof of its header",
    PassedOver = "recovery passed over a segment that was announced",
    TombstoneRetired = "a merge dropped a tombstone",
    TombstoneCopied = "a merge copied a tombstone",
    Swept = "the sweep went through a segment",
    DamagedKept = "a damaged segment was kept",
    CycleCutShort = "a store was opened in the middle of a cycle",
    NotAdmitted = "a store that merges refused a put",
    DeleteOnFull = "a delete on a full store",
    RoomAgain = "a full store took a put after deletes and merges",
    Snapshot = "a snapshot was taken",
    SnapshotsFull = "there was no place for a snapshot",
    OldRead = "a snapshot showed something else than the store",
    VersionsKept = "a crash while old versions were kept",
    VersionsFull = "the version table was full",
    Expired = "a snapshot expired",
    OldMoved = "a merge ran while old versions were kept",
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Crash images checked.
    pub images: u64,
    /// Of these, by the number of crashes in a row minus one.
    pub depth: [u64; 4],
    /// Images skipped because an equal one was checked.
    pub duplicates: u64,
    /// Tapes run.
    pub tapes: u64,
    /// Opens.
    pub opens: u64,
    /// Hits of each mark.
    pub hits: [u64; MARKS.len()],
    /// Bits that the engine's own marks set.
    pub engine: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            images: 0,
            depth: [0; 4],
            duplicates: 0,
            tapes: 0,
            opens: 0,
            hits: [0; MARKS.len()],
            engine: 0,
        }
    }
}

/// Marks that no tape reaches now: no profile has weak bits, the batches of tapes are smaller than any pool's limit (the
/// suite `regressions` has one that is not), and a crash damages no segment (the suite `rot` has that).
const UNREACHED: [Mark; 3] = [Mark::Weak, Mark::BatchTooLarge, Mark::DamagedKept];

impl Tally {
    /// Counts a hit.
    pub const fn mark(&mut self, mark: Mark) {
        self.hits[mark as usize] += 1;
    }

    /// Counts a hit if `yes`.
    pub const fn mark_if(&mut self, yes: bool, mark: Mark) {
        if yes {
            self.mark(mark);
        }
    }

    /// Images with at least two crashes in a row.
    #[must_use]
    pub fn deep(&self) -> u64 {
        self.depth[1..].iter().sum()
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.duplicates += other.duplicates;
        self.tapes += other.tapes;
        self.opens += other.opens;
        self.engine |= other.engine;
        for (sum, more) in self.depth.iter_mut().zip(other.depth) {
            *sum += more;
        }
        for (sum, more) in self.hits.iter_mut().zip(other.hits) {
            *sum += more;
        }
    }

    /// The marks without hits.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        MARKS
            .iter()
            .filter(|(mark, _)| self.hits[*mark as usize] == 0)
            .filter(|(mark, _)| !UNREACHED.iter().any(|&other| other as usize == *mark as usize))
            .map(|(_, name)| *name)
            .collect()
    }

    /// The marks with their hits, one per line.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (mark, name) in MARKS {
            let _ = writeln!(text, "{:>12}  {name}", self.hits[*mark as usize]);
        }
        text
    }
}
