//! Looking at a device before there is an engine: is there a superblock, is it blank?

use super::no_device;
use crate::config::Config;
use crate::device::AsyncBlockDevice;
use crate::error::Error;
use crate::format::superblock::{STRIDE_MAX, STRIDE_MIN, SUPERBLOCK_BYTES, Superblock};
use crate::memory::{plan, take_bytes};

/// Bytes at the start of a device that must be blank for `open_or_format`.
const PROBE_BYTES: u64 = 64 << 10;

fn scratch(arena: &mut [u8], align: u32, bytes: usize) -> Option<&mut [u8]> {
    let mut rest = arena;
    take_bytes(&mut rest, bytes, align.max(16) as usize)
}

/// Looks for a superblock: at the start, and if that copy is damaged at the places where the other one may lie.
pub(crate) async fn read_superblock<D: AsyncBlockDevice>(
    device: &mut D,
    arena: &mut [u8],
    config: &Config,
) -> Result<Superblock, Error<D::Error>> {
    let geometry = device.geometry();
    geometry.validate().map_err(Error::Geometry)?;
    let bytes = SUPERBLOCK_BYTES.next_multiple_of(geometry.read_unit as usize);
    let have = arena.len();
    let need = bytes + geometry.buffer_align as usize;
    let buffer =
        scratch(arena, geometry.buffer_align, bytes).ok_or(Error::ArenaTooSmall { need, have })?;
    let mut first = Error::NotAStore;
    let mut at = 0;
    while at <= u64::from(STRIDE_MAX) && at + bytes as u64 <= geometry.capacity {
        match device.read(at, buffer).await {
            Ok(()) => match Superblock::decode(&config.checksums, buffer) {
                Ok(block) => return Ok(block),
                Err(Error::NotAStore) => {}
                // A store, but not one that can be opened: this says more than that no other copy was found.
                Err(error) => first = no_device(error),
            },
            Err(error) if at == 0 => first = Error::Device(error),
            Err(_) => {}
        }
        at = if at == 0 { u64::from(STRIDE_MIN) } else { at * 2 };
    }
    Err(first)
}

/// Whether the start of the device was never written: all zeros or all ones.
async fn is_blank<D: AsyncBlockDevice>(
    device: &mut D,
    arena: &mut [u8],
) -> Result<bool, Error<D::Error>> {
    let geometry = device.geometry();
    let bytes = (geometry.read_unit as usize).max(512);
    let have = arena.len();
    let need = bytes + geometry.buffer_align as usize;
    let buffer =
        scratch(arena, geometry.buffer_align, bytes).ok_or(Error::ArenaTooSmall { need, have })?;
    let mut first = None;
    let mut at = 0;
    while at < PROBE_BYTES.min(geometry.capacity) {
        device.read(at, buffer).await.map_err(Error::Device)?;
        let expected = *first.get_or_insert(buffer[0]);
        if !matches!(expected, 0 | 0xff) || buffer.iter().any(|&byte| byte != expected) {
            return Ok(false);
        }
        at += bytes as u64;
    }
    Ok(true)
}

/// What there is on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A store.
    Store,
    /// Nothing.
    Blank,
}

/// The superblock of the store on the device, or what format would write on a blank one.
pub(crate) async fn read_or_plan<D: AsyncBlockDevice>(
    device: &mut D,
    arena: &mut [u8],
    config: &Config,
) -> Result<(Superblock, Found), Error<D::Error>> {
    match read_superblock(device, arena, config).await {
        Ok(block) => Ok((block, Found::Store)),
        Err(Error::NotAStore) => {
            if !is_blank(device, arena).await? {
                return Err(Error::NotBlank);
            }
            let block = plan(config, &device.geometry()).map_err(no_device)?;
            Ok((block, Found::Blank))
        }
        Err(error) => Err(error),
    }
}
