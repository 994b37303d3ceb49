//! Tests of maps on the running kernel.

use super::*;
use crate::syscall::tests::bpf_allowed;

fn spec(kind: u32, name: &str) -> MapSpec<'_> {
    MapSpec {
        kind,
        key_size: 4,
        value_size: 12,
        max_entries: 4,
        flags: 0,
        name,
    }
}

#[test]
fn cpu_lists_are_counted() {
    let cases = [
        ("0", Some(1)),
        ("0-1\n", Some(2)),
        ("0-3,5,8-9", Some(7)),
        ("", None),
        ("3-1", None),
        ("0-x", None),
        ("0-18446744073709551615", None),
    ];
    for (list, wanted) in cases {
        assert_eq!(count_cpus(list), wanted, "{list}");
    }
}

#[test]
fn elements_are_set_read_listed_and_removed() {
    if !bpf_allowed("elements") {
        return;
    }
    let map = MapHandle::new(create_map(&spec(map_kind::HASH, "elements")).unwrap()).unwrap();
    let (key, mut value, mut next) = (7u32.to_ne_bytes(), [0u8; 12], [0u8; 4]);
    assert!(!map.lookup(&key, &mut value).unwrap());
    assert!(!map.next_key(None, &mut next).unwrap());
    map.update(&key, b"twelve bytes", 0).unwrap();
    assert!(map.lookup(&key, &mut value).unwrap());
    assert_eq!(&value, b"twelve bytes");
    assert!(map.next_key(None, &mut next).unwrap());
    assert_eq!(next, key);
    assert!(!map.next_key(Some(&key), &mut next).unwrap());
    let twice = map.update(&key, &value, 1).unwrap_err();
    assert_eq!(twice.raw_os_error(), Some(libc::EEXIST));
    assert!(map.delete(&key).unwrap());
    assert!(!map.delete(&key).unwrap());
}

#[test]
fn slices_of_a_wrong_length_never_reach_the_kernel() {
    if !bpf_allowed("lengths") {
        return;
    }
    let map = MapHandle::new(create_map(&spec(map_kind::HASH, "lengths")).unwrap()).unwrap();
    let (short, key, mut long) = ([0u8; 3], [0u8; 4], [0u8; 13]);
    let errors = [
        map.update(&short, &[0; 12], 0).unwrap_err(),
        map.update(&key, &short, 0).unwrap_err(),
        map.lookup(&key, &mut long).unwrap_err(),
        map.delete(&short).unwrap_err(),
        map.next_key(Some(&short), &mut [0; 4]).unwrap_err(),
        map.next_key(None, &mut [0; 3]).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn per_cpu_values_are_rounded_and_repeated() {
    if !bpf_allowed("per-cpu values") {
        return;
    }
    let cpus = possible_cpus().unwrap();
    for kind in [map_kind::PERCPU_HASH, map_kind::PERCPU_ARRAY] {
        let map = MapHandle::new(create_map(&spec(kind, "per_cpu")).unwrap()).unwrap();
        assert_eq!(map.value_len(), 16 * cpus);
        let written: Vec<u8> = (0..map.value_len()).map(|i| i as u8).collect();
        map.update(&[0; 4], &written, 0).unwrap();
        let mut read = vec![0; map.value_len()];
        assert!(map.lookup(&[0; 4], &mut read).unwrap());
        for (cpu, chunk) in read.chunks(16).enumerate() {
            assert_eq!(chunk[..12], written[cpu * 16..cpu * 16 + 12]);
        }
    }
}

#[test]
fn maps_are_found_by_their_full_name_until_closed() {
    if !bpf_allowed("names") {
        return;
    }
    let name = "a name with more than fifteen bytes";
    let fd = create_map(&spec(map_kind::ARRAY, name)).unwrap();
    assert_eq!(registry::map_fd(name), Some(fd.as_raw_fd()));
    let handle = MapHandle::named(name).unwrap();
    assert_eq!(handle.info().name, "a_name_with_mor");
    assert_ne!(handle.as_fd().as_raw_fd(), fd.as_raw_fd());
    drop(fd);
    assert_eq!(registry::map_fd(name), None);
    handle.update(&[0; 4], &[1; 12], 0).unwrap();
    let gone = MapHandle::named(name).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
}

#[test]
fn refused_btf_is_left_out() {
    if !bpf_allowed("refused btf") {
        return;
    }
    let types = MapTypes {
        btf_fd: 1_000_000,
        key: 1,
        value: 2,
    };
    let fd = create_raw(&spec(map_kind::HASH, "refused_btf"), types).unwrap();
    // SAFETY: the kernel just made this descriptor, and nothing else holds it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

#[test]
fn refused_maps_leave_an_error() {
    if !bpf_allowed("refused map") {
        return;
    }
    let error = create_map(&spec(9999, "refused_map")).unwrap_err();
    assert_eq!((error.errno, error.operation), (libc::EINVAL, "create map"));
    assert_eq!(crate::last_error(), Some(error));
}

#[test]
fn descriptors_of_other_things_are_no_maps() {
    let file = std::fs::File::open("/proc/self/status").unwrap();
    assert!(map_info(file.as_fd()).is_err());
    assert!(MapHandle::new(file.into()).is_err());
}
