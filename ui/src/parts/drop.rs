//! A place for files: dropped onto it, or chosen.

use super::{Icon, icon};
use std::rc::Rc;
use sycamore::prelude::*;
use wasm_bindgen::JsCast as _;
use web_sys::{DragEvent, File, FileList, HtmlInputElement};

/// Takes several files; which kinds are offered for choosing is in `accept`.
#[component(inline_props)]
pub(crate) fn FileDrop(
    #[prop(setter(into))] label: String,
    #[prop(setter(into))] hint: String,
    accept: &'static str,
    take: Rc<dyn Fn(Vec<File>)>,
) -> View {
    let picture = icon(Icon::Book);
    let is_over = create_signal(false);
    let take_dropped = take.clone();
    let over = move |event: DragEvent| {
        event.prevent_default();
        is_over.set(true);
    };
    let dropped = move |event: DragEvent| {
        event.prevent_default();
        is_over.set(false);
        if let Some(files) = event.data_transfer().and_then(|it| it.files()) {
            take_dropped(all(&files));
        }
    };
    let chosen = move |event: web_sys::Event| {
        let input = event.target().and_then(|it| it.dyn_into::<HtmlInputElement>().ok());
        let Some(input) = input else { return };
        if let Some(files) = input.files() {
            take(all(&files));
        }
        // So that the same file can be chosen again after it was mended.
        input.set_value("");
    };
    view! {
        label(class="drop", data-over=is_over.get().then_some("yes"), on:dragover=over,
            on:dragleave=move |_: DragEvent| is_over.set(false), on:drop=dropped) {
            input(class="sr", r#type="file", multiple=true, accept=accept, on:change=chosen)
            (picture) strong { (label) } span(class="muted") { (hint) }
        }
    }
}

fn all(files: &FileList) -> Vec<File> {
    (0..files.length()).filter_map(|index| files.get(index)).collect()
}
