//! The page at `/api-docs`: reads the contract and lets people search and try it.
//!
//! Three files of our own, embedded; nothing is loaded from elsewhere and no script stands in the
//! page. It asks the API like any client, with a token that only the page's memory holds.

use warp::{
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};

const FILES: [(&str, &str, &str); 3] = [
    ("/api-docs", "text/html; charset=utf-8", include_str!("page.html")),
    ("/api-docs/page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("/api-docs/page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
];

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the file at a path, `None` when the page has none there.
pub(super) fn find(method: &Method, path: &str) -> Option<Response> {
    let (_, kind, text) = FILES.iter().find(|(own, ..)| *own == path)?;
    if method != Method::GET && method != Method::HEAD {
        let mut response = Response::new(Vec::new().into());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let mut response = Response::new(text.as_bytes().to_vec().into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_its_policy() {
        let page = FILES[0].2;
        for forbidden in ["<script>", "<style", " on", "style=", "javascript:", "http:", "https:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        for (path, ..) in &FILES[1..] {
            assert!(page.contains(path), "{path}");
        }
        // Text from the contract never becomes markup.
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "localStorage"] {
            assert!(!FILES[2].2.contains(forbidden), "{forbidden}");
        }
        assert!(find(&Method::GET, "/api-docs/other").is_none());
        let post = find(&Method::POST, "/api-docs").unwrap();
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
