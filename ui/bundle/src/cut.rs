//! Cuts the compiled wasm into what the first load needs and what later pages need, and makes the
//! JavaScript that calls them.
//!
//! `wasm_split_cli_support` follows what each function under `#[wasm_split]` needs, which the linker left in
//! the file (`ui/build.rs`), and writes a module for each name, modules for what several share, and a script
//! that loads them. wasm-bindgen then sees the first module only: the others take from it what they need.
//!
//! Most of what several pages share is a few hundred bytes, and a slow line is long rather than narrow: what
//! is small lies in one file, which the first later page loads and no other page loads again. That file is
//! the modules, one after the other; the script knows where each begins and ends.

use super::Outcome;
use std::{fs, ops::Range, path::Path};
use wasm_bindgen_cli_support::Bindgen;

/// The script that starts the first module.
pub(crate) const SCRIPT: &str = "ui.js";
/// The first module.
pub(crate) const FIRST: &str = "ui_bg.wasm";
/// The script that loads the others.
const LOADER: &str = "./later.js";
/// The file of small modules.
const SMALL: &str = "small.pack";
/// A module up to this size, without its notes, lies there: compressed, it takes some 15 ms at 1.6 Mbit/s,
/// and a request of its own 150 ms.
const SMALL_BYTES_MAX: usize = 8 * 1024;
/// How the script gets the bytes of such a module.
const SMALL_LOADER: &str = r#"
let small;
async function piece(from, to) {
    small ??= fetch(smallPack).then((answer) => answer.ok ? answer.arrayBuffer() : Promise.reject(answer.status));
    const asked = small;
    try {
        return new Uint8Array(await asked, from, to - from);
    } catch (error) {
        // The next one who wants it asks again.
        if (small === asked) small = undefined;
        throw error;
    }
}
"#;
/// How the loader makes a module of an answer, and how it does so from bytes.
const STREAMED: &str = "WebAssembly.instantiateStreaming(src, imports)";
const INSTANTIATED: &str = "WebAssembly.instantiate(await src, imports)";
/// The first module as wasm-bindgen wants it.
const UNBOUND: &str = "unbound.wasm";
/// Magic number and version of a module.
const HEAD_BYTES: usize = 8;
/// Kind of a section that no browser needs.
const CUSTOM: u8 = 0;
/// Longest form of a number of 32 bits.
const LEB_BYTES_MAX: usize = 5;

/// Reads `wasm` and writes everything into `folder`, in place of what was there.
pub(crate) fn cut(wasm: &Path, folder: &Path) -> Outcome<()> {
    fs::remove_dir_all(folder).or_else(super::ignore_missing)?;
    let whole = fs::read(wasm)?;
    let unbound = folder.join(UNBOUND);
    let script = format!("./{SCRIPT}");
    let mut options = wasm_split_cli_support::Options::new(&whole);
    options.output_dir = folder;
    options.main_out_path = &unbound;
    options.link_name = LOADER;
    options.main_module = &script;
    let parts = wasm_split_cli_support::transform(options)
        .map_err(|err| format!("the wasm could not be cut: {err:#}"))?;
    let loader = folder.join(LOADER);
    let mut text = fs::read_to_string(&loader)?;
    let mut small = Vec::new();
    for (index, part) in parts.split_modules.iter().enumerate() {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        let bare = without_notes(&fs::read(part)?).ok_or_else(|| format!("`{name}` is no wasm"))?;
        let place = if bare.len() <= SMALL_BYTES_MAX {
            let from = small.len();
            small.extend_from_slice(&bare);
            Place::Small(from..small.len())
        } else {
            fs::write(part, bare)?;
            Place::Own(index)
        };
        text = find_part(&text, &name, &place)
            .ok_or_else(|| format!("the loader of the wasm does not load `{name}`"))?;
    }
    fs::write(folder.join(SMALL), small)?;
    fs::write(&loader, format!("import smallPack from \"./{SMALL}\";\n{SMALL_LOADER}{text}"))?;
    bind(&unbound, folder)
}

/// Where a part lies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In a file of its own: the one with this number.
    Own(usize),
    /// At these bytes of the file of small modules.
    Small(Range<usize>),
}

/// Has the loader take a part from where it lies. The bundle names each file by its content.
fn find_part(loader: &str, name: &str, place: &Place) -> Option<String> {
    let fetched = format!("fetch(new URL(\"./{name}\", import.meta.url))");
    let (before, after) = loader.split_once(&fetched)?;
    Some(match place {
        Place::Own(index) => {
            format!("import part{index} from \"./{name}\";\n{before}fetch(part{index}){after}")
        }
        Place::Small(bytes) => {
            // Bytes are no answer that could be compiled while they come.
            let (call, after) = after.split_once(STREAMED)?;
            let Range { start, end } = bytes;
            format!("{before}piece({start}, {end}){call}{INSTANTIATED}{after}")
        }
    })
}

/// Returns a module without its custom sections: names of functions and of tools, a third of its bytes.
///
/// A module is eight bytes of head and then sections: one byte that says what it is (0 for custom), the
/// length as LEB128, the content.
fn without_notes(module: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = module.split_at_checked(HEAD_BYTES)?;
    let mut bare = head.to_owned();
    while let Some((kind, after)) = rest.split_first() {
        let (length, content) = leb128(after)?;
        let (_, next) = content.split_at_checked(length)?;
        if *kind != CUSTOM {
            bare.extend_from_slice(&rest[..rest.len() - next.len()]);
        }
        rest = next;
    }
    Some(bare)
}

/// Reads a number of at most 32 bits; returns what follows as well.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(LEB_BYTES_MAX) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Makes the JavaScript that calls the wasm, and the wasm without what only that needed.
fn bind(unbound: &Path, folder: &Path) -> Outcome<()> {
    Bindgen::new()
        .input_path(unbound)
        .web(true)?
        .typescript(false)
        // The other modules import them.
        .keep_lld_exports(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(true)
        .out_name("ui")
        .generate(folder)
        .map_err(|err| format!("wasm-bindgen: {err:#}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_loaded_from_where_they_lie() {
        let part = |name: &str| {
            format!(
                "const src = fetch(new URL(\"./{name}\", import.meta.url)); \
                 return async (imports) => (WebAssembly.instantiateStreaming(src, imports));"
            )
        };
        let loader = part("a.wasm") + &part("b.wasm");
        let found = find_part(&loader, "a.wasm", &Place::Own(3)).unwrap();
        assert!(found.starts_with("import part3 from \"./a.wasm\";\nconst src = fetch(part3);"));
        let found = find_part(&found, "b.wasm", &Place::Small(7..19)).unwrap();
        let (own, small) = found.split_once("const src = piece(7, 19);").unwrap();
        assert!(own.contains("WebAssembly.instantiateStreaming(src, imports)"), "{own}");
        assert!(small.contains("(WebAssembly.instantiate(await src, imports))"), "{small}");
        assert_eq!(find_part(&loader, "c.wasm", &Place::Own(0)), None);
    }

    #[test]
    fn notes_go_and_everything_else_stays() {
        let head = *b"\0asm\x01\0\0\0";
        let module = |sections: &[&[u8]]| [&head[..], &sections.concat()].concat();
        let code = [&[10, 0x80, 0x01][..], &[7; 128]].concat();
        let whole = module(&[&[1, 2, 8, 9], &[0, 3, 1, 2, 3], &code]);
        assert_eq!(without_notes(&whole), Some(module(&[&[1, 2, 8, 9], &code])));
        assert_eq!(without_notes(&whole[..whole.len() - 1]), None, "cut off");
        assert_eq!(without_notes(b"\0asm"), None);
    }
}
