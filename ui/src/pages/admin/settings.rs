//! What the hub was set up with.

use crate::{
    i18n::t,
    parts::{head, nothing, shown, table},
    remote::{self, watch},
};
use mamba_wire::api::{hub::Setting, table};
use sycamore::prelude::*;

/// The page.
#[component]
pub(super) fn Settings() -> View {
    let settings = watch::<table::ListSettings>(remote::NEVER_MS, || Some(((), ())));
    let head = head(Vec::new(), t().admin.settings, nothing());
    let found = shown(settings, |page| {
        let sections = page.with_untracked(|it| sections(&it.items));
        sections.into_iter().map(|(name, items)| section(name, &items)).collect::<Vec<_>>().into()
    });
    view! { (head) p(class="muted") { (t().admin.settings_text) } (found) }
}

/// Pure: groups settings by the section of their keys, in their order.
fn sections(settings: &[Setting]) -> Vec<(String, Vec<Setting>)> {
    let mut sections: Vec<(String, Vec<Setting>)> = Vec::new();
    for setting in settings {
        let name = setting.key.split_once('.').map_or("", |(section, _)| section);
        // A section that may be there several times begins with its id.
        let begins = setting.variable.is_none() && setting.key.ends_with(".id");
        match sections.last_mut().filter(|(last, _)| last == name && !begins) {
            Some((_, items)) => items.push(setting.clone()),
            None => sections.push((name.to_owned(), vec![setting.clone()])),
        }
    }
    sections
}

fn section(name: String, settings: &[Setting]) -> View {
    let title = if name.is_empty() { t().admin.settings_general.to_owned() } else { name };
    let lines: View = settings.iter().map(line).collect::<Vec<_>>().into();
    let texts = &t().admin;
    let found = table(texts.settings, &[texts.setting, texts.value, texts.variable_name], lines);
    view! { section(class="card settings") { header { h2 { (title) } } (found) } }
}

fn line(setting: &Setting) -> View {
    let Setting { key, variable, value } = setting.clone();
    let key = key.split_once('.').map_or(key.clone(), |(_, name)| name.to_owned());
    let is_set = !value.is_empty();
    let variable = variable.unwrap_or_default();
    view! {
        tr {
            td { code { (key) } }
            td(class="wrap") {
                span(hidden=!is_set) { (value) }
                span(class="muted", hidden=is_set) { (t().admin.unset) }
            }
            td(class="muted") { code { (variable) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_is_a_section_of_its_own() {
        let setting = |key: &str| Setting {
            key: key.to_owned(),
            variable: (!key.starts_with("provider.")).then(String::new),
            value: String::new(),
        };
        let keys = ["log", "tls.key_file", "provider.id", "provider.name", "provider.id"];
        let found = sections(&keys.map(setting));
        let shape: Vec<_> = found.iter().map(|(name, it)| (name.as_str(), it.len())).collect();
        assert_eq!(shape, [("", 1), ("tls", 1), ("provider", 2), ("provider", 1)]);
    }
}
