//! Threads that put durably share device writes: more threads, more puts a second, about the same
//! number of device calls.
//!
//! `cargo run --release --example many_threads -- [DIRECTORY]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::thread;
use std::time::Instant;

use emberkv::{Db, Durability};

const PUTS_PER_THREAD: u32 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = match std::env::args_os().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let db = Db::builder()
        .capacity(64 << 20)
        .durability(Durability::Buffered)
        .open(directory.path().join("threads.ember"))?;
    for threads in [1_u32, 4, 16] {
        let before = db.stats()?.device;
        let begun = Instant::now();
        thread::scope(|scope| {
            let writers: Vec<_> = (0..threads)
                .map(|thread| {
                    // A clone for each thread; they share one store.
                    let db = db.clone();
                    scope.spawn(move || {
                        for put in 0..PUTS_PER_THREAD {
                            let key = format!("thread {thread}, put {put}");
                            db.put_durable(key, b"on the medium when this returns")?;
                        }
                        Ok::<(), emberkv::Error>(())
                    })
                })
                .collect();
            writers.into_iter().try_for_each(|writer| writer.join().expect("no panic"))
        })?;
        let puts = threads * PUTS_PER_THREAD;
        let after = db.stats()?.device;
        let calls = after.writes - before.writes + after.flushes - before.flushes;
        let rate = f64::from(puts) / begun.elapsed().as_secs_f64();
        println!(
            "{threads:>2} threads: {puts} durable puts by {calls} device calls, {rate:.0} a second"
        );
    }
    db.close()?;
    Ok(())
}
