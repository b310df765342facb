//! The whole of `Db` under 100,000 schedules, and copies of it with a bug that some must find.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use emberkv_models::{
    db_that_acknowledges_what_gathers, db_that_tells_nobody_of_an_operation_that_is_done, sound_db,
};

/// The stack of a thread: the engine formats and recovers on it.
const STACK_BYTES: usize = 1 << 20;

/// Schedules of each test: half with every step drawn, half with few changes of the thread.
fn schedules() -> usize {
    let chosen = std::env::var("EMBER_SCHEDULES").ok();
    chosen.map_or(50_000, |number| number.parse().expect("EMBER_SCHEDULES is a number"))
}

fn check(schedules: usize, model: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(RandomScheduler::new(schedules / 2), config.clone()).run(model);
    Runner::new(PctScheduler::new(3, schedules / 2), config).run(model);
}

/// Some schedule must fail, and for the reason that is expected.
fn finds(bug: &str, reason: &str, model: fn()) {
    let found = catch_unwind(AssertUnwindSafe(|| check(20_000, model)));
    let Err(found) = found else { panic!("no schedule finds the bug {bug:?}") };
    let told = found.downcast_ref::<String>().map_or("", String::as_str);
    assert!(told.contains(reason), "the bug {bug:?} shows as {told:?}");
}

#[test]
fn durable_puts_survive_and_reads_go_forward() {
    check(schedules(), sound_db::durable_puts_survive_and_reads_go_forward);
}

#[test]
fn closing_answers_everybody() {
    check(schedules(), sound_db::closing_answers_everybody);
}

#[test]
fn schedules_find_an_acknowledgement_before_its_flush() {
    finds(
        "acknowledges what gathers",
        "acknowledged, and lost by a cut",
        db_that_acknowledges_what_gathers::durable_puts_survive_and_reads_go_forward,
    );
}

#[test]
fn schedules_find_a_thread_that_nobody_wakes() {
    finds(
        "tells nobody of an operation that is done",
        "deadlock",
        db_that_tells_nobody_of_an_operation_that_is_done::closing_answers_everybody,
    );
}
