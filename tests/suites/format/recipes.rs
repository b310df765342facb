//! Recipes of golden images: sessions that write the same bytes whenever they run.
//!
//! Images of `v1-..` were written by a program that did not merge yet: what writes now differs (chunks are 8 bytes smaller,
//! footer and mark slots are blanked when a segment is opened), so they have no recipe any more. They stay readable.

use std::collections::BTreeMap;

use emberkv_core::format::bytes::round_up;
use emberkv_core::format::group::Announcement;
use emberkv_core::format::record::{FLAG_EXPLICIT_SEQ, RecordKind};
use emberkv_core::format::segment::HeaderPlace;
use emberkv_core::{BlockDevice as _, Config, Hints, ShortRecords, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::{FoundRecord, Image};

pub(crate) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Writes a store: its bytes, and what it holds.
type Write = fn(&Recipe) -> (Vec<u8>, Model);

/// A store and how it is written.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) rules: Rules,
    pub(crate) config: Config,
    pub(crate) segments: u32,
    /// Nothing where an earlier program wrote it, in a way that is its own.
    pub(crate) write: Option<Write>,
    /// It is fuller than this program would make it: what must go before a put is admitted.
    pub(crate) too_many: &'static [&'static str],
}

const SEED: [u8; 32] = *b"golden: store id and its secret.";

const SECTORS: Rules = Rules::block(512);
const FLASH: Rules = Rules::Nor { write_unit: 4, erase_unit: 1024 };

fn small(segment_bytes: u32, page_bytes: u32, frames: u32) -> Config {
    Config {
        segment_bytes,
        page_bytes,
        frames,
        keys_max: 64,
        key_bytes_max: 48,
        seed: SEED,
        ..Config::default()
    }
}

/// Images of the programs before this one.
fn earlier() -> [Recipe; 7] {
    let old = |name, rules, config, segments| Recipe {
        name,
        rules,
        config,
        segments,
        write: None,
        too_many: &[],
    };
    let unhinted = |config: Config| Config { hints: Hints::Omit, ..config };
    let (block, nor) = (small(4096, 512, 24), unhinted(small(1024, 256, 16)));
    [
        old("v1-block512-closed", SECTORS, small(8192, 1024, 24), 6),
        old("v1-block512-resumed", SECTORS, unhinted(block), 6),
        Recipe {
            too_many: &[
                "filler-0", "filler-1", "filler-2", "filler-3", "filler-4", "chunked", "key-4",
            ],
            ..old("v1-nor4-closed", FLASH, nor, 8)
        },
        old("v1-nor4-resumed", FLASH, nor, 8),
        old("v1r2-nor4-closed", FLASH, nor, 16),
        old("v1r2-nor4-resumed", FLASH, nor, 16),
        old("v1r2-nor4-merged", FLASH, nor, 12),
    ]
}

/// Images of this program.
fn present() -> [Recipe; 6] {
    let now = |name, rules, config, segments, write: Write| Recipe {
        name,
        rules,
        config,
        segments,
        write: Some(write),
        too_many: &[],
    };
    let block = small(8192, 1024, 24);
    let unhinted = Config { hints: Hints::Omit, ..block };
    let nor =
        Config { hints: Hints::Omit, short_records: ShortRecords::Write, ..small(1024, 256, 16) };
    [
        now("v1r2-block512-closed", SECTORS, block, 6, closed),
        now("v1r2-block512-resumed", SECTORS, unhinted, 6, resumed),
        now("v1r2-block512-merged", SECTORS, block, 8, merged),
        now("v1r3-nor4-closed", FLASH, nor, 16, closed),
        now("v1r3-nor4-resumed", FLASH, nor, 16, resumed),
        now("v1r3-nor4-merged", FLASH, nor, 12, merged),
    ]
}

pub(crate) fn recipes() -> Vec<Recipe> {
    earlier().into_iter().chain(present()).collect()
}

pub(crate) type GoldenStore<'m> = Store<'m, MemoryDevice<Vec<u8>>>;

impl Recipe {
    pub(crate) fn device(&self, bytes: Vec<u8>) -> MemoryDevice<Vec<u8>> {
        MemoryDevice::new(bytes, self.rules).expect("the rules are valid")
    }

    pub(crate) fn blank(&self) -> Vec<u8> {
        let blank = if matches!(self.rules, Rules::Nor { .. }) { 0xff } else { 0 };
        vec![blank; 8192 + (self.segments * self.config.segment_bytes) as usize]
    }

