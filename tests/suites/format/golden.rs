//! Golden images: stores written once, opened by every later program.
//!
//! `tests/fixtures/golden/v1*.image` are text: the size, then lines `@address hex` for what is not blank, and lines
//! `= key length CRC-64` for what the store holds. A missing file is written with `EMBER_GOLDEN=write`; one that is there
//! is never overwritten: a program that writes something else adds new files and goes on reading the old ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use emberkv_core::{Access, Checksums, Cursor, Error, Store};
use emberkv_tests::image::Image;

use super::recipes::{GoldenStore, Merged, Model, Recipe, recipes};

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
        if !path.exists()
            && std::env::var("EMBER_GOLDEN").as_deref() == Ok("write")
            && let Some(write) = recipe.write
        {
            let (bytes, model) = write(&recipe);
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

/// A key that no image holds.
const LATER: &[u8] = b"written by a later program";

#[test]
fn golden_images_open_with_their_content_and_check_clean() {
    for mut recipe in recipes() {
        let (bytes, content) = parse(&load(recipe.name));
        let device = bytes.clone();
        let left = recipe.open(device, |mut store| {
            assert_eq!(read_all(&mut store), content, "{}", recipe.name);
            let summary = store.check(|place| panic!("{}: {place}", recipe.name)).expect("sound");
            assert!(summary.records as usize >= content.len());
            for (index, key) in recipe.too_many.iter().enumerate() {
                let put = store.put(LATER, b"value");
                assert_eq!(put, Err(Error::Full), "{}: {index} deletions", recipe.name);
                assert_eq!(store.delete(key.as_bytes()), Ok(true), "deletions are admitted");
            }
            let put = store.put(LATER, b"value");
            assert_eq!(put, Ok(()), "{}: {:?}", recipe.name, store.stats());
            store.close().expect("the device works")
        });
        // Again, now behind what this program wrote.
        recipe.open(left, |mut store| {
            let mut now = read_all(&mut store);
            let mut left = content.clone();
            left.retain(|key, _| !recipe.too_many.iter().any(|gone| gone.as_bytes() == key));
            assert_eq!(left.len() + recipe.too_many.len(), content.len());
            assert!(now.remove(LATER).is_some());
            assert_eq!(now, left, "{}", recipe.name);
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
fn segments_too_small_to_be_merged_are_refused_by_format_and_opened_all_the_same() {
    for recipe in recipes() {
        let mut arena = recipe.arena();
        let formatted = Store::format(recipe.device(recipe.blank()), &mut arena, &recipe.config);
        let refused = match formatted.map(|_| ()) {
            Ok(()) => false,
            Err(Error::Config { field, want }) => {
                assert_eq!(field, "segment_bytes");
                assert!(want.contains("merge"), "{want}");
                true
            }
            Err(error) => panic!("{}: {error}", recipe.name),
        };
        // Sectors of 512 bytes, segments of 4096: header, footer, mark and paddings leave no room.
        assert_eq!(refused, recipe.name == "v1-block512-resumed", "{}", recipe.name);
        recipe.open(parse(&load(recipe.name)).0, |mut store| {
            let appends_only = store.stats().live_bytes_max == u64::MAX;
            assert_eq!(appends_only, refused, "{}", recipe.name);
            assert_eq!(store.merge_step(1 << 20), Ok(false), "nothing is left to be merged");
            store.into_device()
        });
    }
}

#[test]
fn golden_images_hold_what_they_are_for() {
    let image = |name: &str, page_bytes| {
        Image::new(parse(&load(name)).0, page_bytes).expect("a superblock")
    };
    for name in ["v1-block512-closed", "v1r2-block512-closed", "v1r2-block512-merged"] {
        let closed = image(name, 1024);
        assert!(closed.headers().len() >= 2, "{name}: more than one segment");
        let footer = closed.footer(closed.headers()[0].segment).expect("a sealed segment");
        assert!(!footer.1.is_empty(), "{name}: with hints");
    }
    for name in ["v1r2-block512-merged", "v1r2-nor4-merged", "v1r3-nor4-merged"] {
        let page_bytes = if name.contains("nor4") { 256 } else { 1024 };
        let merged = Merged::of(&image(name, page_bytes));
        assert!(merged.is_all_there(), "{name}: {merged:?}");
    }
    for (name, page_bytes) in [
        ("v1-block512-resumed", 512),
        ("v1-nor4-resumed", 256),
        ("v1r2-block512-resumed", 1024),
        ("v1r2-nor4-resumed", 256),
    ] {
        let image = image(name, page_bytes);
        let groups: Vec<_> =
            image.headers().iter().flat_map(|header| image.groups(header)).collect();
        assert!(groups.iter().any(|group| group.resume.is_some()), "{name}: resumed");
    }
    // Behind a torn tail on flash the log goes on in another segment.
    let moved = image("v1r3-nor4-resumed", 256).headers();
    assert!(moved.iter().any(|header| header.cut.is_some() && header.boot.0 > 1), "{moved:?}");
}

#[test]
fn the_same_operations_with_the_same_seed_give_the_same_bytes() {
    for recipe in recipes() {
        let Some(write) = recipe.write else { continue };
        let (first, model) = write(&recipe);
        let (second, _) = write(&recipe);
        assert!(first == second, "{}", recipe.name);
        // Not a promise of the format: a program that writes other bytes adds golden images of its own.
        let golden = parse(&load(recipe.name)).0;
        let differs = (0..golden.len()).find(|&at| golden[at] != first[at]);
        assert_eq!(differs, None, "{}: first differing byte", recipe.name);
        assert!(!model.is_empty());
    }
}
