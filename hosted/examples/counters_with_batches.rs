//! Transfers between accounts: two values change together or not at all, and a conditional put
//! keeps two threads apart.
//!
//! `cargo run --example counters_with_batches`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::thread;

use emberkv::{Batch, Db, PutIf};

const ACCOUNTS: u32 = 10;
const START: i64 = 100;

fn amount(bytes: &[u8]) -> Result<i64, Box<dyn Error>> {
    Ok(i64::from_le_bytes(bytes.try_into()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let db = Db::open(directory.path().join("bank.ember"))?;

    let mut batch = Batch::new();
    for account in 0..ACCOUNTS {
        batch.put(account.to_le_bytes(), START.to_le_bytes());
    }
    db.write_durable(&batch)?;

    // One writer moves money; after a crash no transfer is half there.
    for step in 0..100_u32 {
        let (from, to) = (step % ACCOUNTS, (step * 7 + 3) % ACCOUNTS);
        if from == to {
            continue;
        }
        let values = db.get_many(&[from.to_le_bytes(), to.to_le_bytes()])?;
        let [Some(have_from), Some(have_to)] = &values[..] else { return Err("an account".into()) };
        batch.clear();
        batch.put(from.to_le_bytes(), (amount(have_from)? - 5).to_le_bytes());
        batch.put(to.to_le_bytes(), (amount(have_to)? + 5).to_le_bytes());
        db.write(&batch)?;
    }
    let mut total = 0;
    for pair in db.iter()? {
        total += amount(&pair?.1)?;
    }
    println!("{ACCOUNTS} accounts hold {total}");
    assert_eq!(total, i64::from(ACCOUNTS) * START);

    // Several threads count in one place: each tries until nobody was in between.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    increment(&db).expect("the store works");
                }
            });
        }
    });
    let visits = db.get(b"visits")?.ok_or("it was counted")?;
    println!("{} visits", amount(&visits)?);
    assert_eq!(amount(&visits)?, 1000);
    db.close()?;
    Ok(())
}

fn increment(db: &Db) -> Result<(), emberkv::Error> {
    loop {
        let old = db.get(b"visits")?;
        let (count, seq) = match &old {
            None => (0, None),
            Some(value) => {
                (i64::from_le_bytes(value[..8].try_into().unwrap_or([0; 8])), Some(value.seq()))
            }
        };
        if let PutIf::Stored(_) = db.put_if(b"visits", (count + 1).to_le_bytes(), seq)? {
            return Ok(());
        }
    }
}
