//! Each verb on its own: what it prints, what it answers.

use std::fs;
use std::process::Stdio;

use crate::support::{Place, answer, command, emberkv, noise, on, on_bytes, on_input};

#[test]
fn what_put_stored_get_writes_byte_for_byte() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["key", "value"]).done();
    assert_eq!(on(&store, "get", &["key"]).done(), b"value");
    on(&store, "put", &["key", "another"]).done();
    assert_eq!(on(&store, "get", &["key"]).done(), b"another");
}

#[test]
fn an_empty_value_is_there_and_an_absent_key_is_not() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["empty", ""]).done();
    assert_eq!(on(&store, "get", &["empty"]).done(), b"");
    let run = on(&store, "get", &["absent"]).negative();
    assert_eq!(run.out, b"");
    assert!(run.err.contains("absent"), "{}", run.err);
}

#[test]
fn any_bytes_are_a_key_and_a_value() {
    let place = Place::new();
    let store = place.store("a.ember");
    let key = b"\xff\xfe key\n\t";
    let value = b"\x80\x81\xc3\x28 value";
    on_bytes(&store, "put", &[key, value]).done();
    assert_eq!(on_bytes(&store, "get", &[key]).done(), value);
    assert_eq!(on(&store, "list", &["--null"]).done(), [key.as_slice(), b"\0"].concat());
}

#[test]
fn put_takes_standard_input_and_files_of_any_size() {
    let place = Place::new();
    let path = place.path("large.ember");
    on(&path, "create", &["--capacity=32MiB"]).done();
    let large = noise(1, 5_000_000);
    on_input(&path, "put", &["piped", "-"], &large).done();
    assert_eq!(on(&path, "get", &["piped"]).done(), large);
    let file = place.path("large.bin");
    fs::write(&file, &large[1..]).expect("written");
    on(&path, "put", &["file", "--file", file.to_str().expect("text")]).done();
    assert_eq!(on(&path, "get", &["file"]).done(), &large[1..]);
    on_input(&path, "put", &["nothing", "-"], b"").done();
    assert_eq!(on(&path, "get", &["nothing"]).done(), b"");
    let mut redirected = command(["put", path.to_str().expect("text"), "redirected", "-"]);
    redirected.stdin(fs::File::open(&file).expect("readable"));
    answer(redirected.output().expect("the program runs")).done();
    assert_eq!(on(&path, "get", &["redirected"]).done(), &large[1..]);
}

#[test]
fn delete_says_whether_the_key_was_there() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["key", "value"]).done();
    on(&store, "delete", &["key"]).done();
    on(&store, "delete", &["key"]).negative();
    on(&store, "get", &["key"]).negative();
    assert_eq!(on(&store, "list", &[]).done(), b"");
}

#[test]
fn list_gives_one_key_a_line_and_can_filter_by_prefix() {
    let place = Place::new();
    let store = place.store("a.ember");
    on_input(&store, "load", &[], b"ab\t1\naa\t2\nb\t3\n").done();
    let mut lines: Vec<_> = sorted_lines(&on(&store, "list", &[]).done());
    assert_eq!(lines, ["aa", "ab", "b"]);
    lines = sorted_lines(&on(&store, "list", &["--prefix", "a"]).done());
    assert_eq!(lines, ["aa", "ab"]);
    assert_eq!(on(&store, "list", &["--prefix", "c"]).done(), b"");
}

fn sorted_lines(text: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(text).expect("text");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_key_that_begins_with_a_dash_follows_two_dashes_and_a_negative_number_needs_none() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["--", "-key", "-value"]).done();
    assert_eq!(on(&store, "get", &["--", "-key"]).done(), b"-value");
    on(&store, "put", &["temperature", "-5"]).done();
    assert_eq!(on(&store, "get", &["temperature"]).done(), b"-5");
}

