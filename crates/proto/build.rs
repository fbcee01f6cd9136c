//! Compiles every `.proto` under `proto/` with a compiler in Rust: message types, clients, servers, and the
//! descriptor set with our options and comments, which the gateway is made from.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[expect(clippy::disallowed_methods, reason = "where a build script writes is no setting of a service")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    for folder in ["edge", "retention"] {
        collect(&root.join(folder), &root, &mut files)?;
    }
    files.push("google/rpc/error_details.proto".into());
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    // Not `file_descriptor_set().encode_to_vec()`: that type has no place for extensions, and our options would
    // vanish without an error.
    fs::write(out.join("retention.fds"), compiler.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::Config::new();
    config.bytes(["."]);
    tonic_prost_build::configure()
        .include_file("all.rs")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

fn collect(folder: &Path, root: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, root, into)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            into.push(path.strip_prefix(root).map_err(io::Error::other)?.to_owned());
        }
    }
    Ok(())
}
