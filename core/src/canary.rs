//! Seeded bugs, to prove that the tests can see: with the feature `canaries`, a configuration may name one, and the engine
//! then behaves wrongly in that one way. Without the feature the enum is all that is left of them.

/// The bugs. Each is a mistake that a log store has made, or could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Canary {
    /// A durable write is believed although earlier writes were not flushed.
    FuaOverBuffered,
    /// A session goes on with the boot number of the one before.
    IncarnationReuse,
    /// A resume group behind a torn tail counts as proof of damage.
    ResumeAsCorrupt,
    /// A segment without a header is passed over, though its predecessor's mark tells of it.
    HeaderLost,
    /// Sequence numbers that a crash discarded are given out again.
    SeqReuse,
    /// The first bad group is always damage.
    StopAtFirstBad,
    /// A bad group is always a torn tail.
    RotAsTorn,
    /// Open shows what it read without making it durable.
    NoRecoverFlush,
    /// A session appends behind a torn tail without a resume group.
    AppendAfterTorn,
    /// A batch is written as one group for each record.
    NoBatchCommit,
    /// Recovery indexes records of groups whose checksum it did not compare.
    KeyBeforeCrc,
    /// Hints are believed without their checksum.
    HintUnverified,
    /// A record that fails its checksum is reported as missing.
    SkipBad,
    /// A failed flush is tried again and believed.
    FlushRetry,
    /// Checksums are not seeded.
    NoSalt,
    /// A new segment's header is not flushed before its groups are written.
    RollNoFlush,
    /// A segment's successor is not marked in it.
    NoMark,
    /// A sync returns when the write does.
    AckBeforeFlush,
    /// A failed write counts as done.
    WriteErrorSwallowed,
    /// A header is believed without proof that the flush behind it succeeded.
    HeaderUnproven,
    /// A merged segment is given back before its announcement is durable.
    FreeBeforeDurable,
    /// A cycle starts two free segments too late.
    FreeTargetTooSmall,
    /// A tombstone is dropped when its segment is merged.
    DropTombstone,
    /// A copy takes a new sequence.
    MergeBumpsSeq,
    /// The copy of an old version does not say that it is one.
    NoOldFlag,
    /// A merge judges a record when it reads it, and points the entry to the copy without looking again.
    LiveAtRead,
    /// A merge believes groups whose checksum it did not compare, and takes a record of a key without an entry for the
    /// newest one.
    MergeRaw,
    /// Recovery reads segments that were announced as free.
    AnnouncementIgnored,
    /// A segment is announced as free before it is walked.
    AnnounceBeforeCopies,
    /// The copies of a merge have no hints.
    CopyWithoutHint,
    /// Headers list a segment that was given back.
    KeepFreedInBitmap,
    /// Puts are let in however much is alive.
    NoAdmission,
    /// A merge forgets records that it cannot read.
    RotDropped,
    /// A tombstone is dropped as soon as the segment with the record that it hides is being merged, before that is given back.
    FreeBeforeSuperseder,
    /// On flash a session goes on right behind the last whole group, wherever a torn one has programmed something.
    ReissueOnNor,
    /// On flash a free segment that reads as erased is written as it is.
    TrustBlank,
}

impl Canary {
    /// The bug of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|canary| canary.name() == name)
    }

    /// Its name: that of the variant.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FuaOverBuffered => "FuaOverBuffered",
            Self::IncarnationReuse => "IncarnationReuse",
            Self::ResumeAsCorrupt => "ResumeAsCorrupt",
            Self::HeaderLost => "HeaderLost",
            Self::SeqReuse => "SeqReuse",
            Self::StopAtFirstBad => "StopAtFirstBad",
            Self::RotAsTorn => "RotAsTorn",
            Self::NoRecoverFlush => "NoRecoverFlush",
            Self::AppendAfterTorn => "AppendAfterTorn",
            Self::NoBatchCommit => "NoBatchCommit",
            Self::KeyBeforeCrc => "KeyBeforeCrc",
            Self::HintUnverified => "HintUnverified",
            Self::SkipBad => "SkipBad",
            Self::FlushRetry => "FlushRetry",
            Self::NoSalt => "NoSalt",
            Self::RollNoFlush => "RollNoFlush",
            Self::NoMark => "NoMark",
            Self::AckBeforeFlush => "AckBeforeFlush",
            Self::WriteErrorSwallowed => "WriteErrorSwallowed",
            Self::HeaderUnproven => "HeaderUnproven",
            Self::FreeBeforeDurable => "FreeBeforeDurable",
            Self::FreeTargetTooSmall => "FreeTargetTooSmall",
            Self::DropTombstone => "DropTombstone",
            Self::MergeBumpsSeq => "MergeBumpsSeq",
            Self::NoOldFlag => "NoOldFlag",
            Self::LiveAtRead => "LiveAtRead",
            Self::MergeRaw => "MergeRaw",
            Self::AnnouncementIgnored => "AnnouncementIgnored",
            Self::AnnounceBeforeCopies => "AnnounceBeforeCopies",
            Self::CopyWithoutHint => "CopyWithoutHint",
            Self::KeepFreedInBitmap => "KeepFreedInBitmap",
            Self::NoAdmission => "NoAdmission",
            Self::RotDropped => "RotDropped",
            Self::FreeBeforeSuperseder => "FreeBeforeSuperseder",
            Self::ReissueOnNor => "ReissueOnNor",
            Self::TrustBlank => "TrustBlank",
        }
    }

    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::FuaOverBuffered,
        Self::IncarnationReuse,
        Self::ResumeAsCorrupt,
        Self::HeaderLost,
        Self::SeqReuse,
        Self::StopAtFirstBad,
        Self::RotAsTorn,
        Self::NoRecoverFlush,
        Self::AppendAfterTorn,
        Self::NoBatchCommit,
        Self::KeyBeforeCrc,
        Self::HintUnverified,
        Self::SkipBad,
        Self::FlushRetry,
        Self::NoSalt,
        Self::RollNoFlush,
        Self::NoMark,
        Self::AckBeforeFlush,
        Self::WriteErrorSwallowed,
        Self::HeaderUnproven,
        Self::FreeBeforeDurable,
        Self::FreeTargetTooSmall,
        Self::DropTombstone,
        Self::MergeBumpsSeq,
        Self::NoOldFlag,
        Self::LiveAtRead,
        Self::MergeRaw,
        Self::AnnouncementIgnored,
        Self::AnnounceBeforeCopies,
        Self::CopyWithoutHint,
        Self::KeepFreedInBitmap,
        Self::NoAdmission,
        Self::RotDropped,
        Self::FreeBeforeSuperseder,
        Self::ReissueOnNor,
        Self::TrustBlank,
    ];
}

/// The canary of one store: none, unless the feature is on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cage {
    #[cfg(feature = "canaries")]
    canary: Option<Canary>,
}

impl Cage {
    #[cfg(feature = "canaries")]
    pub(crate) const fn new(canary: Option<Canary>) -> Self {
        Self { canary }
    }

    /// Whether this bug is seeded. Constant without the feature.
    #[cfg(feature = "canaries")]
    pub(crate) fn holds(self, canary: Canary) -> bool {
        self.canary == Some(canary)
    }

    /// Whether this bug is seeded. Constant without the feature.
    #[cfg(not(feature = "canaries"))]
    pub(crate) const fn holds(self, canary: Canary) -> bool {
        let _ = (self, canary);
        false
    }
}
