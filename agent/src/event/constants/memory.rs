//! Memory: protections, mappings, and the kernel's flags of an area.

use super::{Family, Named, Values};

const PROTECTIONS: &[Named] = from_libc![
    PROT_NONE PROT_READ PROT_WRITE PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP
];

/// Beyond the C library's.
const MORE_PROTECTIONS: &[Named] = numbers![PROT_SEM 8;];

const MAPPINGS: &[Named] = from_libc![
    MAP_FILE MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE MAP_DROPPABLE MAP_TYPE MAP_FIXED
    MAP_ANON MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED MAP_NORESERVE
    MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE MAP_HUGE_64KB
    MAP_HUGE_512KB MAP_HUGE_1MB MAP_HUGE_2MB MAP_HUGE_8MB MAP_HUGE_16MB MAP_HUGE_32MB
    MAP_HUGE_256MB MAP_HUGE_512MB MAP_HUGE_1GB MAP_HUGE_2GB
];

/// Beyond the C library's, or where it has a negative number for the highest bit.
const MORE_MAPPINGS: &[Named] = numbers![
    MAP_32BIT 0x40; MAP_UNINITIALIZED 0x400_0000; MAP_HUGE_16KB 0x3800_0000;
    MAP_HUGE_16GB 0x8800_0000;
];

const NO_AREA_FLAG: &[Named] = numbers![VM_NONE 0;];

const AREA_FLAGS: &[&str] = names![
    VM_READ VM_WRITE VM_EXEC VM_SHARED VM_MAYREAD VM_MAYWRITE VM_MAYEXEC VM_MAYSHARE
    VM_GROWSDOWN VM_UFFD_MISSING VM_PFNMAP VM_DENYWRITE VM_UFFD_WP VM_LOCKED VM_IO VM_SEQ_READ
    VM_RAND_READ VM_DONTCOPY VM_DONTEXPAND VM_LOCKONFAULT VM_ACCOUNT VM_NORESERVE VM_HUGETLB
    VM_SYNC VM_ARCH_1 VM_WIPEONFORK VM_DONTDUMP VM_SOFTDIRTY VM_MIXEDMAP VM_HUGEPAGE
    VM_NOHUGEPAGE VM_MERGEABLE
];

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "memory protections",
        values: &[Values::Named(PROTECTIONS), Values::Named(MORE_PROTECTIONS)],
    },
    Family {
        name: "flags of mmap",
        values: &[Values::Named(MAPPINGS), Values::Named(MORE_MAPPINGS)],
    },
    Family {
        name: "flags of memory areas",
        values: &[Values::Named(NO_AREA_FLAG), Values::Bits(AREA_FLAGS)],
    },
];
