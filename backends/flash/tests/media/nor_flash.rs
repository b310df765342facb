//! The `embedded-storage` adapters over a flash in RAM that keeps the trait's rules.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};
use emberkv_core::{
    AsyncBlockDevice, BlockDevice, DeviceError, DeviceErrorKind, Durability, GeometryError,
};
use emberkv_flash::{AsyncNorFlashDevice, FlashError, NorFlashDevice, NorOptions, Refusal, Verify};

use crate::harness::{block_on, check, check_async, live, live_async, yield_once};

/// A flash of `CAPACITY` bytes with units of `R`, `W` and `E` bytes.
struct Ram<const R: usize, const W: usize, const E: usize> {
    bytes: Vec<u8>,
    /// Words that cannot be read, by offset: their programming was cut off.
    unreadable: Option<u32>,
    /// Programs and erases answer success and do nothing in this block.
    worn: Option<u32>,
    words_written: usize,
    words_lost: usize,
    /// Where the last write began.
    last: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Rules(NorFlashErrorKind),
    Ecc,
    ProgrammedTwice(u32),
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Rules(kind) => *kind,
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl From<NorFlashErrorKind> for Fault {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Rules(kind)
    }
}

impl<const R: usize, const W: usize, const E: usize> Ram<R, W, E> {
    /// Not erased: programs must erase first.
    fn new(bytes: usize) -> Self {
        Self {
            bytes: vec![0x3C; bytes],
            unreadable: None,
            worn: None,
            words_written: 0,
            words_lost: 0,
            last: 0,
        }
    }

    fn is_worn(&self, offset: u32) -> bool {
        self.worn.is_some_and(|worn| offset as usize / E == worn as usize / E)
    }
}

impl<const R: usize, const W: usize, const E: usize> ErrorType for Ram<R, W, E> {
    type Error = Fault;
}

impl<const R: usize, const W: usize, const E: usize> ReadNorFlash for Ram<R, W, E> {
    const READ_SIZE: usize = R;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        check_read(self, offset, bytes.len())?;
        let range = offset as usize..offset as usize + bytes.len();
        if self.unreadable.is_some_and(|word| range.contains(&(word as usize))) {
            return Err(Fault::Ecc);
        }
        bytes.copy_from_slice(&self.bytes[range]);
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const R: usize, const W: usize, const E: usize> NorFlash for Ram<R, W, E> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        check_erase(self, from, to)?;
        for block in (from..to).step_by(E).filter(|block| !self.is_worn(*block)).collect::<Vec<_>>()
        {
            self.bytes[block as usize..block as usize + E].fill(0xFF);
        }
        Ok(())
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        check_write(self, offset, bytes.len())?;
        if self.is_worn(offset) {
            self.words_lost += bytes.len() / W;
            return Ok(());
        }
        self.last = offset;
        let cells = &mut self.bytes[offset as usize..offset as usize + bytes.len()];
        if let Some(index) = cells.iter().position(|cell| *cell != 0xFF) {
            return Err(Fault::ProgrammedTwice(offset + index as u32));
        }
        cells.copy_from_slice(bytes);
        self.words_written += bytes.len() / W;
        Ok(())
    }
}

/// The same flash, not ready at once.
struct Slow<const R: usize, const W: usize, const E: usize>(Ram<R, W, E>);

impl<const R: usize, const W: usize, const E: usize> ErrorType for Slow<R, W, E> {
    type Error = Fault;
}

impl<const R: usize, const W: usize, const E: usize> embedded_storage_async::nor_flash::ReadNorFlash
    for Slow<R, W, E>
{
    const READ_SIZE: usize = R;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        yield_once().await;
        self.0.read(offset, bytes)
    }
    fn capacity(&self) -> usize {
        self.0.bytes.len()
    }
}

impl<const R: usize, const W: usize, const E: usize> embedded_storage_async::nor_flash::NorFlash
    for Slow<R, W, E>
{
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        yield_once().await;
        self.0.erase(from, to)
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        yield_once().await;
        self.0.write(offset, bytes)
    }
}

const KIB: u32 = 1 << 10;

fn conforms<const R: usize, const W: usize, const E: usize>(bytes: u32) {
    let mut device =
        NorFlashDevice::new(Ram::<R, W, E>::new(bytes as usize), 0..bytes).expect("it fits");
    let geometry = device.geometry();
    assert_eq!((geometry.read_unit, geometry.write_unit), (R as u32, W as u32));
    assert_eq!((geometry.tear_unit, geometry.erase_unit), (W as u32, E as u32));
    let report = check(&mut device);
    assert!(report.erase && report.slices_max == 3 || bytes < 4 * E as u32);
    let mut device =
        AsyncNorFlashDevice::new(Slow(device.into_inner()), 0..bytes).expect("it fits");
    assert_eq!(device.geometry(), geometry);
    assert!(check_async(&mut device).erase);
}

