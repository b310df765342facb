//! The suites can see: every seeded bug is found within a minute, and without one nothing is found (the other suites
//! say so). EmberKV's own bugs are compiled in with `--features canaries`.

#![expect(clippy::print_stdout, reason = "counts are part of a campaign's result")]

#[cfg(feature = "canaries")]
#[test]
fn every_seeded_bug_of_the_engine_is_found_within_a_minute() {
    use emberkv_tests::sim::Ember;
    use emberkv_tests::sim::canaries::{CANARIES, hunt};
    let mut missed = Vec::new();
    for (bug, first) in CANARIES {
        match hunt::<Ember>(bug, first, std::time::Duration::from_secs(60)) {
            Some(found) => {
                println!("{bug}: {:?} after {} images, {:.1?}", found.by, found.images, found.after)
            }
            None => missed.push(bug),
        }
    }
    assert_eq!(missed, Vec::<&str>::new());
}

#[test]
fn every_seeded_bug_of_the_toy_is_found_within_a_minute() {
    use emberkv_tests::sim::Toy;
    use emberkv_tests::sim::canaries::{Hunt, hunt};
    use emberkv_tests::sim::toy::TOY_BUGS;
    for bug in TOY_BUGS {
        let found = hunt::<Toy>(bug, Hunt::Crash, std::time::Duration::from_secs(60));
        let found = found.unwrap_or_else(|| panic!("{bug} was not found"));
        println!("{bug}: {:?} after {} images, {:.1?}", found.by, found.images, found.after);
    }
}
