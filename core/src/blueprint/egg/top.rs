//! Pure: the fields of an egg from the top on.

use super::{Notes, config, fields, variables};
use crate::{
    blueprint::{Blueprint, Entry, FORMAT, Feature, ImageChoice, InstallScript, StartupChoice},
    error::Invalid,
    players::Query,
    server::{Capability, PortProtocol},
};
use serde_json::{Map, Value};

/// Versions that are read.
const VERSIONS: [&str; 5] = ["PTDL_v1", "PTDL_v2", "PLCN_v1", "PLCN_v2", "PLCN_v3"];
/// Time between stop and kill when a file says nothing, in milliseconds: worlds are saved meanwhile.
pub(super) const STOP_GRACE_MS: u32 = 60_000;
/// What an egg's server gets when the file says nothing: one port, both transports.
pub(super) const PORTS: [PortProtocol; 1] = [PortProtocol::Both];

/// Fields that are read here, or mean nothing for a server.
const KNOWN: [&str; 22] = [
    "_comment",
    "meta",
    "exported_at",
    "name",
    "author",
    "uuid",
    "description",
    "tags",
    "features",
    "docker_images",
    "images",
    "image",
    "icon",
    "file_denylist",
    "startup",
    "startup_commands",
    "config",
    "scripts",
    "variables",
    "mamba",
    "force_outgoing_ip",
    "script_is_privileged",
];

/// What a file says beyond the egg format, written by our own export.
struct Own {
    key: Option<String>,
    entry: Entry,
    stop_grace_ms: u32,
    ports: Vec<PortProtocol>,
    capabilities: Vec<Capability>,
}

/// Makes a blueprint of an egg, not yet checked. Also returns the file's version.
pub(super) fn blueprint(
    file: &Map<String, Value>,
    notes: &mut Notes,
) -> Result<(String, Blueprint), Invalid> {
    let version = version(file)?;
    for key in file.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
        notes.add(key.as_str(), "is not known and left out");
    }
    let own = own(file)?;
    let name = fields::line(file.get("name"), "name", notes)?;
    if name.is_empty() {
        return Err(Invalid::new("name", "must not be empty"));
    }
    let uuid = optional(fields::line(file.get("uuid"), "uuid", notes)?);
    let meta = fields::map(file.get("meta"), "meta")?;
    let config = fields::map(file.get("config"), "config")?;
    let (startup, startups) = startup(file, notes)?;
    for key in ["image", "icon"] {
        if is_icon(file.get(key)) {
            notes.add(key, "is a picture and left out");
        }
    }
    if config::has_logs(&config) {
        notes.add("config.logs", "means nothing any more and is left out");
    }
    let blueprint = Blueprint {
        format: FORMAT.to_owned(),
        key: own.key.unwrap_or_else(|| slug(&name)),
        name,
        description: fields::text(file.get("description"), "description")?,
        author: fields::line(file.get("author"), "author", notes)?,
        uuid,
        update_url: optional(fields::line(meta.get("update_url"), "meta.update_url", notes)?),
        tags: fields::list(file.get("tags"), "tags", notes)?,
        features: features(file, notes)?,
        file_denylist: fields::list(file.get("file_denylist"), "file_denylist", notes)?,
        images: images(file, notes)?,
        startup,
        startups,
        entry: own.entry,
        done: config::done(&config, notes)?,
        stop: config::stop(&config, notes)?,
        stop_grace_ms: own.stop_grace_ms,
        ports: own.ports,
        capabilities: own.capabilities,
        variables: variables::read(file.get("variables"), notes)?,
        config_files: config::files(&config, notes)?,
        install: install(file, notes)?,
    };
    Ok((version, blueprint))
}

fn version(file: &Map<String, Value>) -> Result<String, Invalid> {
    let meta = fields::map(file.get("meta"), "meta")?;
    let version = fields::text(meta.get("version"), "meta.version")?;
    if VERSIONS.contains(&version.as_str()) {
        return Ok(version);
    }
    let known = format!("must be one of {} (or `format`: {FORMAT})", VERSIONS.join(", "));
    Err(Invalid::new("meta.version", known))
}

fn own(file: &Map<String, Value>) -> Result<Own, Invalid> {
    let own = fields::map(file.get("mamba"), "mamba")?;
    fn field<T: serde::de::DeserializeOwned>(
        own: &Map<String, Value>,
        name: &str,
    ) -> Result<Option<T>, Invalid> {
        let value = own.get(name).cloned();
        value
            .map(serde_json::from_value)
            .transpose()
            .map_err(|err| Invalid::new(format!("mamba.{name}"), err.to_string()))
    }
    Ok(Own {
        key: field(&own, "key")?,
        entry: field(&own, "entry")?.unwrap_or(Entry::Image),
        stop_grace_ms: field(&own, "stop_grace_ms")?.unwrap_or(STOP_GRACE_MS),
        ports: field(&own, "ports")?.unwrap_or_else(|| PORTS.to_vec()),
        capabilities: field(&own, "capabilities")?.unwrap_or_default(),
    })
}

