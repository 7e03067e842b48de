//! Pure: percent-encoding of path segments and query values.

use mamba_core::error::Invalid;

/// Most query parameters of one request; the largest endpoint has five.
const PARAMETERS_MAX: usize = 32;

/// Appends `text` with everything escaped that is not an unreserved character of RFC 3986.
pub(super) fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Decodes one path segment; `None` when an escape is broken or the result is not UTF-8.
#[must_use]
pub fn decode_segment(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(out).ok()
}

/// Cuts a raw query into names and decoded values; `+` is a blank.
///
/// # Errors
/// A broken escape, a parameter that comes twice, or too many.
pub fn decode_query(raw: &str) -> Result<Vec<(String, String)>, Invalid> {
    let mut out: Vec<(String, String)> = Vec::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text: &str| decode_segment(&text.replace('+', " "));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            return Err(Invalid::new("query", "must be percent-encoded UTF-8"));
        };
        if out.iter().any(|(other, _)| *other == name) {
            return Err(Invalid::new(format!("query.{name}"), "must not be given twice"));
        }
        if out.len() == PARAMETERS_MAX {
            let rule = format!("must have at most {PARAMETERS_MAX} parameters");
            return Err(Invalid::new("query", rule));
        }
        out.push((name, value));
    }
    Ok(out)
}