#[test]
fn create_takes_sizes_and_never_touches_a_file_that_exists() {
    let place = Place::new();
    let path = place.path("a.ember");
    let text = on(&path, "format", &["--capacity", "4MiB", "--max-capacity", "16M"]).done();
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("4 MiB") && text.contains("16 MiB"), "{text}");
    assert_eq!(fs::metadata(&path).expect("made").len(), 4 << 20);
    let before = fs::read(&path).expect("readable");
    on(&path, "create", &["--capacity", "8MiB"]).error("exists already");
    assert_eq!(fs::read(&path).expect("readable"), before);
    let names: Vec<_> = fs::read_dir(place.path("")).expect("readable").collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn create_that_cannot_succeed_leaves_nothing_behind() {
    let place = Place::new();
    let bad: [&[&str]; 4] = [
        &["--capacity", "8MiB", "--max-capacity", "4MiB"],
        &["--capacity", "4MiB", "--segment", "100000"],
        &["--capacity", "0"],
        &["--capacity", "4MiB", "--segment", "1GiB"],
    ];
    for arguments in bad {
        on(&place.path("a.ember"), "create", arguments).error("a.ember: ");
    }
    on(&place.path("no/such/directory"), "create", &["--capacity=4MiB"]).error("no such file");
    assert_eq!(fs::read_dir(place.path("")).expect("readable").count(), 0);
}

#[test]
fn stat_counts_for_people_and_for_scripts() {
    let place = Place::new();
    let store = place.store("a.ember");
    on_input(&store, "load", &[], b"a\t1\nb\t2\nc\t3\n").done();
    on(&store, "delete", &["b"]).done();
    let table = String::from_utf8(on(&store, "stat", &[]).done()).expect("text");
    assert!(table.contains("4 MiB (4194304 bytes)"), "{table}");
    let json = on(&store, "stat", &["--json"]).done();
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["keys"], 2);
    assert_eq!(json["capacity"], 4 << 20);
    assert_eq!(json["capacity_max"], 4 << 20);
    let mode = json["mode"].as_str().expect("a word");
    assert!(["direct", "buffered"].contains(&mode), "{mode}");
    for number in ["live_bytes", "free_bytes", "segments", "segments_free", "format_version"] {
        assert!(json[number].is_u64(), "{number}: {json}");
    }
}

#[test]
fn check_of_a_sound_store_answers_0_and_changes_nothing() {
    let place = Place::new();
    let store = place.store("a.ember");
    on_input(&store, "load", &[], b"a\t1\nb\t2\n").done();
    let before = fs::read(&store).expect("readable");
    let text = String::from_utf8(on(&store, "check", &[]).done()).expect("text");
    assert!(text.contains("no damage"), "{text}");
    let json = on(&store, "check", &["--json"]).done();
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!((&json["clean"], &json["opened"]), (&true.into(), &true.into()));
    assert!(json["records"].as_u64().is_some_and(|records| records >= 2), "{json}");
    assert_eq!(json["damages"], serde_json::json!([]));
    assert_eq!(fs::read(&store).expect("readable"), before);
}

#[test]
fn verbs_that_read_leave_every_byte_of_the_file_as_it_was() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["key", "value"]).done();
    let before = fs::read(&store).expect("readable");
    let modified = fs::metadata(&store).expect("there").modified().expect("known");
    on(&store, "get", &["key"]).done();
    on(&store, "get", &["absent"]).negative();
    for verb in ["list", "stat", "dump", "check"] {
        on(&store, verb, &[]).done();
    }
    on(&store, "dump", &["--tree", place.path("out").to_str().expect("text")]).done();
    assert_eq!(fs::read(&store).expect("readable"), before);
    assert_eq!(fs::metadata(&store).expect("there").modified().expect("known"), modified);
}

#[test]
fn a_reader_of_standard_output_that_goes_away_ends_the_program_quietly() {
    let place = Place::new();
    let path = place.path("a.ember");
    on(&path, "create", &["--capacity=32MiB"]).done();
    on_input(&path, "put", &["large", "-"], &noise(2, 4_000_000)).done();
    let lines: String = (0..20_000).map(|n| format!("some-longer-key-{n}\tv\n")).collect();
    on_input(&path, "load", &[], lines.as_bytes()).done();
    for arguments in [&["get", "large"][..], &["list"], &["dump"]] {
        let mut all = vec![arguments[0], path.to_str().expect("text")];
        all.extend(&arguments[1..]);
        let mut child = command(all)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        drop(child.stdout.take());
        let run = answer(child.wait_with_output().expect("the program ends"));
        run.done();
    }
}

#[test]
fn standard_output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["key", "value"]).done();
    let full = fs::File::options().write(true).open("/dev/full").expect("there");
    let mut get = command(["get", store.to_str().expect("text"), "key"]);
    get.stdout(full);
    answer(get.output().expect("the program runs")).error("standard output");
}

