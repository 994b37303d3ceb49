//! Compiles the probes and lists the constants that they want.
//!
//! `probes/agent.bpf.c` becomes `$OUT_DIR/agent.o`, for the architecture of the target, by clang;
//! `SECURITY_AGENT_PROBES_DIR` names a directory of objects compiled before instead, and
//! `SECURITY_AGENT_PROBES_OUT` one that receives a copy. `probes/include/constants.def` becomes
//! the table that `kernel::constants` includes. What is embedded in the binary is compressed here,
//! and sections of it that nothing reads are left out by the linker.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::write::DeflateEncoder;
use flate2::Compression;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let probes = Path::new("../probes");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=../probes");
    println!("cargo:rerun-if-env-changed=SECURITY_AGENT_PROBES_DIR");
    println!("cargo:rerun-if-env-changed=SECURITY_AGENT_PROBES_OUT");
    println!("cargo:rerun-if-changed=src/policy/default.policy");
    object(probes, &out.join("agent.o"))?;
    compress(&out.join("agent.o"), &out.join("agent.o.deflate"))?;
    let policy = out.join("default.policy.deflate");
    compress(Path::new("src/policy/default.policy"), &policy)?;
    println!("cargo:rerun-if-changed=../scripts/chart");
    let chart = archive(Path::new("../scripts/chart"))?;
    deflate(&chart, &out.join("chart.deflate"))?;
    shrink()?;
    let definitions = fs::read_to_string(probes.join("include/constants.def"))?;
    fs::write(out.join("constants.rs"), constants(&definitions)?)?;
    Ok(())
}

/// Puts the object for the target's architecture at `object`.
fn object(probes: &Path, object: &Path) -> Result<()> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let file = format!("agent.{arch}.o");
    match env::var_os("SECURITY_AGENT_PROBES_DIR") {
        Some(directory) => {
            fs::copy(Path::new(&directory).join(&file), object)?;
        }
        None => compile(probes, object, &arch)?,
    }
    if let Some(directory) = env::var_os("SECURITY_AGENT_PROBES_OUT") {
        fs::create_dir_all(&directory)?;
        fs::copy(object, Path::new(&directory).join(&file))?;
    }
    Ok(())
}

fn compile(probes: &Path, object: &Path, arch: &str) -> Result<()> {
    let define = match arch {
        "x86_64" => "-D__TARGET_ARCH_x86",
        "aarch64" => "-D__TARGET_ARCH_arm64",
        other => return Err(format!("there are no probes for the architecture {other}").into()),
    };
    // Kernel 6.1 refuses the back edges of rotated loops, which block placement makes.
    let status = Command::new("clang")
        .args(["-target", "bpf", "-O2", "-Wall", "-Wextra", "-Werror"])
        .args(["-mllvm", "-disable-block-placement", define, "-c", "-o"])
        .arg(object)
        .arg(probes.join("agent.bpf.c"))
        .status()
        .map_err(|error| format!("clang could not be started ({error}); run `make setup-build`"))?;
    if !status.success() {
        return Err("clang could not compile the probes".into());
    }
    Ok(())
}

/// One line of Rust for each line of the table.
fn constants(definitions: &str) -> Result<String> {
    let mut table = String::from("pub(crate) const CONSTANTS: &[Constant] = &[\n");
    for line in definitions.lines() {
        if let Some(rest) = line.strip_prefix("OFFSET(") {
            let fields: Vec<&str> = rest.trim_end_matches(')').split(", ").collect();
            let [name, kind, member] = fields[..] else {
                return Err(format!("constants.def: cannot read `{line}`").into());
            };
            writeln!(
                table,
                "    Constant {{ name: \"{name}\", source: Source::Offset {{ structure: {kind}, member: {member} }} }},"
            )?;
        } else if let Some(rest) = line.strip_prefix("VALUE(") {
            let name = rest.trim_end_matches(')');
            writeln!(
                table,
                "    Constant {{ name: \"{name}\", source: Source::Value }},"
            )?;
        }
    }
    table.push_str("];\n");
    Ok(table)
}

/// The files of the chart: paths and contents in turns, each ended by a zero byte.
fn archive(chart: &Path) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    for folder in ["", "files", "templates"] {
        for entry in fs::read_dir(chart.join(folder))? {
            let path = entry?.path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut bytes = Vec::new();
    for path in files {
        let name = path.strip_prefix(chart)?.to_str().ok_or("a path")?;
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend(fs::read(&path)?);
        bytes.push(0);
    }
    Ok(bytes)
}

/// Deflates a file.
fn compress(file: &Path, compressed: &Path) -> Result<()> {
    deflate(&fs::read(file)?, compressed)
}

fn deflate(bytes: &[u8], compressed: &Path) -> Result<()> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    fs::write(compressed, encoder.finish()?)?;
    Ok(())
}

/// Tells the linker of a release to pack relocations (300 KB less), which musl understands from
/// 1.2.4 on, to leave out what only unwinding reads (330 KB less), as a panic aborts, and to keep
/// one of several functions with the same code.
fn shrink() -> Result<()> {
    println!("cargo:rerun-if-changed=release.ld");
    if env::var("PROFILE")? == "release" {
        let script = env::current_dir()?.join("release.ld");
        println!("cargo:rustc-link-arg-bins=--pack-dyn-relocs=relr");
        println!("cargo:rustc-link-arg-bins=--no-eh-frame-hdr");
        println!("cargo:rustc-link-arg-bins=--icf=all");
        println!("cargo:rustc-link-arg-bins=--script={}", script.display());
    }
    Ok(())
}
