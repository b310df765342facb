//! Buffers that device transfers go through: each thread keeps its last one for the next.

use core::cell::Cell;

use emberkv_file::AlignedBuffer;

thread_local! {
    /// The buffer of this thread's last transfer.
    static BOUNCE: Cell<Option<AlignedBuffer>> = const { Cell::new(None) };
}

/// Buffers start at a multiple of this: what any direct I/O asks for.
const BUFFER_ALIGN: usize = 4096;
/// Larger buffers are not kept.
pub(crate) const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// A buffer of at least so many bytes; this thread's own where that is large enough.
pub(crate) fn take_buffer(bytes: usize) -> AlignedBuffer {
    match BOUNCE.take().filter(|buffer| buffer.len() >= bytes) {
        Some(buffer) => buffer,
        None => AlignedBuffer::new(bytes.next_power_of_two().max(64 << 10), BUFFER_ALIGN),
    }
}

/// Keeps a buffer for this thread's next transfer.
pub(crate) fn keep_buffer(buffer: AlignedBuffer) {
    if buffer.len() <= BUFFER_KEPT_BYTES {
        BOUNCE.set(Some(buffer));
    }
}
