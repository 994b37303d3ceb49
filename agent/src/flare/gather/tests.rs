//! Streams of frames as collectors may write them, whole and broken.

use super::*;
use crate::flare::archive::Place;
use crate::flare::stream::Writer;
use crate::scrub::Scrubber;
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs;

/// Takes what `write` writes, with this much time, and gives the files of the archive. The other
/// end of the stream stays open when `hangs`.
fn taken(
    name: &str,
    limit: Duration,
    hangs: bool,
    write: impl Fn(&mut Writer<'_>, &mut UnixStream),
) -> (BTreeMap<String, String>, Vec<&'static str>) {
    let base = std::env::temp_dir().join(format!("gather-{name}-{}", std::process::id()));
    fs::create_dir_all(&base).unwrap();
    let place = Place {
        directories: vec![base.clone()],
        output: None,
        log_level: String::new(),
    };
    let scrubber = Scrubber::new(&[], &[]).unwrap();
    let mut archive = Archive::begin(&place, "h", &scrubber).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut out, mut raw) = (theirs.try_clone().unwrap(), theirs.try_clone().unwrap());
    write(&mut Writer::new(&mut out), &mut raw);
    drop((out, raw));
    let kept = hangs.then_some(theirs);
    let mut left = vec!["kernel", "btf"];
    let mut gathering = Gathering {
        sources: &Sources::default(),
        probe: None,
        signals: None,
        progress: &mut |_| {},
    };
    gathering
        .take(ours, &mut left, Instant::now() + limit, &mut archive)
        .unwrap();
    drop(kept);
    let path = archive.finish().unwrap();
    let mut packed = tar::Archive::new(GzDecoder::new(fs::File::open(path).unwrap()));
    let read = |entry: io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    };
    let files = packed.entries().unwrap().map(read).collect();
    fs::remove_dir_all(&base).unwrap();
    (files, left)
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn files_notes_and_rows_reach_the_archive() {
    let (files, left) = taken("whole", LONG, false, |out, _| {
        out.begin("kernel").unwrap();
        out.file("kernel.txt", 100);
        out.write_all(b"one ").unwrap();
        out.write_all(b"two").unwrap();
        out.note("three is missing").unwrap();
        out.permissions("0644 0:0 /four").unwrap();
        out.end().unwrap();
    });
    assert_eq!(files["h/kernel.txt"], "one two");
    assert_eq!(files["h/flare_creation.log"], "three is missing\n");
    assert!(files["h/permissions.log"].contains("/four"));
    assert_eq!(left, ["btf"]);
}

#[test]
fn a_collector_that_hangs_is_given_up_with_what_it_gave() {
    let (files, left) = taken("hung", Duration::from_secs(2), true, |out, _| {
        out.begin("kernel").unwrap();
        out.file("kernel.txt", 100);
        out.write_all(b"one\npassword=hid").unwrap();
    });
    assert_eq!(
        files["h/kernel.txt"], "one\n",
        "half a line may be half a secret"
    );
    let log = &files["h/flare_creation.log"];
    assert!(log.contains("kernel: given up: it took too long"), "{log}");
    assert_eq!(left, ["btf"], "it is not tried again");
}

#[test]
fn of_a_file_that_was_cut_whole_lines_are_kept() {
    let (files, _) = taken("cut", LONG, false, |out, _| {
        out.begin("kernel").unwrap();
        out.file("kernel.txt", 9);
        out.write_all(b"on").unwrap();
        out.write_all(b"e\ntwo\nthree\n").unwrap();
        out.file("other.txt", 100);
        out.write_all(b"four").unwrap();
        out.end().unwrap();
    });
    assert_eq!(files["h/kernel.txt"], "one\ntwo\n");
    assert_eq!(files["h/other.txt"], "four");
}

#[test]
fn nobody_begins_twice() {
    let (files, left) = taken("twice", LONG, false, |out, _| {
        for text in [b"one\n", b"two\n"] {
            out.begin("kernel").unwrap();
            out.file("kernel.txt", 9);
            out.write_all(text).unwrap();
            out.end().unwrap();
        }
    });
    assert_eq!(files["h/kernel.txt"], "one\n");
    assert!(!files.contains_key("h/kernel-2.txt"));
    assert_eq!(left, ["btf"]);
}

#[test]
fn what_is_no_frame_ends_it() {
    let (files, left) = taken("broken", LONG, false, |out, raw| {
        out.begin("kernel").unwrap();
        out.file("kernel.txt", 100);
        out.write_all(b"one\n").unwrap();
        raw.write_all(b"z\0\0\0\0").unwrap();
    });
    assert_eq!(files["h/kernel.txt"], "one\n");
    assert!(files["h/flare_creation.log"].contains("no known kind"));
    assert_eq!(left, ["btf"]);
    let (files, _) = taken("early", LONG, false, |out, _| out.begin("kernel").unwrap());
    assert!(files["h/flare_creation.log"].contains("it ended early"));
}
