//! The shortest useful program: open, put, get, iterate.
//!
//! `cargo run --example quickstart -- [PATH]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use emberkv::Db;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = std::env::args_os().nth(1).map(Into::into);
    let path = path.unwrap_or_else(|| directory.path().join("quickstart.ember"));

    // Made where there is none.
    let db = Db::open(&path)?;

    db.put(b"apple", b"red")?;
    db.put("pear", "green")?;
    // On the medium when it returns; the others follow within 50 ms, or now:
    db.put_durable(b"plum", b"blue")?;
    db.sync()?;

    let colour = db.get(b"apple")?.ok_or("it was put above")?;
    println!("an apple is {}", String::from_utf8_lossy(&colour));

    db.delete(b"pear")?;
    assert!(!db.contains_key(b"pear")?);

    // In no order.
    for pair in db.iter()? {
        let (key, value) = pair?;
        println!("{} = {}", String::from_utf8_lossy(&key), String::from_utf8_lossy(&value));
    }

    // Dropping it would do as well, but could not tell errors.
    db.close()?;
    Ok(())
}
