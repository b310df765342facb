//! The asynchronous store under embassy's executor, on the NOR chip of `emcraft-sf2`: another task
//! runs while the store works.
//!
//! Says how large the futures are, and how many turns the other task had during which call.
#![no_std]
#![no_main]

use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicU32, Ordering};

use embassy_executor::{Executor, Spawner};
use emberkv_core::{AsyncStore, Config, Error, MergeNeed};
use emberkv_firmware::host::{self, Verdict};
use emberkv_firmware::logger;
use emberkv_firmware::say;
use emberkv_firmware::sf2::{Delay, Nor, nor_options, turn};
use emberkv_firmware::supply::Supply;
use emberkv_flash::AsyncSpiNor;
use emberkv_flash::spi_nor::{Options, SpiNorError};

/// Less than the other firmware's: units of 16 bytes, as the chip has them, go with small pages.
const ARENA_BYTES: usize = 12 << 10;
const SEGMENT_BYTES: u32 = 8 << 10;

type Device = AsyncSpiNor<Nor, Delay>;
type Failure = Error<SpiNorError<core::convert::Infallible>>;

/// Readings that are stored.
const READINGS: u32 = 300;

/// Turns of the other task.
static TURNS: AtomicU32 = AtomicU32::new(0);

/// Something else that firmware does: it must never wait for the store.
#[embassy_executor::task]
async fn blink() {
    loop {
        TURNS.fetch_add(1, Ordering::Relaxed);
        turn().await;
    }
}

#[embassy_executor::task]
async fn log(arena: &'static mut [u8]) {
    let verdict = match session(arena).await {
        Ok(()) => Verdict::Passed,
        Err(error) => {
            say!("FAILED {error:?}");
            Verdict::Failed
        }
    };
    host::exit(verdict)
}

/// Says how large a call's future is and how many turns the other task had meanwhile. The future is
/// lent, and by a pointer that the compiler does not see through: moved or inlined, it and what it
/// answers would be on the stack of this one too.
async fn told<T>(name: &str, call: Pin<&mut dyn Future<Output = T>>) -> T {
    let (bytes, before) = (size_of_val(&*call), TURNS.load(Ordering::Relaxed));
    let result = call.await;
    say!("future {name} bytes={bytes} turns={}", TURNS.load(Ordering::Relaxed) - before);
    result
}

/// What the reading of a count is stored under.
fn key(reading: u32) -> [u8; 4] {
    (reading % 40).to_le_bytes()
}

async fn write(device: Device, arena: &mut [u8], config: &Config) -> Result<Device, Failure> {
    let mut store = told("format", pin!(AsyncStore::format(device, arena, config))).await?;
    for reading in 0..READINGS {
        store.put(&key(reading), &[reading as u8; 32]).await?;
        if reading % 5 == 4 {
            store.sync().await?;
        }
        while store.need_merge() != MergeNeed::No && store.merge_step(2048).await? {}
    }
    told("put", pin!(store.put(b"last", b"one"))).await?;
    told("sync", pin!(store.sync())).await?;
    let mut buffer = [0; 32];
    let found = told("get", pin!(store.get(b"last", &mut buffer))).await?;
    if found != Some(b"one") {
        failed("the newest reading is not there");
    }
    told("delete", pin!(store.delete(b"last"))).await?;
    told("merge_step", pin!(store.merge_step(2048))).await?;
    told("scrub_step", pin!(store.scrub_step(2048))).await?;
    store.sync().await?;
    Ok(store.into_device())
}

async fn read(device: Device, arena: &mut [u8], config: &Config) -> Result<(), Failure> {
    let mut store = told("open", pin!(AsyncStore::open(device, arena, config))).await?;
    let mut buffer = [0; 32];
    for reading in READINGS - 40..READINGS {
        let found = store.get(&key(reading), &mut buffer).await?;
        if found != Some(&[reading as u8; 32]) {
            failed("a reading is not there");
        }
    }
    if store.get(b"last", &mut buffer).await?.is_some() {
        failed("a deleted key is there");
    }
    if TURNS.load(Ordering::Relaxed) < READINGS {
        failed("the other task had to wait");
    }
    Ok(())
}

async fn session(arena: &mut [u8]) -> Result<(), Failure> {
    let config =
        Config { page_bytes: 256, keys_max: 64, versions_max: 8, ..logger::config(SEGMENT_BYTES) };
    let options = Options { tear_unit: 16, ..nor_options() };
    let device = Device::open(Nor::take(Supply::ENDLESS), Delay, &options);
    let device = device.await.map_err(Error::Device)?;
    let device = {
        let write: Pin<&mut dyn Future<Output = _>> = pin!(write(device, &mut *arena, &config));
        write.await?
    };
    let read: Pin<&mut dyn Future<Output = _>> = pin!(read(device, arena, &config));
    read.await
}

fn failed(what: &str) -> ! {
    say!("FAILED {what}");
    host::exit(Verdict::Failed)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut ARENA: [u8; ARENA_BYTES] = [0; ARENA_BYTES];
    static mut EXECUTOR: Option<Executor> = None;
    let executor = EXECUTOR.insert(Executor::new());
    executor.run(|spawner| spawn(spawner, ARENA))
}

fn spawn(spawner: Spawner, arena: &'static mut [u8]) {
    // Each task is spawned once, so its storage is free.
    match (blink(), log(arena)) {
        (Ok(blink), Ok(log)) => {
            spawner.spawn(blink);
            spawner.spawn(log);
        }
        _ => host::exit(Verdict::Failed),
    }
}
