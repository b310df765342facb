//! `load` and `dump` of text: any bytes survive, a bad line is named, what came before it stays.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use crate::support::{Place, answer, command, emberkv, noise, on, on_bytes, on_input};

/// Keys and values that text formats find hard.
fn hard_entries() -> Vec<(Vec<u8>, Vec<u8>)> {
    let all: Vec<u8> = (0..=255).collect();
    vec![
        (b"plain".to_vec(), b"value".to_vec()),
        (b"empty".to_vec(), Vec::new()),
        (b" \\t\\n".to_vec(), b"\t\n\r\\\0\x1b\x7f".to_vec()),
        ("schlüssel €𝄞".into(), "wert äöü \u{2028}\u{85}".into()),
        (b"\xff\xfe\xc3".to_vec(), all.clone()),
        (all[1..].to_vec(), b"\"quoted\" \\\"".to_vec()),
        (b"cut character".to_vec(), b"\xe2\x82".to_vec()),
        (b"medium".to_vec(), noise(3, 300_000)),
        (b"long text".to_vec(), "ein längerer Text\n".repeat(100_000).into()),
        (b"long noise".to_vec(), noise(4, 3_000_001)),
    ]
}

fn json_string(bytes: &[u8], name: &str) -> (String, serde_json::Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.into()),
        Err(_) => {
            use base64::Engine;
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            (format!("{name}_base64"), encoded.into())
        }
    }
}

fn assert_holds(store: &Path, entries: &[(Vec<u8>, Vec<u8>)]) {
    for (key, value) in entries {
        assert!(on_bytes(store, "get", &[key]).done() == *value, "{}", key.escape_ascii());
    }
    let keys = on(store, "list", &["--null"]).done();
    assert_eq!(keys.iter().filter(|&&byte| byte == 0).count(), entries.len());
}

#[test]
fn dump_and_load_bring_any_bytes_back_in_both_formats() {
    let place = Place::new();
    let entries = hard_entries();
    let lines: Vec<u8> = entries
        .iter()
        .flat_map(|(key, value)| {
            let fields = [json_string(key, "key"), json_string(value, "value")];
            let object: serde_json::Map<_, _> = fields.into_iter().collect();
            format!("{}\n", serde_json::Value::from(object)).into_bytes()
        })
        .collect();
    let first = place.path("first.ember");
    on_input(&first, "load", &["--format", "jsonl"], &lines).done();
    assert_holds(&first, &entries);
    for format in ["tsv", "jsonl"] {
        let file = place.path(&format!("dump.{format}"));
        let text = file.to_str().expect("text");
        // The format is guessed from the name, both ways.
        on(&first, "dump", &["-o", text]).done();
        let dumped = fs::read(&file).expect("readable");
        assert!(std::str::from_utf8(&dumped).is_ok(), "{format} is always UTF-8");
        assert_eq!(on(&first, "dump", &["--format", format]).done(), dumped);
        let second = place.path(&format!("{format}.ember"));
        on(&second, "load", &[text]).done();
        assert_holds(&second, &entries);
    }
}

#[test]
fn the_default_formats_of_dump_and_load_fit_each_other() {
    let place = Place::new();
    let (first, second) = (place.store("a.ember"), place.store("b.ember"));
    on_bytes(&first, "put", &[b"k\xff", b"v\n"]).done();
    let text = on(&first, "dump", &[]).done();
    assert_eq!(text, b"k\\xff\tv\\n\n");
    on_input(&second, "load", &["-"], &text).done();
    assert_eq!(on_bytes(&second, "get", &[b"k\xff"]).done(), b"v\n");
}

#[test]
fn a_bad_line_is_named_and_what_was_loaded_before_it_stays() {
    let place = Place::new();
    let store = place.store("a.ember");
    let cases = [
        ("tsv", "a\t1\n\nb\t2\nno tab here\nc\t3\n", "line 4: there is no tab"),
        ("tsv", "a\t1\nb\t2\nx\ty\tz\n", "line 3: there is a second tab"),
        ("tsv", "a\t1\nb\t2\n\tempty key\n", "line 3: a key of 0 bytes"),
        (
            "jsonl",
            "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{",
            "line 3: no JSON",
        ),
    ];
    for (format, text, part) in cases {
        let file = place.path(&format!("bad.{format}"));
        fs::write(&file, text).expect("written");
        let line = on(&store, "load", &[file.to_str().expect("text")]).error(part);
        assert!(line.contains(&format!("bad.{format}")), "{line}");
        assert!(line.contains("the first 2 entries are durable"), "{line}");
        assert_eq!(on(&store, "get", &["a"]).done(), b"1");
        assert_eq!(on(&store, "get", &["b"]).done(), b"2");
        on(&store, "check", &[]).done();
        on(&store, "get", &["c"]).negative();
    }
    let long = format!("{}\tv\n", "k".repeat(5000));
    on_input(&store, "load", &[], long.as_bytes()).error("line 1: a key of 5000 bytes");
}

