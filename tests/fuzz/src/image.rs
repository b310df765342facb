//! A valid image, mutated, its checksums made right or not: opened, read, written, checked, closed, opened again.

use emberkv_core::{Access, Config, Cursor, Error, Store};
use emberkv_memory::MemoryError;

use crate::base::{key, value_of, was_put};
use crate::meter::Meter;
use crate::mutate::Mutant;
use crate::tape::Tape;

const ARENA_BYTES: usize = 512 << 10;

type FuzzStore<'m> = Store<'m, Meter>;

/// The entry.
pub fn run(data: &[u8]) {
    let mut tape = Tape::new(data);
    let (mutant, base) = Mutant::from_tape(&mut tape);
    let (fixed, rules, config) = (mutant.fixed, base.shape.rules, base.shape.config);
    let bytes = mutant.image.bytes;
    let mut arena = vec![0; ARENA_BYTES];

    let look = Config { access: Access::ReadOnly, ..config };
    if let Ok(mut store) = Store::open(Meter::new(bytes.clone(), rules), &mut arena, &look) {
        read(&mut store, fixed);
        let left = store.into_device().into_bytes();
        assert!(left == bytes, "a read-only open wrote");
    }
    let device = Meter::new(bytes, rules);
    let Ok(mut store) = Store::open(device, &mut arena, &config) else { return };
    read(&mut store, fixed);
    write(&mut store);
    store.device_mut().refill();
    read(&mut store, fixed);
    let device = if tape.byte() & 1 == 0 {
        match store.close() {
            Ok(device) => device,
            Err(_) => return,
        }
    } else {
        store.into_device()
    };
    let device = Meter::new(device.into_bytes(), rules);
    if let Ok(mut store) = Store::open(device, &mut arena, &config) {
        read(&mut store, fixed);
    }
}

/// What an answer may be on a damaged medium: anything but an error that names a bug of the engine.
fn typed<T>(what: &str, result: Result<T, Error<MemoryError>>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Device(error)) => panic!("{what}: {error}"),
        Err(Error::Geometry(error)) => panic!("{what}: {error}"),
        Err(Error::ArenaTooSmall { .. } | Error::NotAStore | Error::NotBlank) => {
            panic!("{what}: an error of opening")
        }
        Err(_) => None,
    }
}

fn read(store: &mut FuzzStore<'_>, fixed: bool) {
    let mut buffer = vec![0; 32 << 10];
    let mut cursor = Cursor::default();
    let most = store.stats().entries_max + 1;
    let mut ended = false;
    for _ in 0..most {
        match typed("next", store.next(&mut cursor, &mut buffer)) {
            Some(Some((key, value))) => {
                assert!(fixed || was_put(key, value), "iteration shows a value that was never put");
            }
            // The cursor stays where the error is.
            Some(None) | None => {
                ended = true;
                break;
            }
        }
    }
    assert!(ended, "iteration does not end");
    for index in 0..=255_u8 {
        let key = key(index);
        if let Some(Some(value)) = typed("get", store.get(&key, &mut buffer)) {
            assert!(fixed || was_put(&key, value), "get shows a value that was never put");
        }
        if index % 16 == 0 {
            let _ = typed("value_len", store.value_len(&key));
        }
    }
    let mut damages = 0;
    if let Some(summary) = typed("check", store.check(|_| damages += 1)) {
        assert_eq!(summary.damages, damages, "check counts what it reports");
    }
    let _ = format!("{:?}", store.stats());
}

fn write(store: &mut FuzzStore<'_>) {
    for index in 0..20_u8 {
        let key = key(index);
        let value = value_of(&key, 0xff00 | u32::from(index), 7 * usize::from(index));
        if typed("put", store.put(&key, &value)).is_some() && index % 5 == 0 {
            let mut buffer = vec![0; 4096];
            let read = typed("get", store.get(&key, &mut buffer));
            assert_eq!(read, Some(Some(&value[..])), "a put is visible");
            let _ = typed("sync", store.sync());
        }
        if index % 7 == 3 {
            let _ = typed("delete", store.delete(&key));
        }
    }
    let large = value_of(b"large", 0xffff, store.stats().segment_bytes as usize / 2);
    let _ = typed("put", store.put(b"large", &large));
    let _ = typed("sync", store.sync());
}
