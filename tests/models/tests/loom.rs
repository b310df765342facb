//! Every model holds on the code as it is, and finds the bug that was seeded for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use emberkv_models::{Slip, sound};

/// Runs a model that must fail, without its message on the terminal.
fn finds(bug: &str, model: impl FnOnce()) {
    let found = catch_unwind(AssertUnwindSafe(model)).is_err();
    assert!(found, "the model does not find the bug {bug:?}");
}

#[test]
fn a_notification_wakes_all_that_sleep() {
    sound::nobody_sleeps_through_a_notification();
    use emberkv_models::{counts_after_the_glance_at_sleepers, sleeps_without_a_second_look};
    finds("sleeps without a second look", || {
        sleeps_without_a_second_look::nobody_sleeps_through_a_notification();
    });
    finds("counts after the glance at sleepers", || {
        counts_after_the_glance_at_sleepers::nobody_sleeps_through_a_notification();
    });
}

#[test]
fn readers_that_share_no_word_are_kept_from_writers() {
    sound::readers_never_meet_a_writer();
    finds("looks before it is counted", || {
        emberkv_models::looks_before_it_is_counted::readers_never_meet_a_writer();
    });
    finds("leaves a writer asleep", || {
        emberkv_models::leaves_a_writer_asleep::readers_never_meet_a_writer();
    });
}

#[test]
fn a_commit_acknowledges_what_is_on_the_medium_and_passes_the_lead_on() {
    sound::an_acknowledged_put_is_on_the_medium();
    use emberkv_models::{
        acknowledges_what_gathers, glances_before_the_ticket, passes_the_lead_without_a_wake_up,
    };
    finds("acknowledges what gathers", || {
        acknowledges_what_gathers::an_acknowledged_put_is_on_the_medium();
    });
    finds("glances before the ticket", || {
        glances_before_the_ticket::an_acknowledged_put_is_on_the_medium();
    });
    finds("passes the lead without a wake-up", || {
        passes_the_lead_without_a_wake_up::an_acknowledged_put_is_on_the_medium();
    });
}

#[test]
fn a_failed_lead_leaves_nobody_asleep() {
    sound::a_failed_lead_is_taken_up_by_those_that_waited();
    finds("fails in silence", || {
        emberkv_models::fails_in_silence::a_failed_lead_is_taken_up_by_those_that_waited();
    });
}

#[test]
fn the_background_writer_misses_nothing_that_was_staged() {
    sound::the_writer_sees_what_was_staged(Slip::No);
    finds("ticket", || sound::the_writer_sees_what_was_staged(Slip::Ticket));
}

#[test]
fn a_worker_that_is_about_to_sleep_ends_when_told() {
    sound::a_worker_ends_when_it_is_told(Slip::No);
    finds("ticket", || sound::a_worker_ends_when_it_is_told(Slip::Ticket));
}

#[test]
fn closing_waits_until_nothing_is_in_flight() {
    sound::closing_waits_for_operations_in_flight(Slip::No);
    finds("ticket", || sound::closing_waits_for_operations_in_flight(Slip::Ticket));
}

#[test]
fn a_reader_without_a_pin_finds_what_is_moved_under_it() {
    let model = sound::a_record_that_moves_is_found_and_never_taken_for_damage;
    model(Slip::No);
    finds("reuse", || model(Slip::Reuse));
    finds("patience", || model(Slip::Patience));
}
