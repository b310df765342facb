//! Golden images: stores written once by this version of the format, opened by every later program.
//!
//! `tests/fixtures/golden/v1-*.image` are text: the size, then lines `@address hex` for what is not blank, and lines
//! `= key length CRC-64` for what the store holds. A missing file is written with `EMBER_GOLDEN=write`; one that is there
//! is never overwritten: a program that writes something else adds new files and goes on reading the old ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use emberkv_core::format::bytes::round_up;
use emberkv_core::{
    Access, BlockDevice as _, Checksums, Config, Cursor, Hints, Store, required_bytes,
};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::Image;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store that is written always in the same way.
struct Recipe {
    name: &'static str,
    rules: Rules,
    config: Config,
    segments: u32,
    write: fn(&Recipe) -> (Vec<u8>, Model),
}

const SEED: [u8; 32] = *b"golden: store id and its secret.";

fn recipes() -> [Recipe; 4] {
    let small = Config { keys_max: 64, key_bytes_max: 48, seed: SEED, ..Config::default() };
    let block = Config { segment_bytes: 4096, page_bytes: 512, frames: 24, ..small };
    let nor = Config { segment_bytes: 1024, page_bytes: 256, frames: 16, ..block };
    let (sectors, flash) = (Rules::block(512), Rules::Nor { write_unit: 4, erase_unit: 1024 });
    [
        Recipe {
            name: "v1-block512-closed",
            rules: sectors,
            config: Config { segment_bytes: 8192, page_bytes: 1024, ..block },
            segments: 6,
            write: closed,
        },
        Recipe {
            name: "v1-block512-resumed",
            rules: sectors,
            config: Config { hints: Hints::Omit, ..block },
            segments: 6,
            write: resumed,
        },
        Recipe {
            name: "v1-nor4-closed",
            rules: flash,
            config: Config { hints: Hints::Omit, ..nor },
            segments: 8,
            write: closed,
        },
        Recipe {
            name: "v1-nor4-resumed",
            rules: flash,
            config: Config { hints: Hints::Omit, ..nor },
            segments: 8,
            write: resumed,
        },
    ]
}

type GoldenStore<'m> = Store<'m, MemoryDevice<Vec<u8>>>;

impl Recipe {
    fn device(&self, bytes: Vec<u8>) -> MemoryDevice<Vec<u8>> {
        MemoryDevice::new(bytes, self.rules).expect("the rules are valid")
    }

    fn blank(&self) -> Vec<u8> {
        let blank = if matches!(self.rules, Rules::Nor { .. }) { 0xff } else { 0 };
        vec![blank; 8192 + (self.segments * self.config.segment_bytes) as usize]
    }

    fn arena(&self) -> Vec<u8> {
        vec![0; required_bytes(&self.config, &self.device(self.blank()).geometry())]
    }

    /// Formats a device and plays a session on it; a session that returns nothing ends as a crash.
    fn format(&self, session: impl FnOnce(GoldenStore<'_>) -> MemoryDevice<Vec<u8>>) -> Vec<u8> {
        let mut arena = self.arena();
        let store = Store::format(self.device(self.blank()), &mut arena, &self.config);
        session(store.expect("a blank device can be formatted")).into_inner()
    }

    fn open(
        &self,
        bytes: Vec<u8>,
        session: impl FnOnce(GoldenStore<'_>) -> MemoryDevice<Vec<u8>>,
    ) -> Vec<u8> {
        let mut arena = self.arena();
        let store = Store::open(self.device(bytes), &mut arena, &self.config);
        session(store.unwrap_or_else(|error| panic!("{}: {error}", self.name))).into_inner()
    }
}

fn value(index: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at as u8).wrapping_mul(31).wrapping_add(index)).collect()
}

fn put(store: &mut GoldenStore<'_>, model: &mut Model, key: &str, value: Vec<u8>) {
    store.put(key.as_bytes(), &value).expect("there is room");
    model.insert(key.as_bytes().to_vec(), value);
}

fn delete(store: &mut GoldenStore<'_>, model: &mut Model, key: &str) {
    let there = store.delete(key.as_bytes()).expect("there is room");
    assert_eq!(there, model.remove(key.as_bytes()).is_some());
}

