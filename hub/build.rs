//! Puts the panel into the program: a table of the files that `scripts/ui` wrote into `ui/dist`.
//!
//! Without them (somebody builds only the hub) the table is empty, and the hub says at `/` how the panel
//! is built.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let dist = variable("CARGO_MANIFEST_DIR").join("../ui/dist");
    // The folder is in the repository, so that a build without a panel has something to look at.
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.join("index.html").exists() {
        gather(&dist, &dist, &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (name, path) in files {
        let has = |extension: &str| Path::new(&format!("{path}.{extension}")).exists();
        let include = |path: &str| format!("include_bytes!({path:?})");
        let packed = |extension: &str| {
            if has(extension) {
                format!("Some({})", include(&format!("{path}.{extension}")))
            } else {
                "None".to_owned()
            }
        };
        let (whole, brotli, gzip) = (include(&path), packed("br"), packed("gz"));
        table += &format!(
            "    File {{ name: {name:?}, whole: {whole}, brotli: {brotli}, gzip: {gzip} }},\n"
        );
    }
    table += "]\n";
    fs::write(variable("OUT_DIR").join("panel.rs"), table)
}

/// Collects names under `root` and full paths, without packed copies and the packer's own notes.
fn gather(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ours = !name.starts_with('.') && name != "stamp";
        let is_packed = name.ends_with(".br") || name.ends_with(".gz");
        if path.is_dir() {
            gather(root, &path, files)?;
        } else if is_ours && !is_packed {
            let own = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((own, path.canonicalize()?.to_string_lossy().into_owned()));
        }
    }
    Ok(())
}