#[test]
fn help_and_version_are_plain_text_and_a_mistyped_verb_gets_a_suggestion() {
    let version = String::from_utf8(emberkv(["--version"]).done()).expect("text");
    assert_eq!(version, format!("emberkv {}\n", env!("CARGO_PKG_VERSION")));
    let help = String::from_utf8(emberkv(["--help"]).done()).expect("text");
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    assert!(!help.contains('\x1b'));
    let line = emberkv(["lst", "a.ember"]).error("'list'");
    assert!(!line.contains('\x1b'), "{line}");
    emberkv(["put", "a.ember"]).error("emberkv put <PATH> <KEY> <VALUE>");
    emberkv(["create", "a.ember", "--capacity", "4 furlongs"]).error("unknown unit 'furlongs'");
    assert!(emberkv([""; 0]).err.contains("Commands:"));
}

#[test]
fn a_backup_holds_everything_and_replaces_nothing() {
    let place = Place::new();
    let store = place.store("a.ember");
    let copy = place.path("copy.ember");
    let long = "v".repeat(300_000);
    on(&store, "put", &["short", "value"]).done();
    on_input(&store, "put", &["long", "-"], long.as_bytes()).done();
    on(&store, "put", &["gone", "value"]).done();
    on(&store, "delete", &["gone"]).done();
    let before = fs::read(&store).expect("readable");
    let to = format!("--to={}", copy.display());
    on(&store, "backup", &[&to]).done();
    assert!(fs::read(&store).expect("readable") == before, "the store is only read");
    assert_eq!(on(&copy, "get", &["short"]).done(), b"value");
    assert_eq!(on(&copy, "get", &["long"]).done(), long.as_bytes());
    on(&copy, "get", &["gone"]).negative();
    on(&copy, "scrub", &[]).done();
    on(&store, "backup", &[&to]).error("exists");
}

#[test]
fn a_map_has_a_sign_for_each_segment() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["key", "value"]).done();
    let json = String::from_utf8(on(&store, "map", &["--json"]).done()).expect("text");
    let stat = String::from_utf8(on(&store, "stat", &["--json"]).done()).expect("text");
    let segments = stat.split("\"segments\":").nth(1).expect("a count");
    let segments: usize = segments.split(',').next().expect("a count").parse().expect("a count");
    assert_eq!(json.matches("null").count() + json.matches("open_seq").count(), segments);
    assert_eq!(json.matches("\"head\":true").count(), 1);
    let picture = String::from_utf8(on(&store, "map", &[]).done()).expect("text");
    let cells: String = picture
        .lines()
        .skip(1)
        .filter(|line| !line.contains("alive"))
        .map(|line| &line[8..])
        .collect();
    assert_eq!(cells.chars().count(), segments);
    assert_eq!(cells.matches('>').count(), 1);
}

#[test]
fn completions_know_the_verbs() {
    let run = emberkv(["completions", "bash"]);
    let script = String::from_utf8(run.done()).expect("text");
    assert!(script.contains("salvage") && script.contains("backup"), "the verbs are in it");
}

#[test]
fn a_bench_measures_every_phase_and_leaves_nothing_behind() {
    let (place, pictures) = (Place::new(), Place::new());
    let (folder, picture) = (place.path(""), pictures.path("latency.svg"));
    let plot = picture.to_str().expect("text");
    let few = ["--seconds", "0.1", "--keys", "500", "--threads", "2"];
    let table = on(&folder, "bench", &[&few[..], &["--plot", plot]].concat()).done();
    let table = String::from_utf8(table).expect("text");
    assert_eq!(table.lines().count(), 6, "{table}");
    let picture = std::fs::read_to_string(&picture).expect("a picture");
    let json = on(&folder, "bench", &[&few[..], &["--json"]].concat()).done();
    let json = String::from_utf8(json).expect("text");
    for phase in ["put, new keys", "put, overwriting", "put_durable", "get"] {
        let row = table.lines().find(|line| line.starts_with(&format!("{phase}  ")));
        let rate = row.expect("a row")[phase.len()..].split_whitespace().next().expect("a rate");
        assert!(rate.parse::<f64>().expect("a number") > 0.0, "{table}");
        assert!(picture.contains(&format!(">{phase}: ")) && json.contains(phase));
    }
    assert!(json.contains("\"ops\":500,"), "every key is put once: {json}");
    assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), 0);
    on(&place.path("missing"), "bench", &few).error("make a directory in");
    on(&folder, "bench", &["--seconds", "0"]).error("0.01 to 86400");
}