/// Several segments, overwrites, deletes, a batch, an empty value, a chunked one; closed.
fn closed(recipe: &Recipe) -> (Vec<u8>, Model) {
    let mut model = Model::new();
    let large = recipe.config.segment_bytes as usize / 8;
    let bytes = recipe.format(|mut store| {
        for index in 0..10_u8 {
            let key = format!("key-{index}");
            put(&mut store, &mut model, &key, value(index, 5 + 3 * usize::from(index)));
            if index % 4 == 3 {
                store.sync().expect("the device works");
            }
        }
        put(&mut store, &mut model, "empty", Vec::new());
        put(&mut store, &mut model, "\u{0}", value(80, 1));
        put(&mut store, &mut model, "chunked", value(81, 2 * large + 17));
        // Blank bytes take no room in the text.
        for index in 0..5 {
            let filler = vec![recipe.blank()[0]; recipe.config.segment_bytes as usize / 10];
            put(&mut store, &mut model, &format!("filler-{index}"), filler);
        }
        store.sync().expect("the device works");
        delete(&mut store, &mut model, "key-3");
        put(&mut store, &mut model, "key-4", value(90, 40));
        let mut batch = store.batch().expect("a batch");
        for (index, key) in ["key-5", "batch-1", "batch-2"].iter().enumerate() {
            let value = value(100 + index as u8, 11);
            batch.put(key.as_bytes(), &value).expect("the batch fits");
            model.insert(key.as_bytes().to_vec(), value);
        }
        batch.delete(b"key-6").expect("the batch fits");
        model.remove(&b"key-6"[..]);
        batch.commit().expect("there is room");
        store.close().expect("the device works")
    });
    (bytes, model)
}

/// Two sessions that end with a torn group each; the second one resumed the first one's log. Not opened since.
fn resumed(recipe: &Recipe) -> (Vec<u8>, Model) {
    let mut model = Model::new();
    let mut bytes = recipe.format(|mut store| {
        for index in 0..6_u8 {
            put(&mut store, &mut model, &format!("key-{index}"), value(index, 30));
        }
        store.sync().expect("the device works");
        tear(store, recipe)
    });
    bytes = recipe.open(bytes, |mut store| {
        put(&mut store, &mut model, "key-1", value(50, 33));
        delete(&mut store, &mut model, "key-2");
        store.sync().expect("the device works");
        put(&mut store, &mut model, "second-boot", value(51, 60));
        store.sync().expect("the device works");
        tear(store, recipe)
    });
    (bytes, model)
}

/// One more commit of two records, of which only the first half reaches the medium.
fn tear(mut store: GoldenStore<'_>, recipe: &Recipe) -> MemoryDevice<Vec<u8>> {
    let before = store.device().as_bytes().to_vec();
    let large = vec![0x42; recipe.config.segment_bytes as usize / 8 - 64];
    store.put(b"torn-1", &large).expect("there is room");
    store.put(b"key-1", b"torn").expect("there is room");
    store.sync().expect("the device works");
    let mut bytes = store.into_device().into_inner();
    let changed = |at: &usize| bytes[*at] != before[*at];
    let first = (0..bytes.len()).find(changed).expect("something was written");
    let last = (0..bytes.len()).rfind(changed).expect("something was written");
    let middle = round_up(((first + last) / 2) as u32, 4) as usize;
    bytes[middle..].copy_from_slice(&before[middle..]);
    recipe.device(bytes)
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/golden/{name}.image"))
}

const ROW: usize = 32;

fn print(recipe: &Recipe, bytes: &[u8], model: &Model) -> String {
    let blank = recipe.blank()[0];
    let mut text = format!("bytes {} blank {blank:02x}\n", bytes.len());
    for (index, row) in bytes.chunks(ROW).enumerate() {
        let Some(last) = row.iter().rposition(|&byte| byte != blank) else { continue };
        let first = row.iter().position(|&byte| byte != blank).unwrap_or(0);
        write!(text, "@{:x} ", index * ROW + first).expect("strings take everything");
        for byte in &row[first..=last] {
            write!(text, "{byte:02x}").expect("strings take everything");
        }
        text.push('\n');
    }
    for (key, value) in model {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let sum = (Checksums::PORTABLE.crc64)(0, value);
        writeln!(text, "= {key} {} {sum:016x}", value.len()).expect("strings take everything");
    }
    text
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}

/// Keys, and the length and the CRC-64 of their values.
type Content = BTreeMap<Vec<u8>, (usize, u64)>;

