//! What this browser remembers: never anything secret. A browser that keeps nothing forgets it all.

fn storage() -> Option<web_sys::Storage> {
    sycamore::web::window().local_storage().ok().flatten()
}

/// Returns what was kept under a name.
pub(crate) fn get(name: &str) -> Option<String> {
    storage()?.get_item(name).ok().flatten()
}

/// Keeps something.
pub(crate) fn set(name: &str, value: &str) {
    storage().and_then(|it| it.set_item(name, value).ok());
}

/// Forgets something.
pub(crate) fn remove(name: &str) {
    storage().and_then(|it| it.remove_item(name).ok());
}
