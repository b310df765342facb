//! What small machines are promised: the size of futures, of memory, and of constant arenas.

use core::ops::Range;

use emberkv_core::{
    Arena, AsyncBlockDevice, AsyncStore, BlockDevice, Caps, Config, Cursor, Durability, Error,
    Geometry, Store, arena, arena_bytes, required_bytes,
};
use emberkv_memory::{MemoryDevice, MemoryError, Rules};

const FLASH_BYTES: usize = 256 << 10;
const SEED: [u8; 32] = *b"small: taken from a generator...";

/// A NOR flash of 64 blocks of 4 KiB whose futures hold what they were given and nothing else.
struct Plain(MemoryDevice<Vec<u8>>);

impl AsyncBlockDevice for Plain {
    type Error = MemoryError;

    fn geometry(&self) -> Geometry {
        BlockDevice::geometry(&self.0)
    }
    fn caps(&self) -> Caps {
        BlockDevice::caps(&self.0)
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        BlockDevice::read(&mut self.0, address, buffer)
    }
    async fn write(
        &mut self,
        at: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), MemoryError> {
        BlockDevice::write(&mut self.0, at, slices, durability)
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        BlockDevice::erase(&mut self.0, range)
    }
    async fn flush(&mut self) -> Result<(), MemoryError> {
        BlockDevice::flush(&mut self.0)
    }
}

fn nor() -> MemoryDevice<Vec<u8>> {
    let rules = Rules::Nor { write_unit: 4, erase_unit: 4096 };
    MemoryDevice::new(vec![0xff; FLASH_BYTES], rules).expect("a NOR flash")
}

fn now<T>(future: impl Future<Output = T>) -> T {
    use core::task::{Context, Poll, Waker};
    let mut future = core::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the device never waits"),
    }
}

/// Takes the future, so that it is gone before the next one is made.
fn bytes_of<F: Future>(future: F) -> usize {
    size_of_val(&future)
}

#[test]
fn no_future_of_an_open_store_takes_more_than_a_kibibyte_beside_the_devices() {
    let config = Config::mcu(SEED, 4096, 100);
    let device = Plain(nor());
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = now(AsyncStore::format(device, &mut arena, &config)).expect("it fits");
    let mut buffer = [0; 64];
    let mut cursor = Cursor::default();
    let snapshot = store.snapshot().expect("there is room");
    let mut sizes = vec![
        ("get", bytes_of(store.get(b"key", &mut buffer))),
        ("get_at", bytes_of(store.get_at(snapshot, b"key", &mut buffer))),
        ("next", bytes_of(store.next(&mut cursor, &mut buffer))),
        ("next_at", bytes_of(store.next_at(snapshot, &mut cursor, &mut buffer))),
        ("next_key", bytes_of(store.next_key(&mut cursor, &mut buffer))),
        ("find", bytes_of(store.find(b"key"))),
        ("value_len", bytes_of(store.value_len(b"key"))),
        ("put", bytes_of(store.put(b"key", b"value"))),
        ("delete", bytes_of(store.delete(b"key"))),
        ("sync", bytes_of(store.sync())),
        ("merge_step", bytes_of(store.merge_step(100))),
        ("shrink_step", bytes_of(store.shrink_step(100))),
        ("scrub_step", bytes_of(store.scrub_step(100))),
        ("fold", bytes_of(store.fold(snapshot, |_, _| {}))),
        ("check", bytes_of(store.check(|_| {}))),
    ];
    now(store.put(b"key", b"value")).expect("there is room");
    let mut value = now(store.find(b"key")).expect("it reads").expect("it is there");
    sizes.push(("read_value", bytes_of(store.read_value(&mut value, &mut buffer))));
    for (name, bytes) in sizes {
        // Pointers and lists of frames are twice as large here as on the machines that this is for.
        assert!(bytes <= 1536, "the future of {name} takes {bytes} bytes");
    }
}

#[test]
fn a_constant_arena_is_never_too_small_and_hardly_too_large() {
    let base = BlockDevice::geometry(&nor());
    for segment_bytes in [4096, 8192, 16 << 10, 64 << 10] {
        for keys in [1, 100, 1000, 20_000] {
            for segments in [16_u64, 64, 250] {
                let capacity = segments * u64::from(segment_bytes);
                let geometry = Geometry { capacity, capacity_max: capacity, ..base };
                let config = Config::mcu(SEED, segment_bytes, keys);
                let (exact, constant) =
                    (required_bytes(&config, &geometry), arena_bytes(&config, &geometry));
                assert!(exact > 0, "{segment_bytes} {keys} {segments}");
                assert!(exact <= constant && constant - exact <= 8 * 20, "{exact} {constant}");
            }
        }
    }
}

#[test]
fn a_store_works_in_a_constant_arena_and_says_how_many_bytes_a_smaller_one_lacks() {
    const CONFIG: Config = Config::mcu(SEED, 4096, 100);
    const GEOMETRY: Geometry = Geometry {
        capacity: FLASH_BYTES as u64,
        capacity_max: FLASH_BYTES as u64,
        read_unit: 1,
        write_unit: 4,
        erase_unit: 4096,
        tear_unit: 4,
        buffer_align: 1,
        max_transfer: 1 << 20,
    };
    let mut arena = arena!(CONFIG, GEOMETRY);
    let device = {
        let mut store = Store::format(nor(), arena.bytes_mut(), &CONFIG).expect("it fits");
        let mut buffer = [0; 200];
        for round in 0..3000_u32 {
            let key = [b'k', (round % 100) as u8];
            store.put(&key, &round.to_le_bytes().repeat(30)).expect("merges make room");
            let value = store.get(&key, &mut buffer).expect("it reads").expect("it is there");
            assert_eq!(value, round.to_le_bytes().repeat(30));
        }
        store.close().expect("it closes")
    };
    let mut small = Arena::<3000>::default();
    match Store::open(device, small.bytes_mut(), &CONFIG) {
        Err(Error::ArenaTooSmall { need, have }) => {
            assert_eq!((need, have), (required_bytes(&CONFIG, &GEOMETRY), 3000));
        }
        other => panic!("{other:?}"),
    }
}
