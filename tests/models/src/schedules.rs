// The whole of `Db` under schedules drawn at random; see `lib.rs`. Each function runs one schedule
// and panics where a promise is broken; shuttle tells where everybody sleeps for ever.

use std::sync::OnceLock;

use emberkv_core::Store;
use emberkv_file::AlignedBuffer;

use crate::medium::Medium;
use crate::shuttle_sync;

/// A new store on a medium of its own, made once.
static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();

fn builder() -> Builder {
    Db::builder()
        .segment_bytes(SEGMENT_BYTES)
        .page_bytes(PAGE_BYTES)
        .cache_bytes(64 * u64::from(PAGE_BYTES))
        .max_keys(1024)
        .durability(Durability::Interval(core::time::Duration::from_millis(2)))
}

const SEGMENT_BYTES: u32 = 8 << 10;
const PAGE_BYTES: u32 = 1024;
const CAPACITY: usize = 128 << 10;

fn open() -> (Medium, Db) {
    shuttle_sync::begin();
    let image = IMAGE.get_or_init(|| {
        let medium = Medium::new(vec![0; CAPACITY]);
        let db = builder().create_on(medium.clone()).expect("a new store");
        db.close().expect("it closes");
        medium.durable()
    });
    let medium = Medium::new(image.clone());
    let db = builder().open_on(medium.clone()).expect("a store");
    (medium, db)
}

thread_local! {
    /// Memory to look at an image with.
    static ARENA: core::cell::Cell<Option<AlignedBuffer>> = const { core::cell::Cell::new(None) };
}

/// A value of a count.
fn value(count: u8) -> [u8; 100] {
    [count; 100]
}

fn count(found: Option<Value>) -> u8 {
    found.map_or(0, |value| {
        assert!(value.len() == 100 && value.iter().all(|&byte| byte == value[0]), "a whole value");
        value[0]
    })
}

/// What a power cut now would leave of a key: its count.
fn after_a_cut(image: Vec<u8>, keys: &[&[u8]]) -> Vec<u8> {
    let medium = Medium::new(image);
    let mut arena = ARENA.take().unwrap_or_else(|| AlignedBuffer::new(1 << 20, 4096));
    let config = Config {
        page_bytes: PAGE_BYTES,
        segment_bytes: SEGMENT_BYTES,
        frames: 64,
        keys_max: 1024,
        ..Config::default()
    };
    let mut store = Store::open(&medium, &mut arena, &config).expect("it opens after a cut");
    let mut buffer = [0; 128];
    let mut one = |key: &[u8]| {
        let found = store.get(key, &mut buffer).expect("what is there can be read");
        found.map_or(0, |value| value[0])
    };
    let counts = keys.iter().map(|key| one(key)).collect();
    drop(store);
    ARENA.set(Some(arena));
    counts
}

/// Durable writers, a buffered one and a reader; then a power cut before anything is closed.
pub fn durable_puts_survive_and_reads_go_forward() {
    let (medium, db) = open();
    let durable = |key: &'static [u8]| {
        let (db, medium) = (db.clone(), medium.clone());
        shuttle::thread::spawn(move || {
            for round in 1..=2 {
                db.put_durable(key, value(round)).expect("a durable put");
            }
            medium.durable()
        })
    };
    let (first, second) = (durable(b"a"), durable(b"b"));
    let reader = {
        let db = db.clone();
        shuttle::thread::spawn(move || {
            db.put(b"c", value(1)).expect("a put");
            let before = count(db.get(b"a").expect("a get"));
            let snapshot = db.snapshot().expect("a snapshot");
            let many = db.get_many(&[b"a", b"c"]).expect("gets");
            let many: Vec<u8> = many.into_iter().map(count).collect();
            let held = count(snapshot.get(b"a").expect("a get of a snapshot"));
            assert!(before <= held && held <= many[0], "{before}, then {held}, then {}", many[0]);
            assert_eq!(many[1], 1, "a thread sees its own put");
            assert!(db.delete(b"c").expect("a delete"), "it was there");
            assert_eq!(held, count(snapshot.get(b"a").expect("again")), "a snapshot stays");
        })
    };
    // What was on the medium when the last durable put of each returned, and nothing later.
    let first = first.join().expect("the first writer");
    assert_eq!(after_a_cut(first, &[b"a"]), [2], "acknowledged, and lost by a cut");
    let second = second.join().expect("the second writer");
    assert_eq!(after_a_cut(second, &[b"b"]), [2], "acknowledged, and lost by a cut");
    reader.join().expect("the reader");
    db.close().expect("it closes");
    assert_eq!(after_a_cut(medium.durable(), &[b"a", b"b", b"c"]), [2, 2, 0]);
}

/// Handles that are dropped, one that closes, and writers that meet it: an answer for everybody,
/// and what was acknowledged is there.
pub fn closing_answers_everybody() {
    let (medium, db) = open();
    let writers: Vec<_> = (0..3_u8)
        .map(|writer| {
            let db = db.clone();
            shuttle::thread::spawn(move || {
                let mut acknowledged = 0;
                for round in 1..=3 {
                    let result = match writer {
                        0 => db.put_durable([writer], value(round)),
                        1 => db.put([writer], value(round)),
                        _ => db.put([writer], value(round)).and_then(|()| db.sync()),
                    };
                    match result {
                        Ok(()) => acknowledged = round,
                        Err(Error::Closed) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                acknowledged
            })
        })
        .collect();
    let closed = db.close();
    let acknowledged: Vec<u8> =
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
    closed.expect("it closes");
    let found = after_a_cut(medium.durable(), &[&[0], &[1], &[2]]);
    for (found, acknowledged) in found.iter().zip(&acknowledged) {
        assert!(found >= acknowledged, "{acknowledged} was acknowledged, {found} is there");
    }
}
