//! What a program on a microcontroller calls, feature by feature, so that a linker keeps that and nothing else.
//!
//! `run.sh size` links it for each row of its table. Nothing here is run: `emberkv_no_std_sessions` runs.
#![no_std]

mod flash;

use core::hint::black_box;

#[cfg(feature = "asynchronous")]
use core::pin::pin;
#[cfg(feature = "asynchronous")]
use core::task::{Context, Poll, Waker};

#[cfg(feature = "asynchronous")]
use emberkv_core::AsyncStore as Store;
#[cfg(not(feature = "asynchronous"))]
use emberkv_core::Store;
use emberkv_core::{Config, Error, Hints};
#[cfg(feature = "asynchronous")]
use emberkv_flash::AsyncNorFlashDevice as Device;
#[cfg(not(feature = "asynchronous"))]
use emberkv_flash::NorFlashDevice as Device;

use flash::{BYTES, Flash};

/// What went wrong: a program would tell them apart.
struct Failed;

impl<E> From<Error<E>> for Failed {
    fn from(_: Error<E>) -> Self {
        Self
    }
}

fn config() -> Config {
    Config {
        segment_bytes: 4096,
        page_bytes: 256,
        frames: 16,
        keys_max: 256,
        key_bytes_max: 32,
        hints: Hints::Omit,
        snapshots_max: 2,
        versions_max: 8,
        ..Config::default()
    }
}

/// A call of either store: waits where there is something to wait for.
#[cfg(not(feature = "asynchronous"))]
macro_rules! call {
    ($call:expr) => {
        $call
    };
}
#[cfg(feature = "asynchronous")]
macro_rules! call {
    ($call:expr) => {
        $call.await
    };
}

/// The calls of a program.
macro_rules! program {
    ($arena:ident, $buffer:ident) => {{
        let config = config();
        let device = Device::new(Flash, 0..BYTES as u32).map_err(|_| Failed)?;
        #[cfg(feature = "format")]
        let mut store = call!(Store::open_or_format(device, $arena, &config))?;
        #[cfg(not(feature = "format"))]
        let mut store = call!(Store::open(device, $arena, &config))?;
        call!(store.put(black_box(b"boots"), black_box(b"1")))?;
        black_box(call!(store.get(black_box(b"boots"), $buffer))?);
        #[cfg(feature = "delete")]
        black_box(call!(store.delete(black_box(b"boots")))?);
        #[cfg(all(feature = "batch", not(feature = "asynchronous")))]
        {
            let mut batch = store.batch()?;
            batch.put(black_box(b"a"), black_box(b"1"))?;
            batch.delete(black_box(b"b"))?;
            batch.commit()?;
        }
        #[cfg(feature = "merge")]
        while call!(store.merge_step(black_box(4096)))? {}
        #[cfg(feature = "snapshots")]
        {
            let start = store.snapshot()?;
            black_box(call!(store.get_at(start, black_box(b"boots"), $buffer))?);
            store.release(start)?;
        }
        #[cfg(feature = "iterate")]
        {
            let mut cursor = emberkv_core::Cursor::default();
            while let Some(found) = call!(store.next(&mut cursor, $buffer))? {
                black_box(found);
            }
        }
        #[cfg(all(feature = "streams", not(feature = "asynchronous")))]
        {
            use embedded_io::Read;
            store.put_stream(black_box(b"log"), 10_000, black_box(&[0; 10][..]))?;
            if let Some(mut value) = store.get_stream(black_box(b"log"))? {
                black_box(value.read($buffer).map_err(|_| Failed)?);
            }
        }
        #[cfg(feature = "check")]
        {
            black_box(call!(store.check(|place| {
                black_box(place);
            }))?);
            black_box(call!(store.scrub_step(black_box(4096)))?);
        }
        call!(store.sync())?;
        Ok(())
    }};
}

#[cfg(not(feature = "asynchronous"))]
fn program(arena: &mut [u8], buffer: &mut [u8]) -> Result<(), Failed> {
    program!(arena, buffer)
}

#[cfg(feature = "asynchronous")]
async fn program_async(arena: &mut [u8], buffer: &mut [u8]) -> Result<(), Failed> {
    program!(arena, buffer)
}

#[cfg(feature = "asynchronous")]
fn program(arena: &mut [u8], buffer: &mut [u8]) -> Result<(), Failed> {
    let mut future = pin!(program_async(arena, buffer));
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

/// The entry.
#[expect(unsafe_code, reason = "the linker begins at its name")]
#[unsafe(no_mangle)]
pub extern "C" fn emberkv_size() -> i32 {
    let mut arena = [0; 24 * 1024];
    let mut buffer = [0; 64];
    i32::from(program(black_box(&mut arena), black_box(&mut buffer)).is_err())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
