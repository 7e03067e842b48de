//! The panel's files, as they lie in this program: packed, named by their content, never out of step
//! with the API.
//!
//! `scripts/ui` makes them and `build.rs` puts them in. A browser that opens a page gets the same
//! document at every address, for the panel reads the address itself; a program that asks for an unknown
//! path still gets the API's 404.

use warp::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// One file.
struct File {
    /// Its path under the root.
    name: &'static str,
    whole: &'static [u8],
    /// Packed; `None` where that gains nothing.
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

/// All of them; none where the panel was not built.
const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/panel.rs"));
const PAGE: &str = "index.html";
/// Files under it never change: their names hold a hash of their content.
const HASHED: &str = "/a/";
/// What stands in the place of a panel that was not built.
const ABSENT: &str = include_str!("absent.html");

/// Scripts only from here, none written into the page, none made from text; `wasm-unsafe-eval` lets
/// the browser compile WebAssembly and nothing else. Styles in attributes are what bars and the
/// terminal are drawn with.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
                      style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
                      font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the file for a request; `None` when it is none of the panel's.
pub(super) fn find(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    if path.starts_with(HASHED) {
        let file = FILES.iter().find(|file| path.strip_prefix('/') == Some(file.name))?;
        return Some(answer(file, headers, "public, max-age=31536000, immutable"));
    }
    if path.starts_with("/api/") || !wants_page(headers) {
        return None;
    }
    Some(match FILES.iter().find(|file| file.name == PAGE) {
        Some(page) => answer(page, headers, "no-cache"),
        None => absent(),
    })
}

/// Whether somebody opens a page: programs do not ask for HTML.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn answer(file: &File, headers: &HeaderMap, caching: &'static str) -> Response {
    let (content, encoding) = choose(file, headers);
    let mut response = Response::new(content.into());
    let mut set = |name, value: &'static str| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_TYPE, kind(file.name));
    set(header::CACHE_CONTROL, caching);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::VARY, "accept-encoding");
    if let Some(encoding) = encoding {
        set(header::CONTENT_ENCODING, encoding);
    }
    response
}

/// Chooses the smallest form that the client takes.
fn choose(file: &File, headers: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes = |name: &str| {
        let mut all = accepted.unwrap_or_default().split(',').map(str::trim);
        all.any(|it| it == name || it.strip_prefix(name).is_some_and(is_wanted))
    };
    match (file.brotli, file.gzip) {
        (Some(brotli), _) if takes("br") => (brotli, Some("br")),
        (_, Some(gzip)) if takes("gzip") => (gzip, Some("gzip")),
        (_, _) => (file.whole, None),
    }
}

/// Whether what follows the name of an encoding wants it: `;q=0` does not.
fn is_wanted(rest: &str) -> bool {
    let weight = rest.trim_start().strip_prefix(';').map(str::trim_start);
    let weight = weight.and_then(|it| it.strip_prefix("q=")).and_then(|it| it.parse::<f32>().ok());
    weight.is_some_and(|weight| weight > 0.0)
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn absent() -> Response {
    let mut response = Response::new(ABSENT.into());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: File =
        File { name: "a/x.js", whole: b"whole", brotli: Some(b"br"), gzip: Some(b"gz") };

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        [(name, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn the_smallest_form_that_is_taken_is_sent() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip", Some("gzip")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("identity", None),
            ("", None),
        ] {
            let headers = headers(header::ACCEPT_ENCODING, accepted);
            assert_eq!(choose(&FILE, &headers).1, expected, "{accepted}");
        }
    }

    #[test]
    fn pages_are_for_browsers_and_paths_of_the_api_for_nobody() {
        let page = headers(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
        for (path, headers, expected) in [
            ("/servers/7", &page, true),
            ("/", &page, true),
            ("/api/v1/unknown", &page, false),
            ("/a/unknown.js", &page, false),
            ("/servers/7", &HeaderMap::new(), false),
        ] {
            assert_eq!(find(&Method::GET, path, headers).is_some(), expected, "{path}");
        }
        assert!(find(&Method::POST, "/", &page).is_none());
    }

    #[test]
    fn the_panel_runs_no_script_that_stands_in_its_page() {
        for file in FILES.iter().filter(|file| file.name == PAGE) {
            let page = String::from_utf8_lossy(file.whole);
            for forbidden in ["<script>", "<style", " onload", "javascript:", "https:"] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
        }
        assert!(!POLICY.contains("'unsafe-eval'") && !POLICY.contains("script-src 'unsafe"));
    }
}
