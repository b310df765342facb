//! What is on a device: nothing, a store, something of somebody else.
//!
//! ```text
//! | first MiB: file systems, volumes, partition tables | .. | last MiB: backups, RAID, ZFS |
//! ```
//!
//! The two zones are read and compared with the signatures that file systems, volume managers,
//! partition tables and other stores leave. Nothing is ever written here. Whatever is neither known
//! nor blank counts as somebody's data all the same, so a signature that is missing from the list
//! costs a name, not the data.
//!
//! Works on anything that can be read at an address: a device, a file, a slice. Used by
//! [`RawDevice::open`](crate::RawDevice::open) and [`RawDevice::claim`](crate::RawDevice::claim).

mod checks;
mod magics;
mod signature;
mod zones;

use core::fmt;
use core::str::FromStr;

use emberkv_core::format::superblock::{MAGIC, STRIDE_MAX, STRIDE_MIN};
use emberkv_file::AlignedBuffer;

pub use signature::{Signature, UnknownName};
use zones::Zones;

/// Bytes at each end of a device that are looked at.
pub const ZONE_BYTES: u64 = 1 << 20;

/// Bytes read on their own: whole sectors of any device. Once at the start, and once behind the
/// first zone, where the farthest second superblock of a store begins.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes at the start where anything may be found.
pub(crate) const HEAD_BYTES: u64 = ZONE_BYTES + PIECE_BYTES as u64;

const _: () = assert!(STRIDE_MAX as u64 == ZONE_BYTES);

/// What is on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Each zone is full of zeros or of ones: never written, or erased.
    Blank,
    /// A store of EmberKV, of whatever version and sound or not.
    Ember,
    /// Something that is known. Where there are several, what holds the others: a member of an
    /// array before a partition table, that before a file system.
    Foreign(Signature),
    /// Neither blank nor known.
    Unknown,
}

impl Content {
    /// One word for it: what [`FromStr`] reads and the command line takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Ember => "ember",
            Self::Foreign(signature) => signature.name(),
            Self::Unknown => "unknown",
        }
    }
}

/// For a sentence: "it holds ..".
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("nothing"),
            Self::Ember => f.write_str("an EmberKV store"),
            Self::Foreign(signature) => signature.fmt(f),
            Self::Unknown => f.write_str("data of an unknown kind"),
        }
    }
}

impl FromStr for Content {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "blank" => Ok(Self::Blank),
            "ember" => Ok(Self::Ember),
            "unknown" => Ok(Self::Unknown),
            other => other.parse().map(Self::Foreign),
        }
    }
}

/// Looks at a device of `bytes` bytes. `read_at` fills a buffer from an address; both, and the
/// buffer in memory, are aligned to 4,096 as far as `bytes` is.
///
/// # Errors
/// The first error of `read_at`.
///
/// ```
/// use emberkv_raw::probe::{Content, Signature, content};
///
/// let mut image = vec![0; 4 << 20];
/// let look = |image: &[u8]| {
///     content(image.len() as u64, |address, buffer: &mut [u8]| {
///         let start = address as usize;
///         buffer.copy_from_slice(&image[start..start + buffer.len()]);
///         Ok::<(), core::convert::Infallible>(())
///     })
/// };
/// assert_eq!(look(&image), Ok(Content::Blank));
/// image[0..4].copy_from_slice(b"XFSB");
/// assert_eq!(look(&image), Ok(Content::Foreign(Signature::Xfs)));
/// ```
pub fn content<E>(
    bytes: u64,
    mut read_at: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Content, E> {
    let mut buffer = AlignedBuffer::new(2 * ZONE_BYTES as usize + PIECE_BYTES, 4096);
    let (head, rest) = buffer.as_mut_slice().split_at_mut(ZONE_BYTES as usize);
    let (tail, farthest) = rest.split_at_mut(ZONE_BYTES as usize);
    let zone = bytes.min(ZONE_BYTES);
    let (head, tail) = (&mut head[..zone as usize], &mut tail[..zone as usize]);
    let (first, others) = head.split_at_mut(head.len().min(PIECE_BYTES));
    read_at(0, first)?;
    // A store in good health: whatever lies further on is its data, which may look like anything,
    // and need not be read.
    if first.starts_with(&MAGIC) {
        return Ok(Content::Ember);
    }
    read_at(first.len() as u64, others)?;
    read_at(bytes - zone, tail)?;
    if bytes >= HEAD_BYTES {
        read_at(ZONE_BYTES, farthest)?;
    }
    let zones = Zones::new(bytes, head, tail);
    Ok(match checks::signature(&zones) {
        Some(signature) => Content::Foreign(signature),
        None if second_superblock(head, farthest) => Content::Ember,
        None if zones.are_blank() => Content::Blank,
        None => Content::Unknown,
    })
}

/// Whether the first superblock of a store was lost, and the second is there.
fn second_superblock(head: &[u8], farthest: &[u8]) -> bool {
    let strides =
        (STRIDE_MIN.trailing_zeros()..STRIDE_MAX.trailing_zeros()).map(|shift| 1 << shift);
    farthest.starts_with(&MAGIC)
        || strides
            .into_iter()
            .any(|at: usize| head.get(at..).is_some_and(|b| b.starts_with(&MAGIC)))
}
