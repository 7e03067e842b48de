//! Rewriting of a game's config file: any file, any keys.

use crate::Input;
use mamba_core::server::{ConfigParser, Replacement, ValueKind};
use mamba_edge::data::rewrite::rewrite;

/// One byte for the parser, key and value with zero bytes between, and the file.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let parser = match choice % 7 {
        0 => ConfigParser::File,
        1 => ConfigParser::Properties,
        2 => ConfigParser::Ini,
        3 => ConfigParser::Json,
        4 => ConfigParser::Yaml,
        5 => ConfigParser::Xml,
        _ => ConfigParser::Toml,
    };
    let (key, value) = (input.text().into_owned(), input.text().into_owned());
    let kind = ValueKind::Text;
    let other =
        Replacement { key: value.clone(), value: key.clone(), kind, if_value: Some(key.clone()) };
    let each = Replacement { key, value, kind, if_value: None };
    let text = String::from_utf8_lossy(input.0);
    // No panic, whatever they are.
    drop(rewrite(parser, &text, &[each.clone(), other]));
    let one_line = |text: &str| !text.contains(['\n', '\r']);
    if !(one_line(&each.key) && one_line(&each.value)) {
        return;
    }
    // With a wildcard or an index it may add one more each time.
    if each.key.contains(['*', '[']) || each.key.bytes().any(|it| it.is_ascii_digit()) {
        return;
    }
    let Ok(once) = rewrite(parser, &text, std::slice::from_ref(&each)) else { return };
    let twice = rewrite(parser, &once, std::slice::from_ref(&each));
    assert_eq!(twice.as_ref(), Ok(&once), "the second time changes nothing: {each:?}");
    if matches!(parser, ConfigParser::File | ConfigParser::Properties | ConfigParser::Ini) {
        let lines = |text: &str| text.lines().count();
        assert!(lines(&once) >= lines(&text), "no line is taken out");
        assert!(lines(&once) <= lines(&text) + 2, "at most a section and a key are added");
    }
}
