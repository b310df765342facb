//! The asynchronous driver: every device operation waits once, and every future is dropped at every point where it waits.

use core::cell::Cell;
use core::future::poll_fn;
use core::ops::Range;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;

use emberkv_core::{
    AsyncBlockDevice, AsyncStore, BlockDevice, Caps, Config, Cursor, Durability, Error, Geometry,
    Hints, required_bytes,
};
use emberkv_memory::{MemoryDevice, MemoryError, Rules};

type Medium = MemoryDevice<Vec<u8>>;

/// A device whose every operation is pending once before it happens.
struct Hesitant(Medium);

async fn hesitate() {
    let waited = Cell::new(false);
    poll_fn(|_| if waited.replace(true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

impl AsyncBlockDevice for Hesitant {
    type Error = MemoryError;

    fn geometry(&self) -> Geometry {
        BlockDevice::geometry(&self.0)
    }
    fn caps(&self) -> Caps {
        BlockDevice::caps(&self.0)
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        hesitate().await;
        BlockDevice::read(&mut self.0, address, buffer)
    }
    async fn write(
        &mut self,
        at: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), MemoryError> {
        hesitate().await;
        BlockDevice::write(&mut self.0, at, slices, durability)
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        hesitate().await;
        BlockDevice::erase(&mut self.0, range)
    }
    async fn flush(&mut self) -> Result<(), MemoryError> {
        hesitate().await;
        BlockDevice::flush(&mut self.0)
    }
}

/// Polls a future at most `polls` times; `None` where it was dropped before it was ready.
fn run<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(value);
        }
    }
    None
}

const PATIENCE: usize = 1_000_000;

fn medium(rules: Rules) -> (Medium, Config) {
    let config = Config {
        page_bytes: 512,
        frames: 48,
        segment_bytes: 8192,
        keys_max: 200,
        key_bytes_max: 32,
        hints: Hints::Write,
        ..Config::default()
    };
    (MemoryDevice::new(vec![0xff; 1 << 20], rules).expect("the geometry fits"), config)
}

fn rules() -> [Rules; 3] {
    [
        Rules::block(512),
        Rules::block_with_durable_writes(512),
        Rules::Nor { write_unit: 4, erase_unit: 4096 },
    ]
}

/// What a store may hold: for each key one of these values (`None`: no value).
type Possible = BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>;

fn check(store: &mut AsyncStore<'_, Hesitant>, possible: &mut Possible) {
    let mut buffer = vec![0; 20_000];
    for (key, values) in possible.iter_mut() {
        let found =
            run(store.get(key, &mut buffer), PATIENCE).expect("patience").expect("a get works");
        let found = found.map(<[u8]>::to_vec);
        assert!(values.contains(&found), "key {key:?} has a value that it never had");
        *values = vec![found];
    }
}

fn value(seed: u64) -> Vec<u8> {
    let bytes = match seed % 7 {
        0 => 0,
        1 => 4_000,
        _ => seed * 37 % 300,
    };
    vec![seed as u8; bytes as usize]
}

type Outcome = Option<Result<(), Error<MemoryError>>>;
type Change = Option<(Vec<u8>, Option<Vec<u8>>)>;

/// One operation; `None` where its future was dropped. Returns what it would change.
fn step(store: &mut AsyncStore<'_, Hesitant>, number: u64, polls: usize) -> (Outcome, Change) {
    let key = format!("key {}", number * 7 % 11).into_bytes();
    match number % 5 {
        0 => (run(store.sync(), polls), None),
        1 => {
            let done = run(store.delete(&key), polls).map(|result| result.map(|_| ()));
            (done, Some((key, None)))
        }
        _ => {
            let new = value(number);
            (run(store.put(&key, &new), polls), Some((key, Some(new))))
        }
    }
}

/// Runs operations of which each is dropped after `polls` polls, then goes on without dropping and reopens.
fn drop_after(rules: Rules, polls: usize) {
    let (medium, config) = medium(rules);
    let need = required_bytes(&config, &BlockDevice::geometry(&medium));
    let (mut arena, mut second) = (vec![0; need], vec![0; need]);
    let opened = run(AsyncStore::format(Hesitant(medium), &mut arena, &config), PATIENCE);
    let mut store = opened.expect("patience").expect("formats");
    let mut possible = Possible::new();
    for number in 0..120 {
        let dropping = number % 3 == 2;
        let (done, change) = step(&mut store, number, if dropping { polls } else { PATIENCE });
        assert!(done.as_ref().is_none_or(Result::is_ok), "operation {number}: {done:?}");
        if let Some((key, new)) = change {
            let values = possible.entry(key).or_insert_with(|| vec![None]);
            if done.is_some() {
                values.clear();
            }
            values.push(new);
        }
        if dropping && number % 4 == 0 {
            let mut buffer = [0; 4_100];
            let _ = run(store.get(b"key 3", &mut buffer), polls);
            let _ = run(store.next(&mut Cursor::default(), &mut buffer), polls);
        }
        check(&mut store, &mut possible);
    }
    run(store.sync(), PATIENCE).expect("patience").expect("syncs");
    let device = run(store.close(), PATIENCE).expect("patience").expect("closes");
    let reopened = run(AsyncStore::open(device, &mut second, &config), PATIENCE);
    let mut store = reopened.expect("patience").expect("opens");
    check(&mut store, &mut possible);
    let summary = run(store.check(|place| panic!("{place}")), PATIENCE).expect("patience");
    assert_eq!(summary.expect("checks").damages, 0);
}

#[test]
fn every_operation_works_on_a_device_that_is_pending_each_time() {
    for rules in rules() {
        drop_after(rules, PATIENCE);
    }
}

#[test]
fn a_future_dropped_at_any_await_point_leaves_the_store_whole() {
    for rules in rules() {
        for polls in 0..40 {
            drop_after(rules, polls);
        }
    }
}

#[test]
fn an_open_dropped_at_any_await_point_leaves_the_medium_openable() {
    for rules in rules() {
        let (medium, config) = medium(rules);
        let need = required_bytes(&config, &BlockDevice::geometry(&medium));
        let mut arena = vec![0; need];
        let opened = run(AsyncStore::format(Hesitant(medium), &mut arena, &config), PATIENCE);
        let mut store = opened.expect("patience").expect("formats");
        for number in 0..40 {
            step(&mut store, number, PATIENCE).0.expect("patience").expect("works");
        }
        run(store.sync(), PATIENCE).expect("patience").expect("syncs");
        // Not closed: every open has a resume group to write.
        let mut bytes = store.into_device().0.into_inner();
        for polls in (1..400).step_by(7) {
            let device = Hesitant(MemoryDevice::new(bytes.clone(), rules).expect("fits"));
            let mut arena = vec![0; need];
            if let Some(opened) = run(AsyncStore::open(device, &mut arena, &config), polls) {
                bytes = opened.expect("opens").into_device().0.into_inner();
            }
        }
    }
}
