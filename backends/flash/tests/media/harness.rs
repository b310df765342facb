//! What the suites share: the conformance function with fitting scratch, an executor, and one story
//! of a store that every medium must be good for.

use std::collections::HashMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use emberkv_core::conformance::{self, Report};
use emberkv_core::{
    AsyncBlockDevice, AsyncStore, BlockDevice, Config, Cursor, Geometry, Hints, Store,
    required_bytes,
};

/// Runs a future that is always polled again, and says how often it was not ready.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> (T, u64) {
    let mut future = pin!(future);
    let mut waits = 0;
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return (value, waits),
            Poll::Pending => waits += 1,
        }
        assert!(waits < 1 << 28, "the future is never ready");
    }
}

/// Not ready at the first poll, as a bus with interrupts.
pub(crate) async fn yield_once() {
    let mut polled = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn scratch(geometry: &Geometry) -> Vec<u8> {
    let bytes = conformance::scratch_bytes(geometry) + geometry.max_transfer as usize;
    vec![0; bytes + 2 * geometry.buffer_align as usize]
}

/// The device contract, with transfers of the full size.
pub(crate) fn check<D: BlockDevice>(device: &mut D) -> Report {
    let mut scratch = scratch(&device.geometry());
    conformance::check(device, &mut scratch).unwrap_or_else(|violation| panic!("{violation}"))
}

pub(crate) fn check_async<D: AsyncBlockDevice>(device: &mut D) -> Report {
    let mut scratch = scratch(&device.geometry());
    let (result, _) = block_on(conformance::check_async(device, &mut scratch));
    result.unwrap_or_else(|violation| panic!("{violation}"))
}

/// A store as a microcontroller would have it.
pub(crate) fn config(geometry: &Geometry) -> Config {
    Config {
        segment_bytes: (16 << 10).max(geometry.erase_unit).max(16 * geometry.commit_unit()),
        seed: *b"flash suite: a seed as any other",
        page_bytes: 512.max(geometry.commit_unit()),
        frames: 48,
        keys_max: 256,
        key_bytes_max: 32,
        hints: Hints::Omit,
        ..Config::default()
    }
}

const VALUE_BYTES: usize = 200;
const KEYS: u32 = 30;

fn key(index: u32) -> Vec<u8> {
    format!("key {:05}", index % KEYS).into_bytes()
}

fn value(round: u32, index: u32) -> Vec<u8> {
    let length = 1 + (index * 37 + round * 11) as usize % VALUE_BYTES;
    (0..length).map(|at| (at as u32 * 7 + round * 31 + index) as u8).collect()
}

/// Times that all keys are written in one of three sessions: the log then fills a third of the
/// device. A put takes 150 bytes with its header, on average.
fn rounds(geometry: &Geometry) -> u32 {
    (geometry.capacity / 3 / (3 * 150 * u64::from(KEYS))).max(1) as u32
}

type Model = HashMap<Vec<u8>, Vec<u8>>;

/// What is done to a store, and what must be there afterwards; written once for both faces.
macro_rules! story {
    ($store:ident, $device:expr, $now:ident) => {{
        let geometry = $device.geometry();
        let config = config(&geometry);
        let mut arena = vec![0; required_bytes(&config, &geometry)];
        let mut model = Model::new();
        let mut device = $device;
        for session in 0..3 {
            let mut store = if session == 0 {
                $now!($store::format(device, &mut arena, &config)).expect("it formats")
            } else {
                $now!($store::open(device, &mut arena, &config)).expect("it opens")
            };
            let mut buffer = vec![0; 32 + VALUE_BYTES];
            for index in 0..KEYS {
                let found = $now!(store.get(&key(index), &mut buffer)).expect("it reads");
                assert_eq!(found, model.get(&key(index)).map(Vec::as_slice), "session {session}");
            }
            for round in 0..rounds(&geometry) {
                for index in 0..KEYS {
                    let (key, value) = (key(index), value(round + session * 1000, index));
                    if (index + round) % 7 == 0 {
                        let was = $now!(store.delete(&key)).expect("it deletes");
                        assert_eq!(was, model.remove(&key).is_some());
                    } else {
                        $now!(store.put(&key, &value)).expect("it writes");
                        model.insert(key, value);
                    }
                }
                if round % 4 == 0 {
                    $now!(store.sync()).expect("it syncs");
                }
            }
            let mut cursor = Cursor::default();
            let mut count = 0;
            while let Some((key, value)) =
                $now!(store.next(&mut cursor, &mut buffer)).expect("it reads")
            {
                assert_eq!(Some(value), model.get(key).map(Vec::as_slice));
                count += 1;
            }
            assert_eq!(count, model.len());
            device = $now!(store.close()).expect("it closes");
        }
        device
    }};
}

macro_rules! at_once {
    ($value:expr) => {
        $value
    };
}

macro_rules! in_time {
    ($value:expr) => {
        $value.await
    };
}

/// Formats a store, and opens it twice again: what was closed is there, and writing goes on.
pub(crate) fn live<D: BlockDevice>(device: D) -> D {
    story!(Store, device, at_once)
}

/// As [`live`], on an asynchronous device. The answer says how often it had to wait.
pub(crate) fn live_async<D: AsyncBlockDevice>(device: D) -> (D, u64) {
    block_on(async { story!(AsyncStore, device, in_time) })
}
