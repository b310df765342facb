//! Figures about an open store, all of them O(1) or O(segments) to take.

use crate::types::{Boot, Seq};

/// What a store looks like now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Keys that have a value.
    pub keys: u64,
    /// Keydir entries in use: keys, deleted keys, chunks.
    pub entries: u64,
    /// Entries that the keydir holds at most.
    pub entries_max: u64,
    /// Bytes of the newest records, deleted keys' ones among them.
    pub live_bytes: u64,
    /// Bytes of groups in all segments in use.
    pub used_bytes: u64,
    /// Bytes of the device now.
    pub capacity: u64,
    /// Bytes that the store can grow to: the device's limit and the superblock's, the smaller.
    pub capacity_max: u64,
    /// Bytes of a segment.
    pub segment_bytes: u32,
    /// Segments on the device.
    pub segments: u32,
    /// Segments without data.
    pub segments_free: u32,
    /// The fewest that were free at any moment of this session: merging keeps this above 0.
    pub segments_free_min: u32,
    /// Segments that are full.
    pub segments_sealed: u32,
    /// Bytes of a page and of a frame.
    pub page_bytes: u32,
    /// Frames of the pool.
    pub frames: u32,
    /// What commits are padded to, in bytes.
    pub commit_unit: u32,
    /// Longest key.
    pub key_bytes_max: u32,
    /// Most bytes of one record; longer values are chunked.
    pub record_bytes_max: u32,
    /// The format version.
    pub format_version: u16,
    /// The session, as written to the medium by those that write.
    pub boot: Boot,
    /// The newest sequence that was given out.
    pub seq: Seq,
    /// Everything up to here is durable.
    pub durable_seq: Seq,
    /// Snapshots that are held.
    pub snapshots: u32,
    /// Old versions that are kept for them, or wait to be given back.
    pub versions: u32,
    /// The oldest sequence that a snapshot reads at.
    pub watermark: Option<Seq>,
    /// Segments that this open took from hints.
    pub opened_by_hints: u32,
    /// Segments that this open scanned.
    pub opened_by_scan: u32,
    /// Segment headers that this open read from another copy, because the first one is damaged.
    pub headers_repaired: u32,
    /// Device writes that failed and were placed elsewhere, or were a spare copy.
    pub write_faults: u64,
    /// Most bytes that live records may take, each with what a merge adds to it; beyond it puts answer `Full`.
    pub live_bytes_max: u64,
    /// What the live records take of that.
    pub live_cost: u64,
    /// Bytes that this session appended for users, padding and hints included.
    pub appended_bytes: u64,
    /// Bytes that this session appended for copies.
    pub copied_bytes: u64,
    /// Bytes of merge work of this session, read and written.
    pub merge_work: u64,
    /// Fewest bytes that the merge of one segment gives back; 0 where segments are too small for merges.
    pub merge_gain_min: u32,
    /// Segments that this session gave back.
    pub segments_merged: u64,
    /// Segments that this session announced as free; given back once that is durable.
    pub segments_announced: u64,
    /// Segments, the oldest at the time, that this session swept.
    pub segments_swept: u64,
    /// Tombstones that no other segment needed any more: this session's merges left them behind.
    pub tombstones_retired: u64,
    /// Tombstones that this session's merges copied.
    pub tombstones_copied: u64,
    /// Segments that this open did not read, because an announcement says that they are free.
    pub opened_past_announced: u32,
    /// Segments kept although records in them cannot be read.
    pub segments_damaged: u32,
    /// Damaged places that this open went on behind.
    pub damages: u64,
    /// Keys whose newest record is older than this answer `Corrupted`: a newer one may be lost. 0 where nothing is in doubt.
    pub doubt: Seq,
    /// Bytes that this session's scrub verified.
    pub scrub_bytes: u64,
    /// Passes over all segments that it ended.
    pub scrub_passes: u64,
    /// Damaged places that it met, the same one once in every pass.
    pub scrub_damages: u64,
    /// A flush failed: nothing is written any more.
    pub poisoned: bool,
}

/// What one segment in use holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentStats {
    /// The sequence at which it was opened: the smaller, the older.
    pub open_seq: Seq,
    /// What keeping its live records would cost, in bytes: of that [`Stats::live_cost`] is the sum.
    pub live_cost: u32,
    /// Whether records are appended to it now.
    pub is_head: bool,
}
