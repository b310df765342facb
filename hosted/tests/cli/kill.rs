//! SIGKILL in the middle of a load: what was acknowledged is there, in order, and the load goes on.
//!
//! `EMBER_KILLS=100` kills a hundred loads instead of a few; `EMBER_SEED=n` chooses other moments.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, Random, command, files_below, noise, on};

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")),
        Err(_) => default,
    }
}

/// Many small files, some empty, a few of several MB: about 48 MB, so that a load syncs several
/// times.
pub(crate) fn make_tree(top: &Path, random: &mut Random) {
    for number in 0..600 {
        let bytes = match random.below(100) {
            0..10 => 0,
            10..60 => random.below(4_000),
            60..97 => random.below(120_000),
            _ => random.below(4_000_000),
        };
        let directory = top.join(format!("d{}/e{}", random.below(9), random.below(5)));
        fs::create_dir_all(&directory).expect("made");
        let content = noise(number + 1, bytes as usize);
        fs::write(directory.join(format!("file-{number}")), content).expect("written");
    }
}

pub(crate) fn start(store: &Path, tree: &Path, more: &[&str]) -> Child {
    let names = [store.to_str().expect("text"), "--tree", tree.to_str().expect("text"), "--acks"];
    command(["load"].iter().chain(&names).chain(more))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs")
}

/// Kills the child after `delay` and answers the N of its last whole `durable N` line.
pub(crate) fn kill(mut child: Child, delay: Duration) -> usize {
    std::thread::sleep(delay);
    child.kill().expect("killed");
    let output = child.wait_with_output().expect("the program ended");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let counts = whole.lines().filter_map(|line| line.strip_prefix("durable "));
    counts.map(|count| count.parse().expect("a number")).next_back().unwrap_or(0)
}

/// Everything in the store, by way of `dump --tree`.
pub(crate) fn content_of(store: &Path, out: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    on(store, "dump", &["--tree", out.to_str().expect("text")]).done();
    let files = files_below(out);
    fs::remove_dir_all(out).expect("removed");
    files
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures of a long run by hand")]
fn a_load_killed_at_any_moment_keeps_a_prefix_with_all_that_was_acknowledged() {
    let seed = setting("EMBER_SEED", 1);
    let kills = setting("EMBER_KILLS", 6);
    let mut random = Random(seed);
    let place = Place::new();
    let (tree, out) = (place.path("tree"), place.path("out"));
    make_tree(&tree, &mut random);
    let files = files_below(&tree);
    let started = Instant::now();
    let whole = place.path("whole.ember");
    on(&whole, "load", &["--tree", tree.to_str().expect("text")]).done();
    let duration = started.elapsed();
    assert!(content_of(&whole, &out) == files);

    let mut early = 0;
    for round in 0..kills {
        let store = place.path(&format!("{round}.ember"));
        // Somewhat beyond the whole duration: a kill just after the end is a moment, too.
        let delay = duration.mul_f64(random.below(1100) as f64 / 1000.0);
        let context = format!("EMBER_SEED={seed}, round {round}, killed after {delay:?}");
        let durable = kill(start(&store, &tree, &[]), delay);
        if !store.exists() {
            // Killed before the new store got its name: nothing was promised yet.
            assert_eq!(durable, 0, "{context}");
            continue;
        }
        assert_clean(&store, &context);
        let found = content_of(&store, &out);
        assert!(found.len() >= durable, "{context}: {} of {durable}", found.len());
        assert!(found == files[..found.len()], "{context}: no prefix");
        early += u64::from(found.len() < files.len());
        go_on(&store, &tree, &files, &out, &mut random, &context);
        fs::remove_file(&store).expect("removed");
    }
    // Shown with --nocapture: whether the moments were spread well.
    eprintln!("{kills} kills, {early} of them in the middle, in loads of {duration:?}");
}

#[track_caller]
pub(crate) fn assert_clean(store: &Path, context: &str) {
    let run = on(store, "check", &[]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{context}: {}", run.out.escape_ascii());
}

/// Loads on, is killed once more, loads to the end: nothing that was there is lost on the way.
pub(crate) fn go_on(
    store: &Path,
    tree: &Path,
    files: &[(Vec<u8>, Vec<u8>)],
    out: &Path,
    random: &mut Random,
    context: &str,
) {
    let before = content_of(store, out).len();
    let delay = Duration::from_millis(random.below(150));
    let durable = kill(start(store, tree, &["--resume"]), delay);
    assert_clean(store, context);
    let found = content_of(store, out);
    assert!(found.len() >= durable.max(before), "{context}: {} left", found.len());
    assert!(found == files[..found.len()], "{context}: no prefix after the second kill");
    on(store, "load", &["--tree", tree.to_str().expect("text"), "--resume"]).done();
    assert!(content_of(store, out) == files, "{context}: the load did not go on");
    assert_clean(store, context);
}
