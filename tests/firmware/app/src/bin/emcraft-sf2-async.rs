//! The asynchronous store under embassy's executor, on the NOR chip of `emcraft-sf2`: another task runs while the store works.
//!
//! Says how large the futures are, and how many turns the other task had during which call.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use embassy_executor::{Executor, Spawner};
use emberkv_core::{AsyncStore, Error, MergeNeed};
use emberkv_firmware::host::{self, Verdict};
use emberkv_firmware::logger::{self, ARENA_BYTES};
use emberkv_firmware::say;
use emberkv_firmware::sf2::{Delay, NOR_SEGMENT_BYTES, Nor, nor_options, turn};
use emberkv_firmware::supply::Supply;
use emberkv_flash::AsyncSpiNor;
use emberkv_flash::spi_nor::SpiNorError;

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

/// Says how large a call's future is and how many turns the other task had meanwhile.
async fn told<T>(name: &str, call: impl Future<Output = T>) -> T {
    let (bytes, before) = (size_of_val(&call), TURNS.load(Ordering::Relaxed));
    let result = call.await;
    say!("future {name} bytes={bytes} turns={}", TURNS.load(Ordering::Relaxed) - before);
    result
}

async fn session(arena: &mut [u8]) -> Result<(), Failure> {
    let options = nor_options();
    let config = logger::config(NOR_SEGMENT_BYTES);
    let device = Device::open(Nor::take(Supply::ENDLESS), Delay, &options);
    let device = device.await.map_err(Error::Device)?;
    let mut store = told("format", AsyncStore::format(device, &mut *arena, &config)).await?;
    for reading in 0..READINGS {
        let key = (reading % 40).to_le_bytes();
        store.put(&key, &[reading as u8; 32]).await?;
        if reading % 5 == 4 {
            store.sync().await?;
        }
        while store.need_merge() != MergeNeed::No && store.merge_step(2048).await? {}
    }
    told("put", store.put(b"last", b"one")).await?;
    told("sync", store.sync()).await?;
    let mut buffer = [0; 32];
    let found = told("get", store.get(b"last", &mut buffer)).await?;
    let same = found == Some(b"one");
    told("delete", store.delete(b"last")).await?;
    told("merge_step", store.merge_step(2048)).await?;
    told("scrub_step", store.scrub_step(2048)).await?;
    let device = told("close", store.close()).await?;
    let mut store = told("open", AsyncStore::open(device, arena, &config)).await?;
    let newest = [(READINGS - 1) as u8; 32];
    let found = store.get(&((READINGS - 1) % 40).to_le_bytes(), &mut buffer).await?;
    if !same || found != Some(&newest) || TURNS.load(Ordering::Relaxed) < READINGS {
        say!("FAILED found {found:?} after {} turns", TURNS.load(Ordering::Relaxed));
        host::exit(Verdict::Failed)
    }
    Ok(())
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
