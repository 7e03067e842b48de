//! Cuts the compiled wasm into what the first load needs and what later pages need, and makes the
//! JavaScript that calls them.
//!
//! `wasm_split_cli_support` follows what each function under `#[wasm_split]` needs, which the linker left in
//! the file (`ui/build.rs`), and writes a module for each name, modules for what several share, and a script
//! that loads them. wasm-bindgen then sees the first module only: the others take from it what they need.

use super::Outcome;
use std::{fs, path::Path};
use wasm_bindgen_cli_support::Bindgen;

/// The script that starts the first module.
pub(crate) const SCRIPT: &str = "ui.js";
/// The first module.
pub(crate) const FIRST: &str = "ui_bg.wasm";
/// The script that loads the others.
const LOADER: &str = "./later.js";
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
    for (index, part) in parts.split_modules.iter().enumerate() {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        text = name_part(&text, index, &name)
            .ok_or_else(|| format!("the loader of the wasm does not name `{name}`"))?;
        let bare = without_notes(&fs::read(part)?).ok_or_else(|| format!("`{name}` is no wasm"))?;
        fs::write(part, bare)?;
    }
    fs::write(&loader, text)?;
    bind(&unbound, folder)
}

/// Has the loader take the address of a part from the bundle, which names each file by its content.
fn name_part(loader: &str, index: usize, name: &str) -> Option<String> {
    let address = format!("new URL(\"./{name}\", import.meta.url)");
    loader.contains(&address).then(|| {
        format!(
            "import part{index} from \"./{name}\";\n{}",
            loader.replace(&address, &format!("part{index}"))
        )
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
    fn parts_are_found_by_the_name_of_their_content() {
        let loader = "fetch(new URL(\"./a.wasm\", import.meta.url))";
        let named = name_part(loader, 3, "a.wasm").unwrap();
        assert_eq!(named, "import part3 from \"./a.wasm\";\nfetch(part3)");
        assert_eq!(name_part(loader, 3, "b.wasm"), None);
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
