//! EmberKV over `embedded-storage`, with the settings of a small device: no hints, few frames, and
//! a sync after each write.

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use emberkv_core::{
    BlockDevice, Config, DeviceErrorKind, Error, Hints, MergeNeed, ShortRecords, Store as Engine,
    required_bytes,
};
use emberkv_flash::{FlashError, NorFlashDevice, NorOptions, Verify};

use crate::nor::{Fault, Flash, WORD};
use crate::store::{Family, Outcome, Start, Store, VALUE_BYTES_MAX, Work};

/// The chip as `embedded-storage` sees it. The type is a driver's: it is `NorFlash`, not more.
pub(crate) struct Chip<const BLOCK: usize, const COUNT: usize>(Flash<BLOCK, COUNT>);

impl<const BLOCK: usize, const COUNT: usize> ErrorType for Chip<BLOCK, COUNT> {
    type Error = Fault;
}

impl<const BLOCK: usize, const COUNT: usize> ReadNorFlash for Chip<BLOCK, COUNT> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.0.0.borrow_mut().read(offset as usize, bytes)
    }
    fn capacity(&self) -> usize {
        BLOCK * COUNT
    }
}

impl<const BLOCK: usize, const COUNT: usize> NorFlash for Chip<BLOCK, COUNT> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        self.0.0.borrow_mut().erase(from as usize..to as usize)
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.0.0.borrow_mut().program(offset as usize, bytes)
    }
}

type Device<const BLOCK: usize, const COUNT: usize> = NorFlashDevice<Chip<BLOCK, COUNT>>;

struct Open<'m, const BLOCK: usize, const COUNT: usize> {
    store: Engine<'m, Device<BLOCK, COUNT>>,
    buffer: [u8; VALUE_BYTES_MAX + 16],
}

fn said(error: Error<FlashError<Fault>>) -> String {
    error.to_string()
}

impl<const BLOCK: usize, const COUNT: usize> Store for Open<'_, BLOCK, COUNT> {
    fn put(&mut self, key: u16, value: &[u8]) -> Outcome {
        self.store.put(&key.to_le_bytes(), value).map_err(said)?;
        self.store.sync().map_err(said)
    }
    fn get(&mut self, key: u16, value: &mut Vec<u8>) -> Outcome<bool> {
        let found = self.store.get(&key.to_le_bytes(), &mut self.buffer).map_err(said)?;
        value.clear();
        value.extend_from_slice(found.unwrap_or_default());
        Ok(found.is_some())
    }
    fn delete(&mut self, key: u16) -> Outcome {
        self.store.delete(&key.to_le_bytes()).map_err(said)?;
        self.store.sync().map_err(said)
    }
    fn fold(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Outcome {
        let snapshot = self.store.snapshot().map_err(said)?;
        let folded = self.store.fold(snapshot, |key, value| {
            each(u16::from_le_bytes([key[0], key[1]]), value);
        });
        folded.map_err(said)?;
        self.store.release(snapshot).map_err(said)
    }
    fn idle(&mut self) -> Outcome {
        // An idle loop has time: at most a few erases here.
        for _ in 0..4 {
            if self.store.need_merge() == MergeNeed::No {
                return Ok(());
            }
            self.store.merge_step(4096).map_err(said)?;
        }
        Ok(())
    }
}

/// EmberKV. The fields are what is tried out.
#[derive(Clone, Copy)]
pub(crate) struct Ember {
    pub(crate) name: &'static str,
    pub(crate) segment_bytes: u32,
    pub(crate) page_bytes: u32,
    pub(crate) frames: u32,
    /// Whether the driver reads back what it wrote, as it does unless told otherwise.
    pub(crate) verify: Verify,
}

impl Ember {
    /// As a data sheet would have it for blocks of 4 KiB.
    pub(crate) const SMALL: Self = Self {
        name: "emberkv",
        segment_bytes: 4096,
        page_bytes: 256,
        frames: 24,
        verify: Verify::Trust,
    };

    fn config(&self, keys: usize) -> Config {
        Config {
            segment_bytes: self.segment_bytes,
            seed: *b"peers: a seed as good as others!",
            page_bytes: self.page_bytes,
            frames: self.frames,
            keys_max: keys as u32 + keys as u32 / 4 + 16,
            key_bytes_max: 16,
            hints: Hints::Omit,
            short_records: ShortRecords::Write,
            snapshots_max: 2,
            versions_max: 16,
            ..Config::default()
        }
    }

    fn device<const BLOCK: usize, const COUNT: usize>(
        &self,
        flash: &Flash<BLOCK, COUNT>,
    ) -> Device<BLOCK, COUNT> {
        let options = NorOptions { verify: self.verify, ..NorOptions::default() };
        let all = 0..(BLOCK * COUNT) as u32;
        NorFlashDevice::with_options(Chip(flash.clone()), all, &options)
            .expect("the whole chip is a partition")
            .with_classifier(|fault| match fault {
                Fault::Unreadable => DeviceErrorKind::Uncorrectable,
                Fault::Off => DeviceErrorKind::Gone,
                _ => DeviceErrorKind::Other,
            })
    }
}

impl<const BLOCK: usize, const COUNT: usize> Family<BLOCK, COUNT> for Ember {
    fn name(&self) -> &'static str {
        self.name
    }
    fn ram_bytes(&self, keys: usize) -> usize {
        let device = self.device(&Flash::<BLOCK, COUNT>::new());
        required_bytes(&self.config(keys), &device.geometry())
            + size_of::<Engine<'_, Device<BLOCK, COUNT>>>()
    }
    fn session(&self, flash: &Flash<BLOCK, COUNT>, start: Start, work: Work<'_>) -> Outcome {
        let device = self.device(flash);
        let config = self.config(1000);
        let mut arena = vec![0; required_bytes(&config, &device.geometry())];
        let store = match start {
            Start::Format => Engine::format(device, &mut arena, &config),
            Start::Open => Engine::open(device, &mut arena, &config),
        };
        work(&mut Open { store: store.map_err(said)?, buffer: [0; VALUE_BYTES_MAX + 16] })
    }
}
