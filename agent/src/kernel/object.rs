//! The compiled probes as an ELF file: its programs with the maps they refer to.
//!
//! redbpf parses the same bytes for maps and kprobes; the kinds that it ignores (tracepoint,
//! raw_tracepoint, tp_btf, classifier) are read here and loaded by `program`.

use std::fmt;
use std::io::Read;

use flate2::read::DeflateDecoder;
use goblin::elf::{section_header, Elf, SectionHeader};

use super::constants::Constants;
use super::program;

/// Makes the bytes as aligned as redbpf's casts expect.
#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

/// The object, deflated at build time to an eighth.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent.o.deflate"));
/// Bytes of the object.
const SIZE: usize = include_bytes!(concat!(env!("OUT_DIR"), "/agent.o")).len();

const INSTRUCTION: u64 = 8;

/// Why the object cannot be read.
#[derive(Debug)]
pub enum Error {
    /// It is not the ELF file that it should be.
    Elf(goblin::error::Error),
    /// A part of it is not where its headers say.
    Part(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Elf(error) => write!(f, "the probe object cannot be read: {error}"),
            Error::Part(part) => write!(f, "the probe object has no valid {part}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<goblin::error::Error> for Error {
    fn from(error: goblin::error::Error) -> Error {
        Error::Elf(error)
    }
}

/// One program of the object, not yet patched or relocated.
#[derive(Clone, Debug)]
pub struct Image {
    /// Kind and target, as in `tracepoint/syscalls/sys_exit_open`.
    pub section: String,
    /// Instructions, eight bytes each.
    pub code: Vec<u8>,
    /// Which instructions load the address of which map.
    pub maps: Vec<(usize, String)>,
}

impl Image {
    /// Kind of the program: the section's name up to its first slash.
    pub fn kind(&self) -> &str {
        self.section.split('/').next().unwrap_or("")
    }

    /// What follows the kind.
    pub fn target(&self) -> &str {
        self.section
            .split_once('/')
            .map_or("", |(_, target)| target)
    }
}

/// The probes, in memory of their own.
pub struct Object {
    bytes: Box<Aligned<[u8; SIZE]>>,
}

impl Object {
    /// A copy of what was embedded at build time.
    pub fn embedded() -> Object {
        let mut bytes = Box::new(Aligned([0; SIZE]));
        // A binary whose own bytes are damaged is told of by the parser, which then finds no ELF.
        let _ = DeflateDecoder::new(EMBEDDED).read_exact(&mut bytes.0);
        Object { bytes }
    }

    /// The whole file, aligned to 16 bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes.0
    }

    /// Writes the constants into every program.
    pub fn patch(&mut self, constants: &Constants) -> Result<(), Error> {
        let ranges: Vec<_> = {
            let elf = Elf::parse(self.bytes())?;
            let programs = elf
                .section_headers
                .iter()
                .filter(|header| is_program(header));
            programs.filter_map(SectionHeader::file_range).collect()
        };
        for range in ranges {
            let code = self.bytes.0.get_mut(range);
            let code = code.ok_or(Error::Part("program section"))?;
            constants.patch(code);
            program::adapt_reads(code);
        }
        Ok(())
    }

    /// Every program.
    pub fn images(&self) -> Result<Vec<Image>, Error> {
        let elf = Elf::parse(self.bytes())?;
        let mut images = Vec::new();
        for (index, header) in elf.section_headers.iter().enumerate() {
            if !is_program(header) {
                continue;
            }
            let name = elf.shdr_strtab.get_at(header.sh_name);
            let code = header
                .file_range()
                .and_then(|range| self.bytes().get(range));
            images.push(Image {
                section: name.ok_or(Error::Part("section name"))?.to_string(),
                code: code.ok_or(Error::Part("program section"))?.to_vec(),
                maps: map_references(&elf, index)?,
            });
        }
        Ok(images)
    }
}

fn is_program(header: &SectionHeader) -> bool {
    header.sh_type == section_header::SHT_PROGBITS && header.is_executable() && header.sh_size > 0
}

/// The relocations of one section: each names a map by its section, `maps/NAME`.
fn map_references(elf: &Elf<'_>, section: usize) -> Result<Vec<(usize, String)>, Error> {
    let mut references = Vec::new();
    for (index, relocations) in &elf.shdr_relocs {
        let header = elf.section_headers.get(*index);
        if header.map(|header| header.sh_info as usize) != Some(section) {
            continue;
        }
        for relocation in relocations.iter() {
            let symbol = elf.syms.get(relocation.r_sym);
            let target = symbol.and_then(|symbol| elf.section_headers.get(symbol.st_shndx));
            let name = target.and_then(|target| elf.shdr_strtab.get_at(target.sh_name));
            let map = name.and_then(|name| name.strip_prefix("maps/"));
            references.push((
                (relocation.r_offset / INSTRUCTION) as usize,
                map.ok_or(Error::Part("map reference"))?.to_string(),
            ));
        }
    }
    Ok(references)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_read_with_its_maps() {
        let images = Object::embedded().images().unwrap();
        let exec = images
            .iter()
            .find(|image| image.section == "raw_tracepoint/sched_process_exec")
            .unwrap();
        assert!(exec.maps.iter().any(|(_, map)| map == "walk_raw"));
        assert_eq!(exec.kind(), "raw_tracepoint");
        assert_eq!(exec.target(), "sched_process_exec");
        assert!(images.iter().any(|image| image.kind() == "kretprobe"));
    }

    #[test]
    fn nothing_trips_redbpf() {
        let object = Object::embedded();
        let elf = Elf::parse(object.bytes()).unwrap();
        let name = |header: &SectionHeader| elf.shdr_strtab.get_at(header.sh_name).unwrap();
        for header in &elf.section_headers {
            // It panics on newer kinds of BTF and on a large .bss, makes a map of every data
            // section, and refuses the object for a call between functions.
            for refused in [".BTF", ".bss", ".data", ".rodata"] {
                assert!(!name(header).starts_with(refused), "{}", name(header));
            }
            assert!(name(header) != ".text" || header.sh_size == 0);
            if name(header) == "license" {
                // It panics on a license without an end.
                assert_eq!(
                    object.bytes()[header.file_range().unwrap()].last(),
                    Some(&0)
                );
            }
        }
    }

    #[test]
    fn redbpf_can_tell_all_kprobes_apart() {
        // It calls kprobe/x and kretprobe/x both x.
        let images = Object::embedded().images().unwrap();
        let kprobes = images
            .iter()
            .filter(|image| image.kind().ends_with("probe"));
        let mut names: Vec<&str> = kprobes.map(Image::target).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn the_embedded_object_is_aligned() {
        assert_eq!(Object::embedded().bytes().as_ptr() as usize % 16, 0);
    }
}
