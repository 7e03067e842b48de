//! Compression of what the browser gets.

use flate2::{Compression, write::GzEncoder};
use std::{
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// The best that brotli can do: it is done once and sent often.
const BROTLI_QUALITY: i32 = 11;
/// Window of 4 MiB: more than the largest file has.
const BROTLI_WINDOW: i32 = 22;
/// Smaller files gain nothing.
const BYTES_MIN: usize = 512;

/// One file and its sizes in bytes.
pub(crate) struct Packed {
    pub(crate) name: String,
    pub(crate) raw: usize,
    pub(crate) gzip: usize,
    pub(crate) brotli: usize,
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, raw, gzip, brotli } = self;
        write!(f, "{name:<36} {raw:>9} gz {gzip:>8} br {brotli:>8}")
    }
}

/// Returns all files under a folder, sorted.
pub(crate) fn files_under(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_under(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Writes `.br` and `.gz` beside each file.
pub(crate) fn compress(dist: &Path) -> io::Result<Vec<Packed>> {
    let mut packed = Vec::new();
    for path in files_under(dist)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let content = fs::read(&path)?;
        let mut sizes =
            Packed { raw: content.len(), gzip: content.len(), brotli: content.len(), name };
        if content.len() >= BYTES_MIN {
            let gzip = gzip(&content)?;
            let brotli = brotli(&content)?;
            (sizes.gzip, sizes.brotli) = (gzip.len(), brotli.len());
            fs::write(beside(&path, "gz"), gzip)?;
            fs::write(beside(&path, "br"), brotli)?;
        }
        packed.push(sizes);
    }
    Ok(packed)
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

fn brotli(mut content: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        ..Default::default()
    };
    brotli::BrotliCompress(&mut content, &mut out, &params)?;
    Ok(out)
}
