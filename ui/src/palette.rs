//! The command palette: any server, page or action by some letters of its name. Loaded when it is opened.

use crate::reactive::{effect, selector};
use crate::{i18n::t, nav::Place, parts::nothing, session::Session, task::Task, theme::Themes};
use mamba_wire::api::{
    Page,
    server::{Server, ServerQuery},
    table,
};
use sycamore::{futures::spawn_local, prelude::*};
use wasm_bindgen::JsCast as _;
use web_sys::{Element, HtmlAnchorElement, HtmlElement, KeyboardEvent};

/// Most servers that are offered at once: what is not among them needs another letter.
const SERVERS_MAX: u32 = 8;
/// What stands in front of an entry's number in its id.
const ENTRY: &str = "palette-";

/// Something that can be chosen.
#[derive(Clone, PartialEq)]
struct Entry {
    label: String,
    kind: &'static str,
    what: What,
}

/// What choosing does.
#[derive(Clone, PartialEq)]
enum What {
    Go(String),
    NextTheme,
    Shortcuts,
    SignOut,
}

/// What is in the dialog. `help` opens the list of shortcuts.
#[component(inline_props)]
pub(crate) fn Palette(open: Signal<bool>, help: Signal<bool>) -> View {
    let (place, session) = (use_context::<Place>(), use_context::<Session>());
    let themes = use_context::<Themes>();
    let text = create_signal(String::new());
    let at = create_signal(0_usize);
    let found = found(session, text);
    effect(move || {
        found.track();
        at.set(0);
    });
    let run = move |entry: Entry| {
        open.set(false);
        match entry.what {
            What::Go(address) => place.go(&address),
            What::NextTheme => themes.next(),
            What::Shortcuts => help.set(true),
            What::SignOut => spawn_local(async move { session.sign_out().await }),
        }
    };
    let pressed = move |event: KeyboardEvent| {
        let count = found.with(Vec::len);
        let next = match event.key().as_str() {
            "ArrowDown" => at.get_untracked() + 1,
            "ArrowUp" => at.get_untracked() + count.saturating_sub(1),
            "Enter" => {
                event.prevent_default();
                if let Some(entry) = found.with_untracked(|it| it.get(at.get_untracked()).cloned())
                {
                    run(entry);
                }
                return;
            }
            _ => return,
        };
        event.prevent_default();
        at.set(next % count.max(1));
        if let Some(entry) = document().get_element_by_id(&format!("{ENTRY}{}", at.get_untracked()))
        {
            entry.scroll_into_view_with_bool(false);
        }
    };
    let node = create_node_ref();
    on_mount(move || {
        if let Some(field) = node.try_get() {
            field.unchecked_into::<HtmlElement>().focus().ok();
        }
    });
    view! {
        div(class="palette") {
            input(r#type="text", r#ref=node, role="combobox", aria-expanded="true", aria-autocomplete="list",
                aria-controls="palette", aria-label=t().palette.find, placeholder=t().palette.find,
                aria-activedescendant=format!("{ENTRY}{}", at.get()), autocomplete="off", "spellcheck"="false",
                bind:value=text, on:keydown=pressed)
            ul(id="palette", role="listbox", aria-label=t().palette.title) { (list(found.get_clone(), at, run)) }
            (if found.with(Vec::is_empty) {
                view! { p(class="muted", role="status") { (t().palette.nothing) } }
            } else { nothing() })
        }
    }
}

fn list(entries: Vec<Entry>, at: Signal<usize>, run: impl Fn(Entry) + Copy + 'static) -> View {
    let entries = entries.into_iter().enumerate().map(|(index, entry)| {
        let (label, kind) = (entry.label.clone(), entry.kind);
        let chosen = selector(move || if at.get() == index { "true" } else { "false" });
        view! {
            li(id=format!("{ENTRY}{index}"), role="option", aria-selected=chosen.get(),
                on:click=move |_| run(entry.clone())) {
                span(class="cut") { (label) } span(class="muted") { (kind) }
            }
        }
    });
    entries.collect::<Vec<_>>().into()
}

/// Follows what fits the text: pages and actions are known here, servers at the hub.
fn found(session: Session, text: Signal<String>) -> ReadSignal<Vec<Entry>> {
    let servers = create_signal(Vec::new());
    let task = Task::new();
    effect(move || {
        let name = text.with(|it| it.trim().to_owned());
        let name = (!name.is_empty()).then_some(name);
        let query = ServerQuery { name, limit: Some(SERVERS_MAX), ..ServerQuery::ALL };
        let asking = session.call::<table::ListServers>((), query, ());
        task.restart(asking, move |page: Page<Server>| {
            servers.set(page.items.into_iter().map(server).collect::<Vec<_>>());
        });
    });
    let known = pages().into_iter().chain(actions()).collect::<Vec<_>>();
    selector(move || {
        let text = text.with(|it| it.to_lowercase());
        let fitting = known.iter().filter(|it| fits(&it.label, &text)).cloned();
        fitting.chain(servers.get_clone()).collect()
    })
}

fn server(server: Server) -> Entry {
    let what = What::Go(format!("/servers/{}", server.server));
    Entry { label: server.name, kind: t().palette.server, what }
}

/// Returns the pages of the menu: it offers what somebody may see.
fn pages() -> Vec<Entry> {
    let Ok(links) = document().query_selector_all("nav a.nav-link") else { return Vec::new() };
    let links = (0..links.length()).filter_map(|index| links.item(index)?.dyn_into().ok());
    links
        .map(|link: HtmlAnchorElement| Entry {
            label: link.unchecked_ref::<Element>().text_content().unwrap_or_default(),
            kind: t().palette.page,
            what: What::Go(link.pathname()),
        })
        .collect()
}

fn actions() -> impl Iterator<Item = Entry> {
    let texts = &t().palette;
    [
        (texts.theme, What::NextTheme),
        (texts.shortcuts, What::Shortcuts),
        (t().general.sign_out, What::SignOut),
    ]
    .into_iter()
    .map(|(label, what)| Entry { label: label.to_owned(), kind: texts.action, what })
}

/// Whether every word of a text, in small letters, is somewhere in a label.
fn fits(label: &str, text: &str) -> bool {
    let label = label.to_lowercase();
    text.split_whitespace().all(|word| label.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_order() {
        for (text, expected) in [("", true), ("out sig", true), ("sign", true), ("signs", false)] {
            assert_eq!(fits("Sign out", text), expected, "{text}");
        }
    }
}
