//! A small store whose bytes the decision suites change, and what opening it shows.

use emberkv_core::error::Corruption;
use emberkv_core::types::SegmentId;
use emberkv_core::{
    Access, BlockDevice as _, Checksums, Config, Cursor, Error, Hints, Store, required_bytes,
};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::{FoundGroup, Image};

/// Bytes of a unit.
pub(crate) const UNIT: u32 = 512;
/// The first offset of groups.
pub(crate) const DATA_START: u32 = 512;
/// The superblocks before the segments.
pub(crate) const AREA: usize = 8192;

/// What opening an image shows: its keys in order, or the damage that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Keys(Vec<String>),
    Corrupt(Corruption),
}

pub(crate) fn keys(keys: &[&str]) -> Shown {
    Shown::Keys(keys.iter().map(|key| (*key).to_owned()).collect())
}

/// The smallest segments that can be merged.
pub(crate) fn config(hints: Hints) -> Config {
    Config {
        segment_bytes: 8192,
        page_bytes: 1024,
        frames: 24,
        keys_max: 64,
        key_bytes_max: 32,
        hints,
        ..Config::default()
    }
}

pub(crate) type DecidedStore<'m> = Store<'m, MemoryDevice<Vec<u8>>>;

fn device(bytes: Vec<u8>) -> MemoryDevice<Vec<u8>> {
    MemoryDevice::new(bytes, Rules::block(UNIT)).expect("the rules are valid")
}

/// A new store of `segments` segments on which `write` ran, dropped as by a crash.
pub(crate) fn build(
    config: &Config,
    segments: u32,
    write: impl FnOnce(&mut DecidedStore<'_>),
) -> Image {
    let device = device(vec![0; AREA + (segments * config.segment_bytes) as usize]);
    let mut arena = vec![0; required_bytes(config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, config).expect("format works");
    write(&mut store);
    Image::new(store.into_device().into_inner(), config.page_bytes).expect("a store")
}

/// The value of a key.
pub(crate) fn value_of(key: &str) -> Vec<u8> {
    [key.as_bytes(), b" has this value"].concat()
}

/// Opens an image: read-only first, which must not write; then for writing, twice. All must show the same.
pub(crate) fn open(config: &Config, image: &Image) -> Shown {
    let mut arena = vec![0; required_bytes(config, &device(image.bytes.clone()).geometry())];
    let look = Config { access: Access::ReadOnly, ..*config };
    let mut once = |config: &Config, bytes: &[u8], put: bool| {
        let mut left = device(bytes.to_vec());
        let shown = match Store::open(&mut left, &mut arena, config) {
            // The store borrows the device, so that its bytes can be seen after a refusal too.
            Ok(mut store) => {
                let keys = read_keys(&mut store);
                if put {
                    store.put(b"z-after", &value_of("z-after")).expect("there is room");
                    store.sync().expect("the device works");
                }
                keys
            }
            Err(error) => Err(error.map_device(|_| unreachable!("memory does not fail"))),
        };
        let shown = match shown {
            Ok(keys) => Shown::Keys(keys),
            Err(Error::Corrupted(place)) => Shown::Corrupt(place),
            Err(error) => panic!("neither open nor corrupt: {error}"),
        };
        (shown, left.into_inner())
    };
    let (first, bytes) = once(&look, &image.bytes, false);
    assert!(bytes == image.bytes, "a read-only open writes nothing");
    let (second, bytes) = once(config, &image.bytes, true);
    assert_eq!(second, first, "an open that may write shows the same");
    let Shown::Keys(mut keys) = first.clone() else {
        assert!(bytes == image.bytes, "a refused open writes nothing");
        return first;
    };
    keys.push("z-after".to_owned());
    let (third, _) = once(config, &bytes, false);
    assert_eq!(third, Shown::Keys(keys), "what was written then is there at the next open");
    first
}

fn read_keys(store: &mut Store<'_, &mut MemoryDevice<Vec<u8>>>) -> Result<Vec<String>, Error> {
    let (mut keys, mut cursor, mut buffer) = (Vec::new(), Cursor::default(), vec![0; 4096]);
    loop {
        let next = store.next(&mut cursor, &mut buffer);
        match next.map_err(|error| error.map_device(|_| unreachable!("memory does not fail")))? {
            Some((key, value)) => {
                let key = String::from_utf8(key.to_vec()).expect("keys are text");
                assert_eq!(value, value_of(&key), "{key} has its own value");
                keys.push(key);
            }
            None => break,
        }
    }
    keys.sort();
    Ok(keys)
}

/// The digest of some groups.
pub(crate) fn digest_of(groups: &[FoundGroup]) -> u64 {
    groups.iter().fold(0, |digest, group| {
        let digest = group.resume.map_or(digest, |resume| resume.digest);
        (Checksums::PORTABLE.crc64)(digest, &group.parsed.trailer.checksum.to_le_bytes())
    })
}

/// Puts a key with its value, in a commit of its own.
pub(crate) fn commit(store: &mut DecidedStore<'_>, key: &str) {
    store.put(key.as_bytes(), &value_of(key)).expect("there is room");
    store.sync().expect("the device works");
}

/// Fills the groups of a segment with zeros.
pub(crate) fn wipe_groups(image: &mut Image, segment: SegmentId) {
    let (from, to) = (image.layout.data_start as usize, image.layout.data_end as usize);
    image.segment_mut(segment)[from..to].fill(0);
}
