//! `Db` from outside: what its documentation promises, with real files, threads and processes.

mod db {
    mod api;
    mod durable;
    mod faults;
    mod kill;
    mod snapshots;
    mod support;
    mod threads;
}