fn parse(text: &str) -> (Vec<u8>, Content) {
    let (mut bytes, mut content) = (Vec::new(), Content::new());
    for line in text.lines() {
        let mut words = line.split(' ');
        let first = words.next().expect("a line has a word");
        let mut word = || words.next().expect("the line is whole");
        if first == "bytes" {
            let size = word().parse().expect("a size");
            assert_eq!(word(), "blank");
            bytes = vec![hex(word())[0]; size];
        } else if first == "=" {
            let key = hex(word());
            let length = word().parse().expect("a length");
            content.insert(key, (length, u64::from_str_radix(word(), 16).expect("a checksum")));
        } else {
            let at = usize::from_str_radix(first.trim_start_matches('@'), 16).expect("an address");
            let row = hex(word());
            bytes[at..at + row.len()].copy_from_slice(&row);
        }
    }
    (bytes, content)
}

fn load(name: &str) -> String {
    std::fs::read_to_string(path(name))
        .unwrap_or_else(|error| panic!("{name}: {error}; EMBER_GOLDEN=write makes missing ones"))
}

#[test]
fn missing_images_are_written_on_demand_only() {
    for recipe in recipes() {
        let path = path(recipe.name);
        if !path.exists() && std::env::var("EMBER_GOLDEN").as_deref() == Ok("write") {
            let (bytes, model) = (recipe.write)(&recipe);
            std::fs::write(&path, print(&recipe, &bytes, &model)).expect("the tree is writable");
        }
        let text = load(recipe.name);
        assert!(text.len() < 20 << 10, "{}: {} bytes", recipe.name, text.len());
    }
}

fn read_all(store: &mut GoldenStore<'_>) -> Content {
    let (mut content, mut cursor) = (Content::new(), Cursor::default());
    let mut buffer = vec![0; 16384];
    while let Some((key, value)) = store.next(&mut cursor, &mut buffer).expect("sound") {
        let sum = (Checksums::PORTABLE.crc64)(0, value);
        let twice = content.insert(key.to_vec(), (value.len(), sum));
        assert_eq!(twice, None, "a key comes once");
    }
    let keys: Vec<_> = content.keys().cloned().collect();
    for key in keys {
        let value = store.get(&key, &mut buffer).expect("sound").expect("iteration showed it");
        assert_eq!(content[&key], (value.len(), (Checksums::PORTABLE.crc64)(0, value)));
    }
    content
}

#[test]
fn golden_images_open_with_their_content_and_check_clean() {
    for mut recipe in recipes() {
        let (bytes, content) = parse(&load(recipe.name));
        let device = bytes.clone();
        let left = recipe.open(device, |mut store| {
            assert_eq!(read_all(&mut store), content, "{}", recipe.name);
            let summary = store.check(|place| panic!("{}: {place}", recipe.name)).expect("sound");
            assert!(summary.records as usize >= content.len());
            store.put(b"written by a later program", b"value").expect("there is room");
            store.close().expect("the device works")
        });
        // Again, now behind what this program wrote.
        recipe.open(left, |mut store| {
            let mut now = read_all(&mut store);
            assert!(now.remove(&b"written by a later program"[..]).is_some());
            assert_eq!(now, content, "{}", recipe.name);
            store.into_device()
        });
        recipe.config.access = Access::ReadOnly;
        let untouched = recipe.open(bytes.clone(), |mut store| {
            assert_eq!(read_all(&mut store), content, "{}", recipe.name);
            store.into_device()
        });
        assert!(untouched == bytes, "{}: a read-only open wrote", recipe.name);
    }
}

#[test]
fn golden_images_hold_what_they_are_for() {
    let image = |name: &str, page_bytes| {
        Image::new(parse(&load(name)).0, page_bytes).expect("a superblock")
    };
    let closed = image("v1-block512-closed", 1024);
    assert!(closed.headers().len() >= 2, "more than one segment");
    let footer = closed.footer(closed.headers()[0].segment).expect("a sealed segment");
    assert!(!footer.1.is_empty(), "with hints");
    for (name, page_bytes) in [("v1-block512-resumed", 512), ("v1-nor4-resumed", 256)] {
        let image = image(name, page_bytes);
        let groups: Vec<_> =
            image.headers().iter().flat_map(|header| image.groups(header)).collect();
        assert!(groups.iter().any(|group| group.resume.is_some()), "{name}: resumed");
    }
}

#[test]
fn the_same_operations_with_the_same_seed_give_the_same_bytes() {
    for recipe in recipes() {
        let (first, model) = (recipe.write)(&recipe);
        let (second, _) = (recipe.write)(&recipe);
        assert!(first == second, "{}", recipe.name);
        // Not a promise of the format: a program that writes other bytes adds golden images of its own.
        let golden = parse(&load(recipe.name)).0;
        let differs = (0..golden.len()).find(|&at| golden[at] != first[at]);
        assert_eq!(differs, None, "{}: first differing byte", recipe.name);
        assert!(!model.is_empty());
    }
}
