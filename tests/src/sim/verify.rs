//! Reading a store completely, in every way it offers, and comparing the ways with one another.

use emberkv_core::Error;

use super::engine::Kv;
use super::failure::Problem;
use super::history::{History, KEYS, State};
use super::rng::digest;

/// The keys of the tape: short and long, text and not.
pub const KEY_NAMES: [&[u8]; KEYS] = [
    b"a",
    b"bb",
    b"key-2",
    b"\0",
    b"\xff\xff\xff\xff",
    b"longer-key-number-5-----",
    b"k6",
    b"key-7/with/a/path/of-31-bytes..",
];

/// A key that no tape writes.
pub const NEVER_WRITTEN: &[u8] = b"never";

fn failed(what: &str, error: &Error) -> Problem {
    Problem::new("read-error", format!("{what} answered: {error} ({error:?})"))
}

fn key_index(key: &[u8]) -> Option<usize> {
    KEY_NAMES.iter().position(|&name| name == key)
}

/// The state by iteration.
///
/// # Errors
/// A read that fails, a key that was never written, a key that comes twice, an iteration without end.
pub fn iterate<K: Kv>(store: &mut K, buffer: &mut [u8]) -> Result<State, Problem> {
    let mut state = State::default();
    let mut cursor = K::Cursor::default();
    for _ in 0..=KEYS {
        let pair = store.next(&mut cursor, buffer).map_err(|error| failed("iteration", &error))?;
        let Some((key, value)) = pair else { return Ok(state) };
        let Some(index) = key_index(key) else {
            return Err(Problem::new(
                "phantom-key",
                format!("iteration shows a key of {} bytes that nobody wrote", key.len()),
            ));
        };
        if state.values[index] != 0 {
            return Err(Problem::new("double-key", format!("iteration shows k{index} twice")));
        }
        state.set(index, digest(value));
    }
    Err(Problem::new("endless", "iteration does not end"))
}

/// The state by iteration, compared with `get` and `contains` of every key ever used and of one never used.
///
/// # Errors
/// As [`iterate`]; and a difference between the ways.
pub fn read_state<K: Kv>(
    store: &mut K,
    history: &History,
    buffer: &mut [u8],
) -> Result<State, Problem> {
    let state = iterate(store, buffer)?;
    for (index, name) in KEY_NAMES.iter().enumerate() {
        if history.used >> index & 1 == 0 && state.values[index] == 0 {
            continue;
        }
        let value =
            store.get(name, buffer).map_err(|error| failed(&format!("get of k{index}"), &error))?;
        let value = value.map_or(0, digest);
        if value != state.values[index] {
            let mut by_get = state;
            by_get.set(index, value);
            return Err(Problem::new(
                "get-differs",
                format!(
                    "get of k{index} differs from iteration: {} against {}",
                    history.explain(&by_get),
                    history.explain(&state)
                ),
            ));
        }
        let there = store.contains(name).map_err(|error| failed("contains", &error))?;
        if there != (value != 0) {
            return Err(Problem::new(
                "contains-differs",
                format!("contains(k{index}) is {there}, get says otherwise"),
            ));
        }
    }
    let never = store
        .get(NEVER_WRITTEN, buffer)
        .map_err(|error| failed("get of an unknown key", &error))?;
    if never.is_some()
        || store.contains(NEVER_WRITTEN).map_err(|error| failed("contains", &error))?
    {
        return Err(Problem::new("phantom-key", "a key that was never written is there"));
    }
    Ok(state)
}

/// Also by stream and by length: the slow ways.
///
/// # Errors
/// A difference.
pub fn read_slowly<K: Kv>(store: &mut K, state: &State, buffer: &mut [u8]) -> Result<(), Problem> {
    for (index, name) in KEY_NAMES.iter().enumerate() {
        let length = store.value_len(name).map_err(|error| failed("value_len", &error))?;
        let streamed =
            store.get_streamed(name, buffer).map_err(|error| failed("get_stream", &error))?;
        if length != streamed.map(|bytes| bytes as u64) {
            return Err(Problem::new(
                "length-differs",
                format!("k{index}: value_len {length:?}, stream {streamed:?}"),
            ));
        }
        let value = streamed.map_or(0, |bytes| digest(&buffer[..bytes]));
        if value != state.values[index] {
            return Err(Problem::new(
                "stream-differs",
                format!("the stream of k{index} differs from its get"),
            ));
        }
    }
    let keys = store.stats().keys;
    if keys != state.count() as u64 {
        return Err(Problem::new(
            "stats-differ",
            format!("stats say {keys} keys, there are {}", state.count()),
        ));
    }
    Ok(())
}

/// Which legal state the store shows.
///
/// # Errors
/// It is none.
pub fn judge(
    state: &State,
    history: &History,
    bounds: (u32, u32),
    when: &str,
) -> Result<u32, Problem> {
    history.find(state, bounds).ok_or_else(|| {
        let older = history.find(state, (0, bounds.0.saturating_sub(1)));
        let hint = match older {
            Some(step) if step < bounds.0 => format!(" = S{step}: acknowledged commits are lost"),
            _ => String::from(": no state of the history, a hole or half a batch"),
        };
        Problem::new(
            "illegal-state",
            format!(
                "{when}: {}{hint}; legal:{}",
                history.explain(state),
                history.explain_bounds(bounds)
            ),
        )
    })
}

/// The device below broke a rule of its contract.
///
/// # Errors
/// It did.
pub fn rules<K: Kv>(store: &mut K) -> Result<(), Problem> {
    match store.device().violation.take() {
        Some(what) => Err(Problem::new("device-rule", what)),
        None => Ok(()),
    }
}
