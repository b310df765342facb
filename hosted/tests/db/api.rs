//! One thread: every call, and what bad input gets.

use std::collections::BTreeMap;

use emberkv::{Batch, Db, Durability, Error, PutIf};

use super::support::{pattern, place, small};

#[test]
fn what_was_put_is_there_after_the_last_handle_is_dropped_and_the_store_opened_again() {
    let (_directory, path) = place();
    let db = Db::open(&path).expect("a new store");
    for key in 0..1000_u32 {
        db.put(key.to_le_bytes(), pattern(key, 1, 100)).expect("a put");
    }
    assert!(db.delete(7_u32.to_le_bytes()).expect("a delete"));
    assert!(!db.delete(7_u32.to_le_bytes()).expect("a delete of nothing"));
    drop(db.clone());
    drop(db);
    let db = Db::open(&path).expect("the store");
    for key in 0..1000_u32 {
        let value = db.get(key.to_le_bytes()).expect("a get");
        let expected = (key != 7).then(|| pattern(key, 1, 100));
        assert_eq!(value.map(Vec::from), expected);
    }
    assert!(db.contains_key(8_u32.to_le_bytes()).expect("a look"));
    assert!(!db.contains_key(b"nothing").expect("a look"));
    assert_eq!(db.stats().expect("figures").store.keys, 999);
    db.close().expect("a close");
}

#[test]
fn close_ends_all_handles() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    let other = db.clone();
    let snapshot = other.snapshot().expect("a snapshot");
    let mut iter = snapshot.iter();
    db.put(b"a", b"1").expect("a put");
    db.close().expect("a close");
    assert!(matches!(other.put(b"a", b"2"), Err(Error::Closed)));
    assert!(matches!(other.get(b"a"), Err(Error::Closed)));
    assert!(matches!(other.sync(), Err(Error::Closed)));
    assert!(matches!(iter.next(), Some(Err(Error::Closed))));
    assert!(matches!(other.close(), Err(Error::Closed)));
    drop((iter, snapshot));
    let db = small().open(&path).expect("the store again");
    assert_eq!(db.get(b"a").expect("a get").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_second_opener_is_refused_by_name_and_readers_share() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    assert!(matches!(Db::open(&path), Err(Error::Locked { path: named }) if named == path));
    assert!(matches!(
        small().read_only(true).open(&path),
        Err(Error::Locked { path: named }) if named == path
    ));
    db.put(b"a", b"1").expect("a put");
    db.close().expect("a close");
    let readers: Vec<Db> =
        (0..3).map(|_| small().read_only(true).open(&path).expect("a reader")).collect();
    for reader in &readers {
        assert_eq!(reader.get(b"a").expect("a get").as_deref(), Some(&b"1"[..]));
        assert!(matches!(reader.put(b"a", b"2"), Err(Error::ReadOnly)));
        assert!(matches!(reader.delete(b"a"), Err(Error::ReadOnly)));
        assert_eq!(reader.iter().expect("an iterator").count(), 1);
    }
    assert!(matches!(Db::open(&path), Err(Error::Locked { .. })));
    drop(readers);
    Db::open(&path).expect("nobody has it now");
}

#[test]
fn bad_input_gets_an_error_that_names_limit_and_value() {
    let (directory, path) = place();
    let db = small().max_keys(2000).open(&path).expect("a new store");
    assert!(matches!(db.put(b"", b"x"), Err(Error::KeySize { bytes: 0, max: 4096 })));
    let long = vec![7; 4097];
    assert!(matches!(db.put(&long, b"x"), Err(Error::KeySize { bytes: 4097, max: 4096 })));
    assert!(matches!(db.delete(b""), Err(Error::KeySize { .. })));
    assert_eq!(db.get(b"").expect("no such key"), None);
    assert_eq!(db.get(&long).expect("no such key"), None);
    let mut batch = Batch::new();
    batch.put(b"fine", b"1").put(b"", b"2");
    assert!(matches!(db.write(&batch), Err(Error::KeySize { .. })));
    assert_eq!(db.get(b"fine").expect("a get"), None, "all or nothing");
    batch.clear();
    for key in 0..2000_u32 {
        batch.put(key.to_le_bytes(), [0; 1000]);
    }
    assert!(matches!(db.write(&batch), Err(Error::BatchTooLarge { max }) if max > 10_000));
    let full = (0..3000_u32).find_map(|key| db.put(key.to_le_bytes(), b"v").err());
    let full = full.expect("the keydir is bounded");
    assert!(matches!(full, Error::KeydirFull { capacity: 2000 }), "{full}");
    assert!(full.to_string().contains("2000 keys"), "{full}");
    let other = directory.path().join("other");
    std::fs::write(&other, vec![b'x'; 1 << 16]).expect("a file");
    assert!(matches!(Db::open(&other), Err(Error::NotAStore)));
    assert_eq!(std::fs::read(&other).expect("the file"), vec![b'x'; 1 << 16]);
    assert!(matches!(small().create(&path), Err(Error::Exists { .. })));
    assert!(small().read_only(true).open(directory.path().join("none")).is_err());
    assert!(!directory.path().join("none").exists());
}

