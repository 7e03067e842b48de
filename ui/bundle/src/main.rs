//! Packs the panel for the hub: `mamba-ui-bundle ROOT TARGET` reads the compiled wasm under TARGET and
//! the JavaScript of `ROOT/ui/js`, and writes `ROOT/ui/dist`.
//!
//! The wasm is cut into what the first load needs and what pages need later (`ui/src/lazy.rs`); the first
//! load may have [`FIRST_BYTES_MAX`].
//!
//! What it writes: `index.html`, and under `a/` files whose names hold a hash of their content, so that a
//! browser may keep them for ever. Beside each lie `.br` and `.gz`, so that the hub compresses nothing at
//! run time. A run on unchanged input writes nothing: the hub is then not built again.

mod cut;
mod pack;

use pack::Packed;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Name of the file in `ui/dist` that says what it was made from.
const STAMP: &str = "stamp";
/// Most that a first visit may cost, compressed: 250 KiB take 1.3 s at 1.6 Mbit/s.
const FIRST_BYTES_MAX: usize = 250 * 1024;
/// What esbuild calls its report.
const REPORT: &str = "report.json";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where everything lies.
struct Folders {
    /// Sources of the panel.
    ui: PathBuf,
    /// What rustc made.
    wasm: PathBuf,
    /// What wasm-bindgen makes of it.
    bound: PathBuf,
    /// The result.
    dist: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [root, target] = arguments.as_slice() else {
        say("usage: mamba-ui-bundle ROOT TARGET");
        return ExitCode::from(2);
    };
    let folders = Folders {
        ui: root.join("ui"),
        wasm: target.join("wasm32-unknown-unknown/web/mamba_ui.wasm"),
        bound: target.join("ui"),
        dist: root.join("ui/dist"),
    };
    match build(&folders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            say(&format!("the panel could not be packed: {err}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the output of a program that people run")]
fn say(text: &str) {
    println!("{text}");
}

fn build(folders: &Folders) -> Outcome<()> {
    let stamp = stamp(folders)?;
    if fs::read_to_string(folders.dist.join(STAMP)).is_ok_and(|old| old == stamp) {
        say("the panel is up to date");
        return Ok(());
    }
    cut::cut(&folders.wasm, &folders.bound)?;
    clear(&folders.dist)?;
    let names = bundle(folders)?;
    let mut page = fs::read_to_string(folders.ui.join("js/index.html"))?;
    for (mark, name) in [
        ("{{begin}}", &names.begin),
        ("{{js}}", &names.js),
        ("{{css}}", &names.css),
        ("{{wasm}}", &names.wasm),
        ("{{preloads}}", &preloads(&names)),
    ] {
        page = page.replace(mark, name);
    }
    fs::write(folders.dist.join("index.html"), page)?;
    let packed = pack::compress(&folders.dist)?;
    for file in &packed {
        say(&file.to_string());
    }
    let first = first_load(&packed, &names);
    say(&format!("first load: {first} bytes compressed ({} KiB)", first.div_ceil(1024)));
    if first > FIRST_BYTES_MAX {
        return Err(format!(
            "the first load may have {FIRST_BYTES_MAX} bytes: what is not needed at once belongs into \
             ui/src/lazy.rs"
        )
        .into());
    }
    fs::write(folders.dist.join(STAMP), stamp)?;
    Ok(())
}

/// Returns a hash of everything that goes in.
fn stamp(folders: &Folders) -> Outcome<String> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |path: &Path| -> Outcome<()> {
        let content = fs::read(path).map_err(|err| format!("`{}`: {err}", path.display()))?;
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(blake3::hash(&content).as_bytes());
        Ok(())
    };
    add(&folders.wasm)?;
    for file in ["js/package-lock.json", "js/index.html"] {
        add(&folders.ui.join(file))?;
    }
    for folder in ["js/src", "css", "bundle/src"] {
        for file in pack::files_under(&folders.ui.join(folder))? {
            add(&file)?;
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Removes what an earlier run wrote. `.gitignore` stays: it keeps the folder in the repository.
fn clear(dist: &Path) -> Outcome<()> {
    for file in ["index.html", "index.html.br", "index.html.gz", STAMP] {
        fs::remove_file(dist.join(file)).or_else(ignore_missing)?;
    }
    fs::remove_dir_all(dist.join("a")).or_else(ignore_missing)?;
    Ok(())
}

fn ignore_missing(err: std::io::Error) -> std::io::Result<()> {
    if err.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(err) }
}

/// Names of the files that the page begins with.
struct Names {
    begin: String,
    js: String,
    /// What the script imports before it begins.
    imports: Vec<String>,
    css: String,
    wasm: String,
}

/// Returns what has the browser fetch what the script imports together with it, and not after it.
fn preloads(names: &Names) -> String {
    let each = names.imports.iter();
    each.map(|name| format!("<link rel=\"modulepreload\" href=\"/a/{name}\">")).collect()
}

/// Joins and minifies scripts and styles; what is imported later becomes files of its own.
fn bundle(folders: &Folders) -> Outcome<Names> {
    let js = folders.ui.join("js");
    let report = folders.bound.join(REPORT);
    let status = Command::new(js.join("node_modules/.bin/esbuild"))
        .current_dir(&js)
        .args(["src/begin.js", "src/main.js", "src/app.css"])
        .args(["--bundle", "--format=esm", "--splitting", "--minify"])
        .args([
            "--target=chrome123,firefox128,safari17.5",
            "--log-level=warning",
            "--loader:.wasm=file",
            "--loader:.pack=file",
        ])
        // wasm-bindgen names the loader once for each function that it takes from it.
        .arg("--log-override:duplicate-object-key=silent")
        .args(["--public-path=/a/", "--legal-comments=linked"])
        .args(["--entry-names=[name]-[hash]", "--asset-names=[name]-[hash]"])
        .arg("--chunk-names=[name]-[hash]")
        .arg(format!("--alias:ui-pkg={}", folders.bound.join(cut::SCRIPT).display()))
        .arg(format!("--alias:ui-wasm={}", folders.bound.join(cut::FIRST).display()))
        .arg("--alias:ui-glue=./src/glue.js")
        .arg(format!("--metafile={}", report.display()))
        .arg(format!("--outdir={}", folders.dist.join("a").display()))
        .status()
        .map_err(|err| format!("esbuild could not be started (`scripts/ui` installs it): {err}"))?;
    if !status.success() {
        return Err("esbuild failed".into());
    }
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report)?)?;
    let outputs = report["outputs"].as_object().ok_or("esbuild's report names no outputs")?;
    let name_of = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let main = outputs.values().find(|about| about["entryPoint"] == "src/main.js");
    let imports = main.and_then(|about| about["imports"].as_array()).into_iter().flatten();
    let imports = imports.filter(|it| it["kind"] == "import-statement");
    let find = |what: &str, is_it: &dyn Fn(&str, &serde_json::Value) -> bool| {
        let found = outputs.iter().find(|(path, about)| is_it(path, about));
        found.map(|(path, _)| name_of(path)).ok_or(format!("esbuild made no {what}"))
    };
    Ok(Names {
        begin: find("first script", &|_, about| about["entryPoint"] == "src/begin.js")?,
        js: find("script", &|_, about| about["entryPoint"] == "src/main.js")?,
        imports: imports.filter_map(|it| it["path"].as_str()).map(name_of).collect(),
        css: find("style sheet", &|_, about| about["entryPoint"] == "src/app.css")?,
        wasm: find("wasm", &|path, about| {
            let of = about["inputs"].as_object().and_then(|it| it.keys().next());
            path.ends_with(".wasm") && of.is_some_and(|it| it.ends_with(cut::FIRST))
        })?,
    })
}

/// Returns what a first visit costs, in bytes.
fn first_load(packed: &[Packed], names: &Names) -> usize {
    let mut first = vec!["index.html", &names.begin, &names.js, &names.css, &names.wasm];
    first.extend(names.imports.iter().map(String::as_str));
    packed.iter().filter(|it| first.contains(&it.name.as_str())).map(|it| it.brotli).sum()
}
