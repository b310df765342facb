//! A backup while somebody writes: the copy is of one moment.
//!
//! `cargo run --example snapshot_backup`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use emberkv::{Batch, Db};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let db = Db::open(directory.path().join("data.ember"))?;
    write_all(&db, 0)?;

    let stop = AtomicBool::new(false);
    let copy = directory.path().join("copy.ember");
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for version in 1_u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                write_all(&db, version)?;
            }
            Ok::<(), emberkv::Error>(())
        });
        let report = db.backup(&copy);
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("no panic")?;
        println!("copied {} keys while they were overwritten", report?.keys);
        Ok::<(), emberkv::Error>(())
    })?;

    let copy = Db::builder().read_only(true).open(&copy)?;
    let mut versions: Vec<Vec<u8>> = Vec::new();
    for pair in copy.iter()? {
        versions.push(pair?.1.into_vec());
    }
    versions.dedup();
    println!("every key of the copy has version {:?}", versions);
    assert_eq!(versions.len(), 1, "one moment");
    Ok(())
}

/// Every key gets the same version, all at once.
fn write_all(db: &Db, version: u32) -> Result<(), emberkv::Error> {
    let mut batch = Batch::new();
    for key in 0..1000_u32 {
        batch.put(key.to_le_bytes(), version.to_le_bytes());
    }
    db.write(&batch)
}
