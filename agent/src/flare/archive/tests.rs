//! Archives in directories of their own, read back by tar and compared with their manifests.

use super::*;
use std::collections::BTreeMap;
use std::fs;

use flate2::read::GzDecoder;
use serde_json::Value;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("archive-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn place(&self) -> Place {
        Place {
            directories: vec!["/proc".into(), self.0.clone()],
            output: None,
            log_level: "info".to_owned(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn scrubber() -> Scrubber {
    Scrubber::new(&["planted-secret".to_owned()], &[]).unwrap()
}

fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path).unwrap()));
    let read = |entry: io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn the_manifest_is_that_of_the_files() {
    let scratch = Scratch::new("manifest");
    let scrubber = scrubber();
    let mut archive = Archive::begin(&scratch.place(), "host/1", &scrubber).unwrap();
    archive
        .add_bytes("a.log", b"with planted-secret\n")
        .unwrap();
    archive
        .add_bytes("../../a.log", b"the same name\n")
        .unwrap();
    archive.permissions("0600 0:0 /x".to_owned());
    archive.note("one\ntwo");
    let path = archive.finish().unwrap();
    assert!(
        path.starts_with(&scratch.0),
        "nothing can be written to /proc"
    );
    let files = contents(&path);
    assert_eq!(files["host_1/a.log"], b"with ********\n");
    assert_eq!(files["host_1/a-2.log"], b"the same name\n");
    assert_eq!(files["host_1/flare_creation.log"], b"one two\n");
    assert!(files["host_1/permissions.log"].ends_with(b"0600 0:0 /x\n"));
    let manifest: Value = serde_json::from_slice(&files["host_1/manifest.json"]).unwrap();
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len());
    for file in listed {
        let bytes = &files[&format!("host_1/{}", file["path"].as_str().unwrap())];
        let hash = Sha256::digest(bytes);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (&file["sha256"], &file["bytes"]),
            (&hash.into(), &bytes.len().into())
        );
    }
    assert_eq!(listed[0]["replacements"], 1);
}

#[test]
fn two_of_one_second_and_one_that_exists() {
    let scratch = Scratch::new("names");
    let scrubber = scrubber();
    let make = |place: &Place| Archive::begin(place, "h", &scrubber)?.finish();
    let paths: Vec<_> = (0..3).map(|_| make(&scratch.place()).unwrap()).collect();
    let output = Place {
        output: Some(paths[0].clone()),
        ..scratch.place()
    };
    assert!(matches!(make(&output), Err(Error::Exists(path)) if path == paths[0]));
    let nowhere = Place {
        directories: vec!["/proc".into(), "/nonexistent".into()],
        ..scratch.place()
    };
    let error = make(&nowhere).unwrap_err().to_string();
    assert!(
        error.contains("/nonexistent") && error.contains("--output"),
        "{error}"
    );
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 3, "{paths:?}");
}

#[test]
fn what_is_too_much_is_left_out_and_said() {
    let scratch = Scratch::new("large");
    let scrubber = scrubber();
    let mut archive = Archive::begin(&scratch.place(), "h", &scrubber).unwrap();
    archive.largest = RESERVE + 40_000;
    // Text that does not get shorter by packing it.
    let mut state = 1u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b' ' + u8::try_from((state >> 33) % 64).unwrap())
    })
    .take(200_000)
    .collect();
    for number in 0..3 {
        archive
            .add_bytes(&format!("{number}.txt"), noise.as_bytes())
            .unwrap();
    }
    let path = archive.finish().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < RESERVE + 40_000);
    let files = contents(&path);
    assert!(noise.as_bytes().starts_with(&files["h/0.txt"]) && files["h/0.txt"].len() > 10_000);
    let notes = String::from_utf8_lossy(&files["h/flare_creation.log"]).into_owned();
    assert!(
        notes.contains("0.txt: cut after") && notes.contains("2.txt"),
        "{notes}"
    );
    assert!(files.contains_key("h/manifest.json"));
}

#[test]
fn an_archive_that_is_given_up_leaves_nothing() {
    let scratch = Scratch::new("dropped");
    let scrubber = scrubber();
    let mut archive = Archive::begin(&scratch.place(), "h", &scrubber).unwrap();
    archive.add_bytes("a", b"b").unwrap();
    drop(archive);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}