#[test]
fn a_full_store_says_so_and_deletes_pass() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    let full = (0..20_000_u32).find_map(|key| db.put(key.to_le_bytes(), [5; 1000]).err());
    let full = full.expect("16 MiB hold less");
    assert!(matches!(full, Error::Full { capacity, .. } if capacity > 15 << 20), "{full}");
    let keys = db.stats().expect("figures").store.keys as u32;
    assert!(keys > 8000, "{keys} keys of 1000 bytes in 16 MiB");
    for key in 0..keys / 2 {
        assert!(db.delete(key.to_le_bytes()).expect("a delete"));
    }
    for key in 0..keys / 4 {
        db.put(key.to_le_bytes(), [6; 1000]).expect("there is room again");
    }
    db.close().expect("a close");
}

#[test]
fn values_of_any_length_come_back_whole() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    let lengths = [0, 1, 7, 100, 4000, 4096, 20_000, 32_700, 32_768, 40_000, 100_000, 3_000_000];
    for (index, &length) in lengths.iter().enumerate() {
        let value = pattern(index as u32, 9, length);
        db.put(format!("key {index}"), &value).expect("a put");
    }
    let check = |db: &Db| {
        let keys: Vec<String> = (0..lengths.len()).map(|index| format!("key {index}")).collect();
        for (index, many) in db.get_many(&keys).expect("values").into_iter().enumerate() {
            let expected = pattern(index as u32, 9, lengths[index]);
            assert_eq!(many.map(Vec::from), Some(expected.clone()));
            assert_eq!(db.get(&keys[index]).expect("a get").map(Vec::from), Some(expected));
        }
        assert_eq!(db.iter().expect("an iterator").filter_map(Result::ok).count(), lengths.len());
    };
    check(&db);
    db.put(b"key 11", pattern(11, 9, 3_000_000)).expect("a large one again");
    check(&db);
    db.close().expect("a close");
    check(&small().open(&path).expect("the store"));
}

#[test]
fn a_cold_store_with_a_tiny_pool_answers_from_the_device() {
    let (_directory, path) = place();
    let tiny = small().cache_bytes(256 << 10);
    let db = tiny.clone().open(&path).expect("a new store");
    let mut model = BTreeMap::new();
    for key in 0..5000_u32 {
        let value = pattern(key, 1, 200 + key as usize % 1500);
        db.put(key.to_le_bytes(), &value).expect("a put");
        model.insert(key.to_le_bytes().to_vec(), value);
    }
    drop(db);
    let db = tiny.open(&path).expect("the store");
    for (key, value) in &model {
        assert_eq!(db.get(key).expect("a get").as_ref().map(|found| &found[..]), Some(&value[..]));
    }
    let stats = db.stats().expect("figures");
    assert!(stats.device.reads > 1000, "most of it was not in the pool: {:?}", stats.device);
    let keys: Vec<&Vec<u8>> = model.keys().collect();
    for keys in keys.chunks(64) {
        let values = db.get_many(keys).expect("values");
        for (key, value) in keys.iter().zip(values) {
            assert_eq!(value.map(Vec::from).as_ref(), model.get(*key));
        }
    }
    let all: BTreeMap<Vec<u8>, Vec<u8>> = db
        .iter()
        .expect("an iterator")
        .map(|pair| pair.map(|(key, value)| (key, value.into_vec())).expect("an entry"))
        .collect();
    assert_eq!(all, model);
}

#[test]
fn a_batch_is_written_in_order() {
    let (_directory, path) = place();
    let db = small().durability(Durability::Immediate).open(&path).expect("a new store");
    db.write(&Batch::new()).expect("nothing");
    let mut batch = Batch::new();
    batch.put(b"a", b"1").put(b"a", b"2").put(b"b", b"3").delete(b"b").delete(b"c");
    db.write(&batch).expect("a batch");
    assert_eq!(db.get(b"a").expect("a get").as_deref(), Some(&b"2"[..]));
    assert_eq!(db.get(b"b").expect("a get"), None);
    db.write_durable(&batch).expect("a batch");
    drop(db);
    let db = small().open(&path).expect("the store");
    assert_eq!(db.stats().expect("figures").store.keys, 1);
}

