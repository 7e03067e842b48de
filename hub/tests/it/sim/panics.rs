//! Notices that an assertion of the product failed, also where the product survives it.

use std::{cell::RefCell, sync::Once};

thread_local! {
    /// The first panic of this thread, while it is watched.
    static FIRST: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Watches this thread until it is dropped. Panics are not printed meanwhile.
pub(super) struct Panics;

impl Panics {
    pub(super) fn watch() -> Self {
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                let is_noted = FIRST.with_borrow_mut(|first| match first {
                    Some(first) => {
                        first.get_or_insert_with(|| info.to_string());
                        true
                    }
                    None => false,
                });
                if !is_noted {
                    usual(info);
                }
            }));
        });
        FIRST.set(Some(None));
        Self
    }

    /// Returns what the first panic said.
    pub(super) fn first(&self) -> Option<String> {
        FIRST.with_borrow(|first| first.clone().flatten())
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        let first = FIRST.take().flatten();
        if std::thread::panicking() {
            // One of the simulator itself.
            eprintln!("{}", first.unwrap_or_default());
        }
    }
}