#[test]
fn a_nor_flash_of_every_granularity_conforms_blocking_and_asynchronous() {
    conforms::<1, 1, 4096>(256 * KIB);
    conforms::<4, 4, 4096>(256 * KIB);
    conforms::<1, 8, 2048>(64 * KIB);
    conforms::<32, 32, { 128 << 10 }>(512 * KIB);
    // Reads coarser than writes: reading back is widened.
    conforms::<16, 4, 1024>(32 * KIB);
    conforms::<1, 256, 256>(16 * KIB);
    conforms::<128, 4096, 4096>(64 * KIB);
}

#[test]
fn a_store_lives_on_a_partition_and_leaves_the_rest_of_the_flash_alone() {
    let partition = 64 * KIB..320 * KIB;
    let flash = Ram::<1, 4, 4096>::new(384 << 10);
    let device = NorFlashDevice::new(flash, partition.clone()).expect("it fits");
    let flash = live(device).into_inner();
    let outside = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0x3C);
    assert!(outside(&flash.bytes[..64 << 10]) && outside(&flash.bytes[320 << 10..]));
    assert!(flash.words_written * 4 > (256 << 10) / 5);
}

#[test]
fn a_store_lives_on_an_asynchronous_flash() {
    let device = AsyncNorFlashDevice::new(Slow(Ram::<4, 8, 2048>::new(256 << 10)), 0..256 * KIB);
    let (device, waits) = live_async(device.expect("it fits"));
    assert!(waits > 1000 && device.into_inner().0.words_written > 1000);
}

#[test]
fn a_store_written_blocking_opens_asynchronously() {
    use crate::harness::config;
    use emberkv_core::{AsyncStore, Store, required_bytes};

    let mut flash = Ram::<1, 4, 4096>::new(256 << 10);
    let device = NorFlashDevice::new(&mut flash, 0..256 * KIB).expect("it fits");
    let config = config(&device.geometry());
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("it formats");
    store.put(b"face", b"blocking").expect("it writes");
    store.close().expect("it closes");
    let device = AsyncNorFlashDevice::new(Slow(flash), 0..256 * KIB).expect("it fits");
    let mut buffer = [0; 16];
    let (found, _) = block_on(async {
        let mut store = AsyncStore::open(device, &mut arena, &config).await.expect("it opens");
        store.get(b"face", &mut buffer).await.expect("it reads").map(<[u8]>::to_vec)
    });
    assert_eq!(found.as_deref(), Some(&b"blocking"[..]));
}