#[test]
fn a_conditional_put_needs_the_sequence_that_it_names() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    let PutIf::Stored(first) = db.put_if(b"a", b"1", None).expect("a put") else {
        panic!("there was none");
    };
    assert_eq!(db.get(b"a").expect("a get").map(|value| value.seq()), Some(first));
    assert_eq!(db.put_if(b"a", b"2", None).expect("a put"), PutIf::Changed(Some(first)));
    assert!(matches!(db.put_if(b"a", b"2", Some(first)).expect("a put"), PutIf::Stored(_)));
    assert!(matches!(db.put_if(b"a", b"3", Some(first)).expect("a put"), PutIf::Changed(Some(_))));
    assert_eq!(db.get(b"a").expect("a get").as_deref(), Some(&b"2"[..]));
    db.delete(b"a").expect("a delete");
    assert_eq!(db.put_if(b"a", b"3", Some(first)).expect("a put"), PutIf::Changed(None));
    assert!(matches!(db.put_if(b"a", b"3", None).expect("a put"), PutIf::Stored(_)));
}

#[test]
fn nothing_that_is_shown_for_debugging_holds_keys_or_values() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    db.put(b"SECRET-KEY", b"SECRET-VALUE").expect("a put");
    let mut batch = Batch::new();
    batch.put(b"SECRET-KEY", b"SECRET-VALUE");
    let value = db.get(b"SECRET-KEY").expect("a get");
    let snapshot = db.snapshot().expect("a snapshot");
    let shown = format!("{db:?} {batch:?} {value:?} {snapshot:?} {:?}", snapshot.iter());
    assert!(!shown.contains("SECRET"), "{shown}");
    assert!(!shown.contains("83, 69, 67"), "{shown}");
}

#[test]
fn dead_space_is_given_back_and_a_scrub_finds_nothing() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    for round in 0..30_u32 {
        for key in 0..1000_u32 {
            db.put(key.to_le_bytes(), pattern(key, round, 500)).expect("a put");
        }
    }
    for key in 100..1000_u32 {
        db.delete(key.to_le_bytes()).expect("a delete");
    }
    db.merge().expect("a merge");
    db.sync().expect("a sync");
    let stats = db.stats().expect("figures").store;
    let taken = u64::from(stats.segments - stats.segments_free) * u64::from(stats.segment_bytes);
    assert!(stats.segments_merged > 0);
    assert!(taken < 2 << 20, "{taken} bytes are taken for 100 values of 500 bytes");
    let report = db.scrub().expect("a scrub");
    assert_eq!(report.damages, []);
    assert!(report.bytes > 0);
}

#[test]
fn a_damaged_record_is_named_and_others_are_read() {
    use std::os::unix::fs::FileExt;
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    let mark = [0x5a; 400];
    for key in 0..3000_u32 {
        db.put(key.to_le_bytes(), pattern(key, 1, 400)).expect("a put");
    }
    db.put(b"marked", mark).expect("a put");
    for key in 3000..6000_u32 {
        db.put(key.to_le_bytes(), pattern(key, 1, 400)).expect("a put");
    }
    db.close().expect("a close");
    let bytes = std::fs::read(&path).expect("the file");
    let at = bytes.windows(mark.len()).position(|window| window == mark).expect("its value");
    let file = std::fs::File::options().write(true).open(&path).expect("the file");
    file.write_all_at(b"!", at as u64 + 200).expect("damage");
    drop(file);
    let db = small().open(&path).expect("the store");
    let error = db.get(b"marked").expect_err("it is damaged");
    assert!(matches!(error, Error::Corrupted(_)), "{error}");
    let others = (0..6000_u32).filter(|key| db.get(key.to_le_bytes()).is_ok_and(|it| it.is_some()));
    assert_eq!(others.count(), 6000);
    assert!(db.iter().expect("an iterator").any(|pair| matches!(pair, Err(Error::Corrupted(_)))));
    assert!(!db.scrub().expect("a scrub").damages.is_empty());
}

#[test]
fn a_backup_is_a_store_of_one_moment_and_replaces_nothing() {
    let (directory, path) = place();
    let db = small().open(&path).expect("a new store");
    for key in 0..2000_u32 {
        db.put(key.to_le_bytes(), pattern(key, 1, 300)).expect("a put");
    }
    db.put(b"large", pattern(1, 1, 300_000)).expect("a put");
    let copy = directory.path().join("copy");
    let report = db.backup(&copy).expect("a backup");
    assert_eq!((report.keys, report.bytes), (2001, 2000 * 304 + 300_005));
    assert!(matches!(db.backup(&copy), Err(Error::Exists { .. })));
    db.put(b"later", b"x").expect("a put");
    let copy = Db::open(&copy).expect("the copy");
    assert_eq!(copy.iter().expect("an iterator").filter_map(Result::ok).count(), 2001);
    assert_eq!(copy.get(b"large").expect("a get").expect("a value"), pattern(1, 1, 300_000));
    let names = std::fs::read_dir(directory.path()).expect("the directory").count();
    assert_eq!(names, 2, "nothing is left behind");
}
