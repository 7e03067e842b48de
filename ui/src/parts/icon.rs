//! Pictures of one line, drawn by hand in a square of 24.

use sycamore::prelude::*;

macro_rules! icons {
    ($($name:ident $path:literal)+) => {
        /// A picture.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Icon { $($name,)+ }

        impl Icon {
            fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)+ }
            }
        }
    };
}

icons! {
    Servers "M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01"
    People "M16 20v-1.5a3.5 3.5 0 0 0-3.5-3.5h-5A3.5 3.5 0 0 0 4 18.500V20M10 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7M20 20v-1.500a3.500 3.500 0 0 0-2.600-3.400M15.500 4.200a3.500 3.500 0 0 1 0 6.600"
    Account "M20 21v-1.500a4.500 4.500 0 0 0-4.500-4.500h-7A4.500 4.500 0 0 0 4 19.500V21M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8"
    Book "M4 5.500A2.500 2.500 0 0 1 6.500 3H20v18H6.500A2.500 2.500 0 0 1 4 18.500zM4 18.500A2.500 2.500 0 0 1 6.500 16H20"
    Log "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01"
    Gauge "M4 18a9 9 0 1 1 16 0M12 14l4-4"
    Plus "M12 5v14M5 12h14"
    Search "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14M16 16l5 5"
    Play "M7 4l13 8-13 8z"
    Stop "M6 6h12v12H6z"
    Restart "M20 12a8 8 0 1 1-2.600-5.900L20 8M20 3v5h-5"
    Close "M6 6l12 12M18 6L6 18"
    Check "M5 12.500l4.500 4.500L19 7"
    Copy "M9 9h11v11H9zM5 15H4V4h11v1"
    Warn "M12 3l10 18H2zM12 10v5M12 18h.01"
    Info "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 11v5M12 8h.01"
    Sun "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8M12 2v2M12 20v2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M2 12h2M20 12h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400"
    Out "M9 21H5V3h4M15 16l4-4-4-4M19 12H9"
    Menu "M4 6h16M4 12h16M4 18h16"
    Globe "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18"
    Key "M8 19a5 5 0 1 1 4.600-7H21v4h-3v-1.500h-2V16h-3.400A5 5 0 0 1 8 19M8 14h.01"
    Mail "M3 6h18v12H3zM3 7l9 6 9-6"
    Sliders "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4"
    Trash "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13"
}

/// Draws a picture. Readers do not hear it: what it means stands beside it or in the button's label.
pub(crate) fn icon(icon: Icon) -> View {
    let path = icon.path();
    view! {
        svg(class="icon", "viewBox"="0 0 24 24", aria-hidden="true") { path(d=path) }
    }
}