fn refused<const R: usize, const W: usize, const E: usize>(
    partition: std::ops::Range<u32>,
    options: &NorOptions,
) -> (&'static str, u64) {
    let flash = Ram::<R, W, E>::new(64 << 10);
    match NorFlashDevice::with_options(flash, partition, options) {
        Ok(_) => panic!("it must be refused"),
        Err(FlashError::Geometry(GeometryError { field, value, .. })) => (field, value),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn sizes_and_partitions_that_cannot_be_are_refused_by_name() {
    let default = NorOptions::default();
    let all = 0..64 * KIB;
    assert_eq!(refused::<3, 4, 4096>(all.clone(), &default), ("READ_SIZE", 3));
    assert_eq!(refused::<1, 12, 4096>(all.clone(), &default), ("WRITE_SIZE", 12));
    assert_eq!(refused::<1, 4, 3000>(all.clone(), &default), ("ERASE_SIZE", 3000));
    assert_eq!(refused::<1, 0, 4096>(all.clone(), &default), ("WRITE_SIZE", 0));
    assert_eq!(refused::<1, 4, 4096>(512..64 * KIB, &default), ("capacity", 65024));
    assert_eq!(refused::<1, 4, 4096>(512..4608, &default), ("partition.start", 512));
    assert_eq!(refused::<1, 4, 4096>(0..68 * KIB, &default), ("partition.end", 69632));
    assert_eq!(refused::<1, 4, 4096>(4096..4096, &default), ("partition.end", 4096));
    let tear = NorOptions { tear_unit: 8192, ..default };
    assert_eq!(refused::<1, 4, 4096>(all.clone(), &tear), ("tear_unit", 8192));
    assert_eq!(refused::<256, 256, 4096>(all.clone(), &default), ("READ_SIZE", 256));
    let trust = NorOptions { verify: Verify::Trust, ..default };
    let flash = Ram::<256, 256, 4096>::new(64 << 10);
    let mut device = NorFlashDevice::with_options(flash, all, &trust).expect("not read back");
    check(&mut device);
}

#[test]
fn misaligned_and_outside_requests_are_refused_before_the_flash_sees_them() {
    let flash = Ram::<4, 8, 4096>::new(64 << 10);
    let mut device = NorFlashDevice::new(flash, 4096..12288).expect("it fits");
    assert_eq!(
        device.read(2, &mut [0; 4]),
        Err(FlashError::Refused(Refusal::Misaligned { address: 2, bytes: 4, unit: 4 }))
    );
    let result = device.write(8190, &[&[0; 8], &[0; 4]], Durability::Buffered);
    assert_eq!(
        result,
        Err(FlashError::Refused(Refusal::Misaligned { address: 8198, bytes: 4, unit: 8 }))
    );
    let error = device.erase(4096..12288).expect_err("it is outside");
    assert_eq!(error.kind(), DeviceErrorKind::OutOfBounds);
    #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
    let error = device.erase(8192..4096).expect_err("it is no range");
    assert_eq!(error.kind(), DeviceErrorKind::OutOfBounds);
    let error = device.write(0, &[&[0; 8]], Durability::Durable).expect_err("not offered");
    assert_eq!(error, FlashError::Refused(Refusal::NotDurable { address: 0 }));
    assert_eq!(device.into_inner().words_written, 0);
}

#[test]
fn an_ecc_error_is_what_the_classifier_says_and_names_its_place_on_the_flash() {
    let mut flash = Ram::<1, 4, 4096>::new(64 << 10);
    flash.unreadable = Some(8200);
    let mut device = NorFlashDevice::new(&mut flash, 4096..64 * KIB).expect("it fits");
    let error = device.read(4096, &mut [0; 16]).expect_err("it is unreadable");
    assert_eq!(
        error,
        FlashError::Medium { address: 8192, kind: DeviceErrorKind::Other, error: Fault::Ecc }
    );
    let mut device = device.with_classifier(|error| match error {
        Fault::Ecc => DeviceErrorKind::Uncorrectable,
        _ => DeviceErrorKind::Other,
    });
    let error = device.read(4096, &mut [0; 16]).expect_err("it is unreadable");
    assert_eq!(error.kind(), DeviceErrorKind::Uncorrectable);
    let text = error.to_string();
    assert_eq!(text, "the medium cannot be read here at 8192 of the medium: Ecc");
}

#[test]
fn a_worn_block_that_answers_success_is_found_by_reading_back() {
    for verify in [Verify::ReadBack, Verify::Trust] {
        let mut flash = Ram::<1, 4, 4096>::new(64 << 10);
        flash.worn = Some(8192);
        let options = NorOptions { verify, ..NorOptions::default() };
        let mut device =
            NorFlashDevice::with_options(flash, 4096..64 * KIB, &options).expect("it fits");
        let result = device.erase(0..8192);
        let Verify::ReadBack = verify else {
            // Without reading back nobody knows.
            assert_eq!(result, Ok(()));
            continue;
        };
        assert_eq!(result, Err(FlashError::Mismatch { address: 8192 }));
        assert_eq!(result.map_err(|error| error.kind()), Err(DeviceErrorKind::Media));
        let mut flash = device.into_inner();
        flash.bytes.fill(0xFF);
        let mut device = NorFlashDevice::new(flash, 4096..64 * KIB).expect("it fits");
        let slices: [&[u8]; 2] = [&[1; 256], &[0xFF, 0xFF, 7, 0xFF]];
        assert_eq!(device.write(0, &slices, Durability::Buffered), Ok(()));
        assert_eq!(
            device.write(4096, &slices[1..], Durability::Buffered),
            Err(FlashError::Mismatch { address: 8194 })
        );
    }
}

#[test]
fn a_store_goes_on_when_a_block_wears_out() {
    use crate::harness::config;
    use emberkv_core::{Store, required_bytes};

    let mut flash = Ram::<1, 4, 4096>::new(256 << 10);
    let device = NorFlashDevice::new(&mut flash, 0..256 * KIB).expect("it fits");
    let config = config(&device.geometry());
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("it formats");
    store.put(b"first", b"before").expect("it writes");
    store.close().expect("it closes");
    // A block that the log comes to in a while.
    flash.worn = Some(flash.last / 4096 * 4096 + (32 << 10));
    let device = NorFlashDevice::new(&mut flash, 0..256 * KIB).expect("it fits");
    let mut store = Store::open(device, &mut arena, &config).expect("it opens");
    let mut faults = 0;
    for round in 0..5000_u32 {
        let key = [b'k', (round % 50) as u8];
        let written = store.put(&key, &round.to_le_bytes()).and_then(|()| store.sync());
        faults += u32::from(written.is_err());
        if written.is_err() {
            // Unknown outcome: once more, as a caller would.
            store.put(&key, &round.to_le_bytes()).and_then(|()| store.sync()).expect("it goes on");
        }
    }
    let moved = store.stats().write_faults;
    let device = store.close().expect("it closes");
    let mut store = Store::open(device, &mut arena, &config).expect("it opens");
    let mut buffer = [0; 8];
    for index in 0..50_u32 {
        let found = store.get(&[b'k', index as u8], &mut buffer).expect("it reads");
        assert_eq!(found, Some(&(4950 + index).to_le_bytes()[..]));
    }
    drop(store);
    let lost = flash.words_lost;
    assert!(
        moved > 0 && faults <= 1,
        "{moved} writes moved, {lost} words lost, {faults} puts failed"
    );
}
