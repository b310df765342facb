//! SIGKILL: what was acknowledged as durable is there, whoever is killed when.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use emberkv::Db;

use super::support::{count_of, pattern, place, small};

const PATH: &str = "EMBERKV_KILL_TEST_PATH";

/// Not a test of its own: what the child of the other test runs.
#[test]
fn child_that_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let db = small().open(path).expect("the store");
    thread::scope(|scope| {
        for thread in 0..3_u32 {
            let db = &db;
            scope.spawn(move || {
                let first = db.get(thread.to_le_bytes()).expect("a get");
                let from = first.map_or(0, |value| count_of(thread, &value));
                for count in from + 1.. {
                    let value = pattern(thread, count, 100 + count as usize % 3000);
                    db.put_durable(thread.to_le_bytes(), value).expect("a put");
                    // One write: lines of threads do not mix.
                    let line = format!("{thread} {count}\n");
                    std::io::stdout().write_all(line.as_bytes()).expect("a reader");
                }
            });
        }
        let db = &db;
        scope.spawn(move || {
            for put in 0..u32::MAX {
                db.put((100 + put % 2000).to_le_bytes(), [1; 500]).expect("a put");
            }
        });
    });
}

#[test]
fn sigkill_loses_nothing_that_was_durable() {
    let (_directory, path) = place();
    drop(small().open(&path).expect("a new store"));
    let mut newest: HashMap<u32, u32> = HashMap::new();
    for round in 0..10_u64 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "db::kill::child_that_is_killed", "--nocapture"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let reader = thread::spawn(move || {
            let mut seen = Vec::new();
            for line in lines.split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&line);
                let mut words = text.split(' ').map(str::parse::<u32>);
                if let (Some(Ok(thread)), Some(Ok(count)), None) =
                    (words.next(), words.next(), words.next())
                {
                    seen.push((thread, count));
                }
            }
            seen
        });
        thread::sleep(Duration::from_millis(80 + 37 * round));
        child.kill().expect("a kill");
        child.wait().expect("its end");
        for (thread, count) in reader.join().expect("the reader") {
            let known = newest.entry(thread).or_default();
            *known = count.max(*known);
        }
        let db = Db::open(&path).expect("the store");
        for (&thread, &count) in &newest {
            let value = db.get(thread.to_le_bytes()).expect("a get").expect("it was put");
            let found = count_of(thread, &value);
            assert!(found >= count, "thread {thread}: {count} was durable, {found} is there");
        }
        drop(db);
    }
    assert_eq!(newest.len(), 3, "the children got somewhere: {newest:?}");
}