fn optional(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Returns the short name that a definition gets by its name for people.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for it in name.chars().map(|it| it.to_ascii_lowercase()) {
        if it.is_ascii_alphanumeric() {
            slug.push(it);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(48);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "blueprint".to_owned() } else { slug.to_owned() }
}

fn is_icon(value: Option<&Value>) -> bool {
    let is_picture =
        |it: &str| ["data:", "http:", "https:"].iter().any(|head| it.starts_with(head));
    value.and_then(Value::as_str).is_some_and(is_picture)
}

fn features(file: &Map<String, Value>, notes: &mut Notes) -> Result<Vec<String>, Invalid> {
    let features = fields::list(file.get("features"), "features", notes)?;
    for (index, name) in features.iter().enumerate() {
        if Feature::parse(name).is_none() && !Query::is_told_by(name) {
            notes.add(format!("features.{index}"), format!("`{name}` is kept and does nothing"));
        }
    }
    Ok(features)
}

/// Images by label: a map, or the list of older files, or a single one.
fn images(file: &Map<String, Value>, notes: &mut Notes) -> Result<Vec<ImageChoice>, Invalid> {
    let (path, value) = match (file.get("docker_images"), file.get("images"), file.get("image")) {
        (Some(images), ..) => ("docker_images", images),
        (None, Some(images), _) => ("images", images),
        (None, None, Some(image)) if !is_icon(Some(image)) => ("image", image),
        (None, None, _) => {
            return Err(Invalid::new("docker_images", "must name at least one image"));
        }
    };
    let pairs: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(label, image)| (label.clone(), image)).collect(),
        Value::Array(list) => list.iter().map(|image| (String::new(), image)).collect(),
        single => vec![(String::new(), single)],
    };
    let mut images: Vec<ImageChoice> = Vec::new();
    for (index, (label, value)) in pairs.into_iter().enumerate() {
        let at = if label.is_empty() { index.to_string() } else { label.clone() };
        let at = format!("{path}.{at}");
        let image = fields::trimmed(Some(value), &at, notes)?;
        let image = match image.strip_prefix('~') {
            Some(local) => {
                notes.add(&at, "`~` left out: an image that is here is never pulled again");
                local.to_owned()
            }
            None => image,
        };
        if image.is_empty() {
            notes.add(&at, "is empty and left out");
            continue;
        }
        let last = image.rsplit('/').next().unwrap_or_default();
        if !last.contains([':', '@']) {
            notes.add(&at, "names no tag: `latest` is meant, which may change");
        }
        let label = label.trim().replace(char::is_control, " ");
        let label = if label.is_empty() { image.clone() } else { label };
        images.push(ImageChoice { label, image });
    }
    if images.is_empty() {
        return Err(Invalid::new(path, "must name at least one image"));
    }
    Ok(images)
}

/// The start line, and all of them when there are several or the only one has a name of its own.
fn startup(
    file: &Map<String, Value>,
    notes: &mut Notes,
) -> Result<(String, Vec<StartupChoice>), Invalid> {
    let commands = fields::map(file.get("startup_commands"), "startup_commands")?;
    let mut lines = Vec::new();
    for (label, value) in commands.iter() {
        let path = format!("startup_commands.{label}");
        let line = start_line(value, &path, notes)?;
        if line.trim().is_empty() {
            notes.add(path, "is empty and left out");
            continue;
        }
        lines.push(StartupChoice { label: label.replace(char::is_control, " "), line });
    }
    if let Some(first) = lines.first() {
        let startup = first.line.clone();
        let is_plain = lines.len() == 1 && first.label == "Default";
        return Ok((startup, if is_plain { vec![] } else { lines }));
    }
    let line = start_line(file.get("startup").unwrap_or(&Value::Null), "startup", notes)?;
    if line.trim().is_empty() {
        return Err(Invalid::new("startup", "must not be empty"));
    }
    Ok((line, vec![]))
}

fn start_line(value: &Value, path: &str, notes: &mut Notes) -> Result<String, Invalid> {
    let text = fields::text(Some(value), path)?;
    if text.contains("\r\n") {
        notes.add(path, "CRLF line ends became LF");
    } else if text.trim().contains('\n') {
        notes.add(path, "has several lines");
    }
    Ok(text.replace("\r\n", "\n"))
}

fn install(file: &Map<String, Value>, notes: &mut Notes) -> Result<Option<InstallScript>, Invalid> {
    let scripts = fields::map(file.get("scripts"), "scripts")?;
    let path = "scripts.installation";
    let install = fields::map(scripts.get("installation"), path)?;
    let script = fields::text(install.get("script"), &format!("{path}.script"))?;
    if script.trim().is_empty() {
        notes.add(path, "has no script: nothing is installed");
        return Ok(None);
    }
    if script.contains("\r\n") {
        notes.add(format!("{path}.script"), "CRLF line ends became LF");
    }
    let image = fields::trimmed(install.get("container"), &format!("{path}.container"), notes)?;
    if image.is_empty() {
        return Err(Invalid::new(format!("{path}.container"), "must name an image"));
    }
    let entrypoint =
        fields::trimmed(install.get("entrypoint"), &format!("{path}.entrypoint"), notes)?;
    let entrypoint = if entrypoint.is_empty() { "bash".to_owned() } else { entrypoint };
    let script = script.replace("\r\n", "\n");
    Ok(Some(InstallScript { image, entrypoint, script }))
}
