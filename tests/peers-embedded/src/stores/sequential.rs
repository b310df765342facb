//! sequential-storage's map: without caches, and with all of them, which its README recommends
//! where memory allows.
//!
//! A delete is `remove_item`, which needs flash that takes a second program of a word.

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use sequential_storage::cache::key_pointers::ArrayKeyPointers;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::ArrayPageStates;
use sequential_storage::cache::{Cache, CacheImpl};
use sequential_storage::map::{MapConfig, MapStorage};

use super::{now, said};
use crate::nor::{Fault, Flash, WORD};
use crate::store::{Family, Outcome, Start, Store, VALUE_BYTES_MAX, Work};

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Misuse => NorFlashErrorKind::NotAligned,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// The chip as `embedded-storage-async` sees it.
pub(crate) struct Chip<const BLOCK: usize, const COUNT: usize>(Flash<BLOCK, COUNT>);

impl<const BLOCK: usize, const COUNT: usize> ErrorType for Chip<BLOCK, COUNT> {
    type Error = Fault;
}

impl<const BLOCK: usize, const COUNT: usize> ReadNorFlash for Chip<BLOCK, COUNT> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.0.0.borrow_mut().read(offset as usize, bytes)
    }
    fn capacity(&self) -> usize {
        BLOCK * COUNT
    }
}

impl<const BLOCK: usize, const COUNT: usize> NorFlash for Chip<BLOCK, COUNT> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        self.0.0.borrow_mut().erase(from as usize..to as usize)
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.0.0.borrow_mut().program(offset as usize, bytes)
    }
}

impl<const BLOCK: usize, const COUNT: usize> MultiwriteNorFlash for Chip<BLOCK, COUNT> {}

struct Open<const BLOCK: usize, const COUNT: usize, C: CacheImpl<u16>> {
    map: MapStorage<u16, Chip<BLOCK, COUNT>, C>,
    buffer: [u8; VALUE_BYTES_MAX + 64],
}

impl<const BLOCK: usize, const COUNT: usize, C: CacheImpl<u16>> Store for Open<BLOCK, COUNT, C> {
    fn put(&mut self, key: u16, value: &[u8]) -> Outcome {
        now(self.map.store_item(&mut self.buffer, &key, &value)).map_err(said)
    }
    fn get(&mut self, key: u16, value: &mut Vec<u8>) -> Outcome<bool> {
        let found = now(self.map.fetch_item::<&[u8]>(&mut self.buffer, &key)).map_err(said)?;
        value.clear();
        value.extend_from_slice(found.unwrap_or_default());
        Ok(found.is_some())
    }
    fn delete(&mut self, key: u16) -> Outcome {
        now(self.map.remove_item(&mut self.buffer, &key)).map_err(said)
    }
    fn fold(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Outcome {
        now(async {
            let mut items = self.map.fetch_all_items(&mut self.buffer).await.map_err(said)?;
            while let Some((key, value)) =
                items.next::<&[u8]>(&mut self.buffer).await.map_err(said)?
            {
                each(key, value);
            }
            Ok(())
        })
    }
}

fn work_with<const BLOCK: usize, const COUNT: usize, C: CacheImpl<u16>>(
    flash: &Flash<BLOCK, COUNT>,
    cache: C,
    start: Start,
    work: Work<'_>,
) -> Outcome {
    let config = MapConfig::new(0..(BLOCK * COUNT) as u32);
    let map = MapStorage::new(Chip(flash.clone()), config, cache);
    let mut open = Open { map, buffer: [0; VALUE_BYTES_MAX + 64] };
    if start == Start::Format {
        now(open.map.erase_all()).map_err(said)?;
    }
    work(&mut open)
}

/// Without caches.
pub(crate) struct Uncached;

impl<const BLOCK: usize, const COUNT: usize> Family<BLOCK, COUNT> for Uncached {
    fn name(&self) -> &'static str {
        "sequential"
    }
    fn ram_bytes(&self, _keys: usize) -> usize {
        VALUE_BYTES_MAX + 64 + 24
    }
    fn session(&self, flash: &Flash<BLOCK, COUNT>, start: Start, work: Work<'_>) -> Outcome {
        work_with(flash, Cache::new_uncached(), start, work)
    }
}

/// With all three caches, the one for keys large enough for all of them.
pub(crate) struct Cached;

impl<const BLOCK: usize, const COUNT: usize> Family<BLOCK, COUNT> for Cached {
    fn name(&self) -> &'static str {
        "seq. cached"
    }
    fn ram_bytes(&self, keys: usize) -> usize {
        let keys_bytes = (size_of::<u16>() + 4) * keys;
        VALUE_BYTES_MAX + 64 + 24 + 9 * COUNT + keys_bytes
    }
    fn session(&self, flash: &Flash<BLOCK, COUNT>, start: Start, work: Work<'_>) -> Outcome {
        let cache = Cache::new(
            ArrayPageStates::<COUNT>::new(),
            ArrayPagePointers::<COUNT>::new(),
            ArrayKeyPointers::<u16, 1024>::new(),
        );
        work_with(flash, cache, start, work)
    }
}
