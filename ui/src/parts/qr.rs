//! QR codes, drawn as one path.

use qrcodegen::{QrCode, QrCodeEcc};
use std::fmt::Write as _;
use sycamore::prelude::*;

/// Empty cells around the code, which readers need.
const QUIET: i32 = 2;

/// Returns a text as a QR code; nothing when it is too long for one.
pub(crate) fn qr(text: &str, label: &'static str) -> View {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return view! {} };
    let size = code.size() + 2 * QUIET;
    let (frame, path) = (format!("0 0 {size} {size}"), path(&code));
    view! {
        svg(class="qr", "viewBox"=frame, "role"="img", aria-label=label, "shape-rendering"="crispEdges") {
            path(d=path)
        }
    }
}

fn path(code: &QrCode) -> String {
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            // Writing to a text never fails.
            write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET).ok();
        }
    }
    path
}
