//! What the panel says, in each language. A language is complete or it does not compile.
//!
//! Texts lie in areas, one file each in `en/`. A text is looked up as `t().area.name`; `{name}` in it is
//! replaced by [`fill`].

/// Declares the texts of one area, and what they are in English.
macro_rules! texts {
    ($($name:ident: $text:literal,)+) => {
        /// Texts of this area.
        pub(crate) struct Texts { $(pub(crate) $name: &'static str,)+ }

        /// In English.
        pub(crate) static EN: Texts = Texts { $($name: $text,)+ };
    };
}

pub(crate) mod en;

use std::fmt::Display;

/// One language.
pub(crate) struct Language {
    pub(crate) general: &'static en::general::Texts,
    pub(crate) sign_in: &'static en::sign_in::Texts,
    pub(crate) servers: &'static en::servers::Texts,
    pub(crate) account: &'static en::account::Texts,
    pub(crate) keys: &'static en::keys::Texts,
    pub(crate) invitation: &'static en::invitation::Texts,
    pub(crate) palette: &'static en::palette::Texts,
    pub(crate) tenant: &'static en::tenant::Texts,
    pub(crate) public: &'static en::public::Texts,
    pub(crate) trail: &'static en::trail::Texts,
    pub(crate) admin: &'static en::admin::Texts,
}

static ENGLISH: Language = Language {
    general: &en::general::EN,
    sign_in: &en::sign_in::EN,
    servers: &en::servers::EN,
    account: &en::account::EN,
    keys: &en::keys::EN,
    invitation: &en::invitation::EN,
    palette: &en::palette::EN,
    tenant: &en::tenant::EN,
    public: &en::public::EN,
    trail: &en::trail::EN,
    admin: &en::admin::EN,
};

/// Returns the texts of the chosen language.
pub(crate) fn t() -> &'static Language {
    &ENGLISH
}

/// Returns a text with its `{name}`s replaced.
pub(crate) fn fill(text: &str, values: &[(&str, &dyn Display)]) -> String {
    let mut out = text.to_owned();
    for (name, value) in values {
        out = out.replace(&format!("{{{name}}}"), &value.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_place_of_their_names() {
        assert_eq!(fill("{n} of {all}", &[("n", &1), ("all", &"two")]), "1 of two");
    }
}
