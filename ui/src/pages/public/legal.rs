//! Legal pages: text with a little structure, shown as text.

use super::titled;
use crate::{
    i18n::t,
    parts::{Tone, nothing, notice, shown},
    remote::{self, watch},
};
use mamba_wire::api::{
    legal::{Block, Inline, LEGAL_PAGES, LegalPage, LegalPath},
    table,
};
use sycamore::prelude::*;

/// The page.
#[component(inline_props)]
pub(super) fn Legal(page: usize) -> View {
    let remote = watch::<table::ShowLegal>(remote::NEVER_MS, move || {
        let page = LEGAL_PAGES.get(page).copied().unwrap_or_default().to_owned();
        Some((LegalPath { page }, ()))
    });
    shown(remote, |page| view! { (whole(&page.get_clone())) })
}

/// Returns the number of a page by its short name.
pub(super) fn number(name: &str) -> Option<usize> {
    LEGAL_PAGES.iter().position(|it| *it == name)
}

/// Returns where each page is, what it is called, and its number.
pub(super) fn links() -> Vec<(String, &'static str, usize)> {
    let texts = &t().public;
    let titles = [texts.terms, texts.privacy, texts.refund, texts.aup, texts.dmca];
    let each = LEGAL_PAGES.iter().zip(titles).enumerate();
    each.map(|(index, (name, title))| (format!("/legal/{name}"), title, index)).collect()
}

fn whole(page: &LegalPage) -> View {
    let title = titled(&page.title);
    let warning =
        if page.is_template { notice(Tone::Busy, t().public.template) } else { nothing() };
    let blocks: Vec<View> = page.blocks.iter().map(block).collect();
    let blocks = View::from(blocks);
    view! { article(class="prose") { (title) (warning) (blocks) } }
}

fn block(block: &Block) -> View {
    match block {
        Block::Heading(line) => {
            let line = inlines(line);
            view! { h2 { (line) } }
        }
        Block::Subheading(line) => {
            let line = inlines(line);
            view! { h3 { (line) } }
        }
        Block::Paragraph(line) => {
            let line = inlines(line);
            view! { p { (line) } }
        }
        Block::Points(items) => {
            let items = points(items);
            view! { ul { (items) } }
        }
        Block::Steps(items) => {
            let items = points(items);
            view! { ol { (items) } }
        }
    }
}

fn points(items: &[Vec<Inline>]) -> View {
    let items: Vec<View> = items
        .iter()
        .map(|line| {
            let line = inlines(line);
            view! { li { (line) } }
        })
        .collect();
    items.into()
}

fn inlines(line: &[Inline]) -> View {
    let parts: Vec<View> = line.iter().cloned().map(inline).collect();
    parts.into()
}

fn inline(part: Inline) -> View {
    match part {
        Inline::Text(text) => view! { (text) },
        Inline::Strong(text) => view! { strong { (text) } },
        Inline::Emphasis(text) => view! { em { (text) } },
        // The hub lets only addresses through that lead to the web, to mailboxes and to pages here.
        Inline::Link { text, to } => view! { a(href=to, rel="noreferrer") { (text) } },
    }
}
