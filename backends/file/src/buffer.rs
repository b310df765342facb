//! Memory at an aligned address, as direct I/O needs it, without unsafe code.

use core::fmt;
use core::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Longest buffer that asks for huge pages. A longer one is mostly room that is kept for later, of which a huge page
/// would commit far more than is used.
const HUGE_BYTES_MAX: usize = 256 << 20;

/// Zeroed bytes that start at a multiple of an alignment: the arena of a store on a
/// [`FileDevice`](crate::FileDevice), for instance.
///
/// The memory is asked for as zeros, so the operating system provides a page of it when that is
/// first written. Up to 256 MiB, Linux is asked for huge pages, where it has some: a keydir is read
/// at random, and opens a store of a million keys twice as fast with them.
///
/// ```
/// let mut buffer = emberkv_file::AlignedBuffer::new(8192, 4096);
/// assert_eq!(buffer.as_ptr().addr() % 4096, 0);
/// buffer.as_mut_slice()[0] = 1;
/// ```
pub struct AlignedBuffer {
    /// Longer than needed by the alignment less one byte; never resized, so it never moves.
    memory: MmapMut,
    start: usize,
    bytes: usize,
}

impl AlignedBuffer {
    /// `bytes` zeros at a multiple of `align`.
    ///
    /// # Panics
    /// `align` is not a power of two, or there is no such amount of memory.
    #[must_use]
    pub fn new(bytes: usize, align: usize) -> Self {
        Self::with_huge_front(bytes, align, bytes)
    }

    /// The same, where only the first `front` bytes may be huge pages: what lies behind is used so
    /// sparsely that each byte touched there would commit a huge page, and wait for it.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_huge_front(bytes: usize, align: usize, front: usize) -> Self {
        assert!(align.is_power_of_two(), "an alignment is a power of two, not {align}");
        let most = bytes.checked_add(align).expect("the length of a buffer fits the address space");
        let memory = MmapMut::map_anon(most).expect("there is memory for the buffer");
        #[cfg(target_os = "linux")]
        if bytes <= HUGE_BYTES_MAX {
            // A kernel without huge pages refuses: the memory is as good, only slower.
            let _ = memory.advise_range(memmap2::Advice::HugePage, 0, front.min(bytes));
        }
        // At run time this is exact: fewer than `align` bytes.
        let start = memory.as_ptr().align_offset(align);
        assert!(start < align, "a byte pointer can be aligned");
        Self { memory, start, bytes }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.bytes]
    }

    /// The bytes, to be changed.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.bytes]
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsMut<[u8]> for AlignedBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

/// The length only: an arena holds the user's data, and a lot of it.
impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