#[test]
fn lines_may_end_in_carriage_return_and_newline_and_the_last_in_nothing() {
    let place = Place::new();
    let store = place.store("a.ember");
    on_input(&store, "load", &[], b"a\t1\r\nb\t2\\r\r\nc\t3").done();
    assert_eq!(on(&store, "get", &["a"]).done(), b"1");
    assert_eq!(on(&store, "get", &["b"]).done(), b"2\r");
    assert_eq!(on(&store, "get", &["c"]).done(), b"3");
}

#[test]
fn a_name_that_does_not_tell_the_format_is_an_error_unless_the_format_is_said() {
    let place = Place::new();
    let (store, file) = (place.store("a.ember"), place.path("data.csv"));
    fs::write(&file, "a\t1\n").expect("written");
    let name = file.to_str().expect("text");
    on(&store, "load", &[name]).error("--format");
    on(&store, "load", &[name, "--format", "tsv"]).done();
    assert_eq!(on(&store, "get", &["a"]).done(), b"1");
}

#[test]
fn an_input_that_is_not_there_leaves_no_new_store_behind() {
    let place = Place::new();
    let store = place.path("new.ember");
    on(&store, "load", &["/no/such/file.tsv"]).error("/no/such/file.tsv");
    on(&store, "load", &["--tree", "/no/such/tree"]).error("/no/such/tree");
    assert!(!store.exists());
}

#[test]
fn load_makes_the_store_where_there_is_none_and_says_so() {
    let place = Place::new();
    let store = place.path("new.ember");
    let text = on_input(&store, "load", &[], b"a\t1\n").done();
    let text = String::from_utf8(text).expect("text");
    assert!(text.starts_with("created ") && text.contains("64 MiB"), "{text}");
    let second = String::from_utf8(on_input(&store, "load", &[], b"b\t2\n").done()).expect("text");
    assert!(second.starts_with("loaded 1 entries"), "{second}");
}

#[test]
fn the_summary_is_one_line_for_people_or_one_object_for_scripts() {
    let place = Place::new();
    let store = place.store("a.ember");
    let text = on_input(&store, "load", &[], b"a\t1\nbc\t2\n").done();
    let text = String::from_utf8(text).expect("text");
    assert!(text.starts_with("loaded 2 entries, 5 bytes in "), "{text}");
    assert!(text.contains("MB/s") && text.ends_with("all durable\n"), "{text}");
    let json = on_input(&store, "load", &["--json", "--resume"], b"a\t1\nbc\t3\n").done();
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!((&json["entries"], &json["unchanged"]), (&1.into(), &1.into()), "{json}");
    assert_eq!((&json["durable"], &json["bytes"]), (&2.into(), &3.into()), "{json}");
    assert_eq!(on(&store, "get", &["bc"]).done(), b"3");
}

#[test]
fn a_store_that_fills_up_keeps_what_it_took_and_says_how_much() {
    let place = Place::new();
    let store = place.store("a.ember");
    let lines: String = (0..12).map(|n| format!("key-{n:02}\t{}\n", "x".repeat(500_000))).collect();
    let line = on_input(&store, "load", &[], lines.as_bytes()).error("the store is full");
    let durable: usize = line
        .split("the first ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|count| count.parse().ok())
        .expect("a count");
    assert!((2..12).contains(&durable), "{line}");
    on(&store, "check", &[]).done();
    for n in 0..durable {
        assert_eq!(on(&store, "get", &[&format!("key-{n:02}")]).done().len(), 500_000);
    }
}

#[test]
fn a_pipe_that_falls_silent_is_synced_and_its_store_is_closed_to_others_meanwhile() {
    let place = Place::new();
    let store = place.store("a.ember");
    let mut child = command(["load", store.to_str().expect("text"), "-", "--acks"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("a pipe was asked for");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
    input.write_all(b"a\t1\nb\t2\n").expect("the program reads");
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "durable 2\n");
    for (verb, arguments) in [("get", &["a"][..]), ("put", &["c", "3"]), ("check", &[])] {
        on(&store, verb, arguments).error("in use");
    }
    on_input(&store, "load", &[], b"c\t3\n").error("in use");
    drop(input);
    let run = answer(child.wait_with_output().expect("the program ends"));
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(on(&store, "get", &["b"]).done(), b"2");
}

#[test]
fn dump_never_writes_over_a_file() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["key", "value"]).done();
    let before = fs::read(&store).expect("readable");
    let name = store.to_str().expect("text");
    on(&store, "dump", &["--format", "tsv", "-o", name]).error("exists already");
    assert_eq!(fs::read(&store).expect("readable"), before);
    let run = emberkv(["dump", name, "--tree", "x", "-o", "y"]);
    assert_eq!(run.code, 2, "{run:?}");
}
