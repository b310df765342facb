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
use emberkv_core::{Config, Error, Geometry};
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

const CONFIG: Config = Config::mcu(*b"size: taken from a generator....", 4096, 256);

const GEOMETRY: Geometry = Geometry {
    capacity: BYTES as u64,
    capacity_max: BYTES as u64,
    read_unit: 1,
    write_unit: 4,
    erase_unit: 4096,
    tear_unit: 4,
    buffer_align: 1,
    max_transfer: 4096,
};

/// Declares a function for one call of either store: a frame and a symbol of its own, so that the stack of each is known.
macro_rules! calls {
    ($($(#[$gate:meta])* fn $name:ident($store:ident, $buffer:ident) $body:block)*) => {
        $($(#[$gate])*
        #[cfg(not(feature = "asynchronous"))]
        #[inline(never)]
        #[expect(unsafe_code, reason = "the stack table names it")]
        #[unsafe(no_mangle)]
        fn $name($store: &mut Store<'_, Device<Flash>>, $buffer: &mut [u8]) -> Result<(), Failed> {
            $body
            Ok(())
        }

        $(#[$gate])*
        #[cfg(feature = "asynchronous")]
        async fn $name(
            $store: &mut Store<'_, Device<Flash>>,
            $buffer: &mut [u8],
        ) -> Result<(), Failed> {
            $body
            Ok(())
        })*
    };
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

calls! {
    fn ember_put(store, buffer) {
        call!(store.put(black_box(b"boots"), black_box(buffer)))?;
    }
    fn ember_get(store, buffer) {
        black_box(call!(store.get(black_box(b"boots"), buffer))?);
    }
    fn ember_sync(store, _buffer) {
        call!(store.sync())?;
    }
    #[cfg(feature = "delete")]
    fn ember_delete(store, buffer) {
        black_box(call!(store.delete(black_box(buffer)))?);
    }
    #[cfg(all(feature = "batch", not(feature = "asynchronous")))]
    fn ember_batch(store, buffer) {
        let mut batch = store.batch()?;
        batch.put(black_box(b"a"), black_box(buffer))?;
        batch.delete(black_box(b"b"))?;
        batch.commit()?;
    }
    #[cfg(feature = "merge")]
    fn ember_merge(store, _buffer) {
        while call!(store.merge_step(black_box(4096)))? {}
    }
    #[cfg(feature = "snapshots")]
    fn ember_snapshots(store, buffer) {
        let start = store.snapshot()?;
        black_box(call!(store.get_at(start, black_box(b"boots"), buffer))?);
        store.release(start)?;
    }
    #[cfg(feature = "iterate")]
    fn ember_iterate(store, buffer) {
        let mut cursor = emberkv_core::Cursor::default();
        while let Some(found) = call!(store.next(&mut cursor, buffer))? {
            black_box(found);
        }
    }
    #[cfg(all(feature = "streams", not(feature = "asynchronous")))]
    fn ember_streams(store, buffer) {
        use embedded_io::Read;
        store.put_stream(black_box(b"log"), 10_000, black_box(&[0; 10][..]))?;
        if let Some(mut value) = store.get_stream(black_box(b"log"))? {
            black_box(value.read(buffer).map_err(|_| Failed)?);
        }
    }
    #[cfg(feature = "check")]
    fn ember_check(store, _buffer) {
        black_box(call!(store.check(|place| {
            black_box(place);
        }))?);
        black_box(call!(store.scrub_step(black_box(4096)))?);
    }
}

/// Opens the store, in the caller's memory.
macro_rules! open {
    ($arena:ident) => {{
        let device = Device::new(Flash, 0..BYTES as u32).map_err(|_| Failed)?;
        #[cfg(feature = "format")]
        let store = call!(Store::open_or_format(device, $arena, &CONFIG))?;
        #[cfg(not(feature = "format"))]
        let store = call!(Store::open(device, $arena, &CONFIG))?;
        Ok(store)
    }};
}

#[cfg(not(feature = "asynchronous"))]
#[inline(never)]
#[expect(unsafe_code, reason = "the stack table names it")]
#[unsafe(no_mangle)]
fn ember_open(arena: &mut [u8]) -> Result<Store<'_, Device<Flash>>, Failed> {
    open!(arena)
}

#[cfg(feature = "asynchronous")]
async fn ember_open(arena: &mut [u8]) -> Result<Store<'_, Device<Flash>>, Failed> {
    open!(arena)
}

/// The calls of a program.
macro_rules! program {
    ($arena:ident, $buffer:ident) => {{
        let mut store = call!(ember_open($arena))?;
        let store = black_box(&mut store);
        call!(ember_put(store, $buffer))?;
        call!(ember_get(store, $buffer))?;
        #[cfg(feature = "delete")]
        call!(ember_delete(store, $buffer))?;
        #[cfg(all(feature = "batch", not(feature = "asynchronous")))]
        ember_batch(store, $buffer)?;
        #[cfg(feature = "merge")]
        call!(ember_merge(store, $buffer))?;
        #[cfg(feature = "snapshots")]
        call!(ember_snapshots(store, $buffer))?;
        #[cfg(feature = "iterate")]
        call!(ember_iterate(store, $buffer))?;
        #[cfg(all(feature = "streams", not(feature = "asynchronous")))]
        ember_streams(store, $buffer)?;
        #[cfg(feature = "check")]
        call!(ember_check(store, $buffer))?;
        call!(ember_sync(store, $buffer))
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
    let mut arena = emberkv_core::arena!(CONFIG, GEOMETRY);
    let mut buffer = [0; 64];
    i32::from(program(black_box(arena.bytes_mut()), black_box(&mut buffer)).is_err())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