    pub(crate) fn arena(&self) -> Vec<u8> {
        vec![0; required_bytes(&self.config, &self.device(self.blank()).geometry())]
    }

    /// Formats a device and plays a session on it; a session that returns nothing ends as a crash.
    fn format(&self, session: impl FnOnce(GoldenStore<'_>) -> MemoryDevice<Vec<u8>>) -> Vec<u8> {
        let mut arena = self.arena();
        let store = Store::format(self.device(self.blank()), &mut arena, &self.config);
        session(store.expect("a blank device can be formatted")).into_inner()
    }

    pub(crate) fn open(
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

/// A little that can be told apart, and blank bytes, which take no room in the text.
fn filled(recipe: &Recipe, index: u32, bytes: u32) -> Vec<u8> {
    let mut value = index.to_le_bytes().to_vec();
    value.resize(bytes as usize, recipe.blank()[0]);
    value
}

/// Keys that are overwritten and deleted among others that stay, until the image shows everything that merges write; left
/// as by a crash, right behind an announcement.
fn merged(recipe: &Recipe) -> (Vec<u8>, Model) {
    let mut model = Model::new();
    let large = recipe.config.segment_bytes / 8;
    let bytes = recipe.format(|mut store| {
        put(&mut store, &mut model, "empty", Vec::new());
        put(&mut store, &mut model, "chunked", filled(recipe, 77, large + large / 4));
        // So full that no victim is all dead.
        let mut index = 0;
        while store.stats().live_cost < store.stats().live_bytes_max * 6 / 10 {
            let value = filled(recipe, index, large / 2);
            put(&mut store, &mut model, &format!("cold-{index}"), value);
            index += 1;
        }
        for round in 0..1000 {
            let value = filled(recipe, round, large / 2 + round % 7);
            put(&mut store, &mut model, &format!("hot-{}", round % 5), value);
            if round % 4 == 1 {
                let key = format!("gone-{}", round % 16);
                put(&mut store, &mut model, &key, filled(recipe, round, 9));
                delete(&mut store, &mut model, &key);
            }
            store.sync().expect("the device works");
            let bytes = store.device().as_bytes().to_vec();
            let image = Image::new(bytes, recipe.config.page_bytes).expect("a store");
            if Merged::of(&image).is_all_there() {
                return store.into_device();
            }
        }
        panic!("{}: {:?}", recipe.name, store.stats());
    });
    (bytes, model)
}

/// What merges left in an image.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// Kinds of records that are copies.
    pub(crate) copies: Vec<RecordKind>,
    /// A segment that the newest one announces as free, and whose header still stands.
    pub(crate) announced: Option<Announcement>,
    /// A segment whose successor has a lower place: it was used before.
    pub(crate) reused: bool,
    /// Announcements in segments that are not the newest.
    pub(crate) past: u32,
}

impl Merged {
    pub(crate) fn of(image: &Image) -> Self {
        let mut merged = Self::default();
        let headers = image.headers();
        let newest = headers.last().expect("a store has a segment");
        for header in &headers {
            let groups = image.groups(header);
            for record in groups.iter().flat_map(|group| &group.records) {
                if record.header.flags & FLAG_EXPLICIT_SEQ != 0 {
                    merged.copies.push(record.header.kind);
                }
                if record.header.kind == RecordKind::Announcement {
                    merged.note(image, (newest.segment == header.segment, record), header.segment);
                }
            }
            merged.reused |= header.cut.is_some_and(|cut| cut.segment.0 > header.segment.0);
        }
        merged
    }

    fn note(
        &mut self,
        image: &Image,
        (in_newest, record): (bool, &FoundRecord),
        segment: emberkv_core::types::SegmentId,
    ) {
        let (_, value) = image.body(segment, record);
        let announcement = Announcement::decode(value).expect("an announcement");
        let header = image.header(HeaderPlace::Own(announcement.segment));
        if !in_newest {
            self.past += 1;
        } else if header.is_some_and(|header| header.open_seq == announcement.open_seq) {
            self.announced = Some(announcement);
        }
    }

    pub(crate) fn is_all_there(&self) -> bool {
        let kinds =
            [RecordKind::Value, RecordKind::Tombstone, RecordKind::ChunkHead, RecordKind::Chunk];
        kinds.iter().all(|kind| self.copies.contains(kind))
            && self.announced.is_some()
            && self.reused
            && self.past > 0
    }
}
