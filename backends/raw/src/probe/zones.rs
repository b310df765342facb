//! The two ends of a device as one address space with a hole in the middle.

/// What was read of a device.
pub(super) struct Zones<'b> {
    /// Bytes of the device.
    pub(super) bytes: u64,
    head: &'b [u8],
    tail: &'b [u8],
}

impl<'b> Zones<'b> {
    /// The first and the last bytes of a device of `bytes` bytes; they may overlap.
    pub(super) fn new(bytes: u64, head: &'b [u8], tail: &'b [u8]) -> Self {
        debug_assert!(head.len() as u64 <= bytes && tail.len() as u64 <= bytes);
        Self { bytes, head, tail }
    }

    /// `count` bytes at an address; `None` outside of what was read.
    pub(super) fn at(&self, address: u64, count: usize) -> Option<&'b [u8]> {
        piece(self.head, address, count).or_else(|| {
            let start = self.bytes - self.tail.len() as u64;
            piece(self.tail, address.checked_sub(start)?, count)
        })
    }

    /// Whether these bytes lie at the address.
    pub(super) fn holds(&self, address: u64, magic: &[u8]) -> bool {
        self.at(address, magic.len()) == Some(magic)
    }

    /// Whether they lie so far before the end.
    pub(super) fn holds_before_end(&self, distance: u64, magic: &[u8]) -> bool {
        self.bytes.checked_sub(distance).is_some_and(|address| self.holds(address, magic))
    }

    /// One byte.
    pub(super) fn u8_at(&self, address: u64) -> Option<u8> {
        self.at(address, 1).map(|bytes| bytes[0])
    }

    /// A number of 16 bits, its low byte first.
    pub(super) fn u16_at(&self, address: u64) -> Option<u16> {
        self.at(address, 2)?.try_into().ok().map(u16::from_le_bytes)
    }

    /// A number of 32 bits, its low byte first.
    pub(super) fn u32_at(&self, address: u64) -> Option<u32> {
        self.at(address, 4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Whether each zone is full of zeros, or of ones.
    pub(super) fn are_blank(&self) -> bool {
        is_blank(self.head) && is_blank(self.tail)
    }
}

fn piece(bytes: &[u8], start: u64, count: usize) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    bytes.get(start..start.checked_add(count)?)
}

fn is_blank(bytes: &[u8]) -> bool {
    let first = bytes.first().copied().unwrap_or(0);
    matches!(first, 0 | 0xff) && bytes.iter().all(|&byte| byte == first)
}
