//! One damaged place in a store that merged and was closed: every key has its value or answers `Corrupted`, wherever the
//! place is and whatever stands there; never an older value, never "missing".

use std::collections::BTreeMap;

use emberkv_core::format::group::GroupKind;
use emberkv_core::{BlockDevice as _, Config, Cursor, Error, Hints, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::Image;

use super::bench::AREA;

type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
type AnyStore<'m> = Store<'m, MemoryDevice<Vec<u8>>>;

/// A kind of store.
#[derive(Clone, Copy)]
struct Kind {
    rules: Rules,
    config: Config,
    segments: u32,
    /// Bytes of a damaged place.
    place: usize,
}

fn config(segment_bytes: u32, page_bytes: u32, hints: Hints) -> Config {
    Config {
        segment_bytes,
        page_bytes,
        frames: 24,
        keys_max: 64,
        key_bytes_max: 32,
        hints,
        ..Config::default()
    }
}

fn kinds() -> [Kind; 3] {
    let block = |hints| Kind {
        rules: Rules::block(512),
        config: config(8192, 1024, hints),
        segments: 8,
        place: 512,
    };
    let nor = Kind {
        rules: Rules::Nor { write_unit: 4, erase_unit: 1024 },
        config: config(1024, 256, Hints::Omit),
        segments: 16,
        place: 64,
    };
    [block(Hints::Write), block(Hints::Omit), nor]
}

impl Kind {
    fn device(&self, bytes: Vec<u8>) -> MemoryDevice<Vec<u8>> {
        MemoryDevice::new(bytes, self.rules).expect("the rules are valid")
    }

    fn blank(&self) -> Vec<u8> {
        let blank = if matches!(self.rules, Rules::Nor { .. }) { 0xff } else { 0 };
        vec![blank; AREA + (self.segments * self.config.segment_bytes) as usize]
    }

    fn arena(&self) -> Vec<u8> {
        vec![0; required_bytes(&self.config, &self.device(self.blank()).geometry())]
    }

    /// A store that overwrote, deleted and merged in some sessions, the last of which was closed after some steps `more`.
    fn write(&self, sessions: u32, more: u32) -> (Vec<u8>, Model) {
        let (mut arena, mut model) = (self.arena(), Model::new());
        let mut store = Store::format(self.device(self.blank()), &mut arena, &self.config)
            .expect("a blank device can be formatted");
        let mut copied = 0;
        for session in 0..sessions {
            let mut round = 0;
            while store.stats().segments_merged < 9 {
                step(
                    &mut store,
                    &mut model,
                    self.config.segment_bytes / 16,
                    session * 1000 + round,
                );
                round += 1;
                assert!(round < 1000, "{:?}", store.stats());
            }
            for _ in 0..more {
                step(
                    &mut store,
                    &mut model,
                    self.config.segment_bytes / 16,
                    session * 1000 + round,
                );
                round += 1;
            }
            copied += store.stats().copied_bytes;
            if session + 1 < sessions {
                let device = self.device(store.into_device().into_inner());
                store = Store::open(device, &mut arena, &self.config).expect("sound");
            }
        }
        assert!(copied > 0, "something was alive");
        (store.close().expect("the device works").into_inner(), model)
    }

    /// What the keys of `model` answer that are neither right nor `Corrupted`.
    fn wrong(&self, bytes: Vec<u8>, arena: &mut [u8], model: &Model) -> (Answer, Vec<String>) {
        let mut store = match Store::open(self.device(bytes), arena, &self.config) {
            Ok(store) => store,
            Err(Error::Corrupted(_)) => return (Answer::Refused, Vec::new()),
            Err(error) => return (Answer::Refused, vec![format!("open: {error}")]),
        };
        let (mut wrong, mut answer) = (Vec::new(), Answer::Right);
        let mut buffer = vec![0; 4096];
        for (key, value) in model {
            let name = String::from_utf8_lossy(key);
            match store.get(key, &mut buffer) {
                Ok(found) if found == value.as_deref() => {}
                Ok(None) => wrong.push(format!("{name} is missing")),
                Ok(Some(_)) => wrong.push(format!("{name} has another value")),
                Err(Error::Corrupted(_)) => answer = Answer::Noticed,
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
        }
        let mut cursor = Cursor::default();
        while let Ok(Some((key, value))) = store.next(&mut cursor, &mut buffer) {
            if model.get(key).and_then(Option::as_deref) != Some(value) {
                wrong.push(format!("{} is listed wrongly", String::from_utf8_lossy(key)));
            }
        }
        (answer, wrong)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Right,
    Noticed,
    Refused,
}

fn step(store: &mut AnyStore<'_>, model: &mut Model, bytes: u32, round: u32) {
    let mut put = |store: &mut AnyStore<'_>, key: String, bytes: u32| {
        let mut value = round.to_le_bytes().to_vec();
        value.resize(bytes as usize, round as u8);
        store.put(key.as_bytes(), &value).expect("there is room");
        model.insert(key.into_bytes(), Some(value));
    };
    let most = store.stats().live_bytes_max;
    if round % 1000 < 40 && store.stats().live_cost < most * 4 / 10 {
        put(store, format!("cold-{round}"), bytes);
    }
    put(store, format!("hot-{}", round % 5), bytes + round % 9);
    if round % 6 == 2 {
        put(store, format!("gone-{}", round % 4), 20);
    }
    if round % 30 == 7 {
        put(store, "chunked".to_owned(), bytes * 5 / 2);
    }
    if round % 6 == 5 {
        let key = format!("gone-{}", (round - 3) % 4).into_bytes();
        store.delete(&key).expect("there is room");
        model.insert(key, None);
    }
    if round.is_multiple_of(3) {
        store.sync().expect("the device works");
    }
}

#[test]
fn one_damaged_place_shows_no_older_value_and_hides_none() {
    let ends = if cfg!(debug_assertions) { 2 } else { 20 };
    for kind in kinds() {
        for (sessions, more) in (0..ends).flat_map(|more| [(1, more), (3, more)]) {
            let (healthy, model) = kind.write(sessions, more);
            let mut arena = kind.arena();
            let whole = kind.wrong(healthy.clone(), &mut arena, &model);
            assert_eq!(whole, (Answer::Right, Vec::new()));
            let image = Image::new(healthy.clone(), kind.config.page_bytes).expect("a store");
            let mut counts = [0_u32; 3];
            let mut silent = Vec::new();
            let newest = *image.headers().last().expect("a store has a segment");
            let close = image.groups(&newest).last().expect("a close group").parsed;
            assert_eq!(close.header.kind, GroupKind::Close);
            let close = image.at(newest.segment, close.start.0);
            for at in (AREA..healthy.len()).step_by(kind.place) {
                if (at + 1..at + kind.place).contains(&close) {
                    // It takes the close group and what lies before it: a torn tail looks the same.
                    continue;
                }
                for harm in 0..4 {
                    let mut bytes = healthy.clone();
                    let place = &mut bytes[at..at + kind.place];
                    match harm {
                        0 => place.fill(0),
                        1 => place.fill(0xff),
                        2 => place.fill(0x5a),
                        _ => place[at / 7 % kind.place] ^= 0x10,
                    }
                    let (answer, wrong) = kind.wrong(bytes, &mut arena, &model);
                    counts[answer as usize] += 1;
                    if !wrong.is_empty() {
                        let from = at - AREA;
                        let segment = from / image.layout.segment_bytes as usize;
                        let offset = from % image.layout.segment_bytes as usize;
                        silent.push(format!("segment {segment}, {offset}, harm {harm}: {wrong:?}"));
                    }
                }
            }
            assert!(silent.is_empty(), "{} places: {silent:#?}", silent.len());
            let [right, noticed, refused] = counts;
            assert!(right > 0 && refused > 0, "{counts:?}");
            // By hints only: a scan reads every record.
            assert_eq!(noticed > 0, kind.config.hints == Hints::Write, "{counts:?}");
        }
    }
}
