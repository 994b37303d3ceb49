//! One perf ring buffer: opened with a watermark, so that the kernel does not wake us for every
//! record, and read without copying twice.
//!
//! redbpf's own buffers wake their reader at each record (7 us of the traced process each), which
//! is why these are ours; the descriptors are registered in the maps that redbpf created.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::program::{perf_event_open, PerfAttributes};

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_BPF_OUTPUT: u64 = 10;
const PERF_SAMPLE_RAW: u64 = 1 << 10;
/// The `watermark` bit of struct perf_event_attr.
const WATERMARK: u64 = 1 << 14;
const RECORD_LOST: u32 = 2;
const RECORD_SAMPLE: u32 = 9;
/// struct perf_event_mmap_page: data_head and data_tail.
const HEAD: usize = 1024;
const TAIL: usize = 1032;
const HEADER: u64 = 8;

/// A mapped ring.
pub struct Ring {
    fd: OwnedFd,
    memory: NonNull<u8>,
    page: usize,
    data: usize,
    tail: u64,
    /// Records that the kernel reports lost in this ring.
    pub lost: u64,
}

impl Ring {
    /// Opens a ring of `size` bytes (a power of two of pages) for one CPU; the reader is woken
    /// when `watermark` bytes wait.
    pub fn open(cpu: u32, size: usize, watermark: u32) -> io::Result<Ring> {
        let attributes = PerfAttributes {
            kind: PERF_TYPE_SOFTWARE,
            size: std::mem::size_of::<PerfAttributes>() as u32,
            config: PERF_COUNT_SW_BPF_OUTPUT,
            sample_period: 1,
            sample_type: PERF_SAMPLE_RAW,
            flags: WATERMARK,
            wakeup: watermark,
            ..PerfAttributes::default()
        };
        let fd = perf_event_open(&attributes, -1, cpu as i32)?;
        let page = page_size();
        let memory = map(&fd, page + size)?;
        Ok(Ring {
            fd,
            memory,
            page,
            data: size,
            tail: 0,
            lost: 0,
        })
    }

    /// The descriptor to poll and to register in the map.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Reads records until the ring is empty or `budget` bytes were read, giving each sample's
    /// bytes as up to two pieces (the ring may wrap). Returns whether the ring was emptied.
    pub fn drain(&mut self, budget: usize, mut sample: impl FnMut(&[u8], &[u8])) -> bool {
        let head = self.position(HEAD).load(Ordering::Acquire);
        let limit = self.tail.saturating_add(budget as u64);
        while self.tail < head && self.tail < limit {
            let header = self.word(self.tail);
            let kind = header as u32;
            let size = header >> 48;
            if size < HEADER || self.tail + size > head {
                // Not what the kernel writes: the rest cannot be told apart any more.
                self.lost += 1;
                self.tail = head;
                break;
            }
            match kind {
                RECORD_SAMPLE => {
                    let length = (self.word(self.tail + HEADER) as u32 as usize)
                        .min((size - HEADER) as usize);
                    let (first, second) = self.bytes(self.tail + HEADER + 4, length);
                    sample(first, second);
                }
                RECORD_LOST => self.lost += self.word(self.tail + HEADER + 8),
                _ => {}
            }
            self.tail += size;
        }
        self.position(TAIL).store(self.tail, Ordering::Release);
        self.tail == head
    }

    /// Eight bytes at a position of the stream, which the kernel keeps aligned to eight.
    fn word(&self, position: u64) -> u64 {
        let (first, second) = self.bytes(position, 8);
        let mut word = [0; 8];
        for (target, byte) in word.iter_mut().zip(first.iter().chain(second)) {
            *target = *byte;
        }
        u64::from_le_bytes(word)
    }

    /// Bytes at a position of the stream, in two pieces where they wrap.
    fn bytes(&self, position: u64, length: usize) -> (&[u8], &[u8]) {
        let start = (position as usize) & (self.data - 1);
        let length = length.min(self.data);
        let first = length.min(self.data - start);
        // SAFETY: start + first <= data and length - first <= data, so both slices lie in the
        // mapping, which lives as long as self. The kernel does not write bytes between tail and
        // head until the tail moves past them, and drain moves it only after the last use.
        unsafe {
            let data = self.memory.as_ptr().add(self.page);
            (
                std::slice::from_raw_parts(data.add(start), first),
                std::slice::from_raw_parts(data, length - first),
            )
        }
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: both offsets lie in the first page of the mapping and are aligned to eight; the
        // kernel reads and writes them as 64-bit words.
        unsafe { &*self.memory.as_ptr().add(offset).cast::<AtomicU64>() }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is the range that map() returned, and no slice of it outlives self.
        unsafe {
            libc::munmap(self.memory.as_ptr().cast(), self.page + self.data);
        }
    }
}

fn map(fd: &OwnedFd, size: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new shared mapping at an address of the kernel's choice.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("the kernel mapped address 0"))
}

/// Bytes in a page.
pub fn page_size() -> usize {
    // SAFETY: sysconf only reads its argument.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
