//! Reading back what was programmed or erased: a worn NOR block reports success and keeps its old
//! bits, and only reading shows it.

/// Whether a NOR device reads back what it programmed or erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Read back and compare; a difference is an error of kind
    /// [`Media`](emberkv_core::DeviceErrorKind::Media), and the engine writes elsewhere. Costs one
    /// read of the same bytes, a fraction of the time that programming takes.
    ReadBack,
    /// Believe the medium.
    Trust,
}

/// Bytes that are read back at once.
#[cfg(any(feature = "embedded-storage", feature = "spi-nor"))]
pub(crate) const PIECE: usize = 128;

/// Room for a piece, aligned for media that move data by DMA: to the cache lines of a Cortex-M7. Every future that
/// programs holds one.
#[cfg(any(feature = "embedded-storage", feature = "spi-nor"))]
#[repr(align(32))]
pub(crate) struct Piece(pub(crate) [u8; PIECE]);

/// The greatest alignment that a piece has.
#[cfg(feature = "embedded-storage")]
pub(crate) const PIECE_ALIGN: u32 = align_of::<Piece>() as u32;

/// What a range must hold.
#[cfg(any(feature = "embedded-storage", feature = "spi-nor"))]
#[derive(Clone, Copy)]
pub(crate) enum Want<'b> {
    /// These bytes.
    Bytes(&'b [u8]),
    /// This byte, so often.
    Erased(u8, u64),
}

#[cfg(any(feature = "embedded-storage", feature = "spi-nor"))]
impl Want<'_> {
    /// Bytes of the range.
    pub(crate) const fn len(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Erased(_, length) => length,
        }
    }

    /// Where `found`, read `offset` bytes behind the range's start, first differs.
    pub(crate) fn differs(self, offset: u64, found: &[u8]) -> Option<usize> {
        match self {
            // The offset is inside a slice, so it fits.
            Self::Bytes(bytes) => {
                found.iter().zip(&bytes[offset as usize..]).position(|(found, want)| found != want)
            }
            Self::Erased(byte, _) => found.iter().position(|found| *found != byte),
        }
    }
}
