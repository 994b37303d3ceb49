//! Any bytes as the files of a spool, or as damage to one: it opens, nothing is read that was not
//! written, and it goes on.
//!
//! An odd first byte makes the rest a list of files: which one (0 the cursor, else the segment
//! that begins with this number), its length in two bytes, its bytes. An even one makes it a list
//! of changes to a spool with records: which file, an offset in two bytes, and the byte there;
//! files from 128 on are cut at the offset.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use security_agent::forward::spool::{Options, Record, Spool};

/// The file name of the cursor of consumer `a`.
const CURSOR: &str = "ca978112ca1bbdca.cursor";
const RECORDS: u64 = 24;

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, rest)) = bytes.split_first() else {
        return;
    };
    let name = format!("spool-fuzz-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&directory);
    match mode % 2 {
        1 => {
            write_files(&directory, rest);
            check(&directory, &|record| {
                let mut places = bytes.windows(record.payload.len().max(1));
                record.payload.is_empty() || places.any(|place| place == record.payload)
            });
        }
        _ => {
            let mut spool = open(&directory);
            (1..=RECORDS).for_each(|number| {
                spool.append(&payload(number), now());
            });
            spool.read(0, 3, usize::MAX);
            spool.accept(0, 3);
            drop(spool);
            change_files(&directory, rest);
            check(&directory, &|record| {
                record.payload == payload(record.number)
            });
        }
    }
    let _ = fs::remove_dir_all(&directory);
});

fn check(directory: &Path, is_right: &dyn Fn(&Record) -> bool) {
    let mut spool = open(directory);
    let before = read(&mut spool, 0);
    assert!(before.iter().all(is_right), "a record that nobody wrote");
    let number = spool.append(b"new", now());
    assert!(before.last().is_none_or(|last| last.number < number));
    let middle = before.get(before.len() / 2);
    spool.accept(0, middle.map_or(0, |record| record.number));
    spool.maintain(now() + Duration::from_secs(1));
    drop(spool);
    let mut spool = open(directory);
    for consumer in [0, 1] {
        let after = read(&mut spool, consumer);
        let last = after
            .last()
            .map(|record| (record.number, &record.payload[..]));
        assert_eq!(last, Some((number, &b"new"[..])));
        spool.accept(consumer, number);
    }
    spool.maintain(now());
    assert_eq!(spool.disk_bytes(), 0);
}

fn open(directory: &Path) -> Spool {
    let options = Options {
        directory: Some(PathBuf::from(directory)),
        max_bytes: 1024 * 1024,
        max_age: Duration::from_secs(86_400),
    };
    Spool::open(options, &["a".to_owned(), "b".to_owned()], now())
}

/// Everything for a consumer, in small portions and at once, which is the same.
fn read(spool: &mut Spool, consumer: usize) -> Vec<Record> {
    let some = spool.read(consumer, 2, 100);
    let all = spool.read(consumer, usize::MAX, usize::MAX);
    assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
    assert!(all.starts_with(&some));
    all
}

fn write_files(directory: &Path, mut rest: &[u8]) {
    fs::create_dir(directory).unwrap();
    while let [file, low, high, content @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(content.len());
        let name = match file {
            0 => CURSOR.to_owned(),
            number => format!("{number:016x}.spool"),
        };
        fs::write(directory.join(name), &content[..length]).unwrap();
        rest = &content[length..];
    }
}

fn change_files(directory: &Path, changes: &[u8]) {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for change in changes.chunks_exact(4) {
        let path = &paths[usize::from(change[0]) % paths.len()];
        let mut bytes = fs::read(path).unwrap();
        let offset = usize::from(u16::from_le_bytes([change[1], change[2]]));
        match bytes.get_mut(offset) {
            Some(_) if change[0] >= 128 => bytes.truncate(offset),
            Some(byte) => *byte = change[3],
            None => {}
        }
        fs::write(path, bytes).unwrap();
    }
}

/// Long enough that the records take several segments.
fn payload(number: u64) -> Vec<u8> {
    vec![number as u8; 9_000]
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}
