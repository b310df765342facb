//! A place to sleep until something has happened, one word wide.
//!
//! Who waits takes a [`Ticket`] first, looks at what it waits for, then sleeps; who changes that
//! notifies afterwards. A notification between ticket and sleep ends the sleep at once, so none is
//! lost. Nobody takes a lock to wake up, and where nobody sleeps a notification costs two atomic
//! operations and no call of the system.

use core::time::Duration;

use crate::sync::{AtomicU32, Ordering, wait_on, wake};

/// Counts what happened; wraps round.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    word: AtomicU32,
    sleepers: AtomicU32,
}

/// What a [`Signal`] had counted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

impl Signal {
    /// To be taken before looking at what is waited for.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.word.load(Ordering::SeqCst))
    }

    /// Returns once there was a notification since the ticket was taken, or after the time, or now
    /// and then without a reason.
    pub(crate) fn wait(&self, since: Ticket, at_most: Option<Duration>) {
        // Before the word is looked at: a notifier either sees the sleeper or has counted already.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if self.ticket() == since {
            wait_on(&self.word, since.0, at_most);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes everybody.
    pub(crate) fn notify_all(&self) {
        self.notify(u32::MAX >> 1);
    }

    /// Wakes one of those that sleep.
    pub(crate) fn notify_one(&self) {
        self.notify(1);
    }

    fn notify(&self, count: u32) {
        self.word.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            wake(&self.word, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;
    use core::sync::atomic::{AtomicU32, Ordering};
    use core::time::Duration;
    use std::time::Instant;

    #[test]
    fn no_notification_is_lost_between_ticket_and_sleep() {
        let (ping, pong) = (Signal::default(), Signal::default());
        let count = AtomicU32::new(0);
        const ROUNDS: u32 = 20_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let ticket = pong.ticket();
                    count.fetch_add(1, Ordering::SeqCst);
                    ping.notify_all();
                    let mut ticket = ticket;
                    while count.load(Ordering::SeqCst) < 2 * round + 2 {
                        pong.wait(ticket, None);
                        ticket = pong.ticket();
                    }
                }
            });
            for round in 0..ROUNDS {
                loop {
                    let ticket = ping.ticket();
                    if count.load(Ordering::SeqCst) > 2 * round {
                        break;
                    }
                    ping.wait(ticket, None);
                }
                count.fetch_add(1, Ordering::SeqCst);
                pong.notify_one();
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 2 * ROUNDS);
    }

    #[test]
    fn a_sleep_ends_when_its_time_is_over() {
        let signal = Signal::default();
        let begun = Instant::now();
        signal.wait(signal.ticket(), Some(Duration::from_millis(5)));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
