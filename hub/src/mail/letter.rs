//! Pure: what is written to people, as text and as HTML.
//!
//! Names of servers, tenants and devices are chosen by users: in HTML every value is escaped, in a
//! subject nothing but one line is left of it, and none becomes a link. Links are made by the hub.

/// A letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Proves that somebody reads mail at an address that an account has or wants.
    Verify {
        /// Where to go.
        link: String,
    },
    /// Completes a registration.
    Register {
        /// Where to go.
        link: String,
    },
    /// Somebody registered an address that has an account.
    AlreadyRegistered,
    /// Sets a new password.
    Reset {
        /// Where to go.
        link: String,
    },
    /// An administrator made an account for the address, without a password.
    AccountMade {
        /// Where to go.
        link: String,
    },
    /// An administrator made the password void.
    MustReset {
        /// Where to go.
        link: String,
    },
    /// The account is no more; this goes to its address.
    AccountEnded,
    /// The password was changed.
    PasswordChanged,
    /// The account's address was changed; this goes to the old one.
    AddressChanged {
        /// The new one.
        to: String,
    },
    /// A second factor was taken into use.
    SecondFactorOn,
    /// A second factor was taken out of use.
    SecondFactorOff,
    /// Something besides the password opens the account from now on.
    WayAdded {
        /// What it is.
        way: Way,
        /// Its name.
        name: String,
    },
    /// Something opens the account no more.
    WayRemoved {
        /// What it was.
        way: Way,
        /// Its name.
        name: String,
    },
    /// A sign-in from a device that was not seen before.
    NewDevice {
        /// What it calls itself.
        device: String,
        /// Where it is.
        address: String,
        /// When.
        at: String,
    },
    /// An invitation.
    Invitation {
        /// Who invites.
        by: String,
        /// Into what: the tenant's or server's name.
        to: String,
        /// Where to go.
        link: String,
    },
    /// Somebody was added to a tenant or server.
    Added {
        /// Its name.
        to: String,
    },
    /// Somebody was removed from a tenant or server.
    Removed {
        /// Its name.
        from: String,
    },
    /// A server that somebody had access to is being deleted.
    ServerDeleted {
        /// Its name.
        server: String,
    },
    /// A server is ready.
    ServerInstalled {
        /// Its name.
        server: String,
    },
    /// A server could not be installed.
    InstallFailed {
        /// Its name.
        server: String,
    },
    /// A server crashed and is not started again.
    ServerCrashed {
        /// Its name.
        server: String,
        /// What is known.
        reason: String,
    },
}

/// What opens an account besides its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// An API key.
    ApiKey,
    /// An SSH key.
    SshKey,
    /// A passkey.
    Passkey,
    /// An account at another provider.
    Provider,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "API key",
            Self::SshKey => "SSH key",
            Self::Passkey => "passkey",
            Self::Provider => "account at another provider",
        }
    }
}

/// A letter as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// For readers of plain text.
    pub text: String,
    /// For others.
    pub html: String,
    /// Where both lead; it may hold a token.
    pub link: Option<String>,
}

impl Letter {
    /// Writes it out.
    #[must_use]
    pub fn render(&self) -> Rendered {
        let mut text = String::new();
        let mut html = String::from(HEAD);
        let mut lines = vec![self.body()];
        lines.extend(self.is_security().then(|| NOT_YOU.to_owned()));
        for line in &lines {
            text.push_str(&format!("{line}\n\n"));
            html.push_str(&format!("<p>{}</p>\n", escaped(line)));
        }
        if let Some((label, link)) = self.link() {
            text.push_str(&format!("{label}:\n{link}\n\n"));
            let link = escaped(link);
            html.push_str(&format!("<p><a href=\"{link}\">{label}</a></p>\n<p>{link}</p>\n"));
        }
        text.push_str(&format!("-- \n{FOOT}\n"));
        html.push_str(&format!("<hr>\n<p><small>{FOOT}</small></p>\n</body></html>\n"));
        let link = self.link().map(|(_, link)| link.to_owned());
        Rendered { subject: one_line(&self.subject()), text, html, link }
    }

    fn subject(&self) -> String {
        match self {
            Self::Verify { .. } => "Confirm this address".to_owned(),
            Self::Register { .. } => "Complete your registration".to_owned(),
            Self::AlreadyRegistered => "You have an account already".to_owned(),
            Self::Reset { .. } => "Set a new password".to_owned(),
            Self::AccountMade { .. } => "You have an account".to_owned(),
            Self::MustReset { .. } => "Your password is void: set a new one".to_owned(),
            Self::AccountEnded => "Your account is closed".to_owned(),
            Self::PasswordChanged => "Your password was changed".to_owned(),
            Self::AddressChanged { .. } => "Your address was changed".to_owned(),
            Self::SecondFactorOn => "A second factor protects your account".to_owned(),
            Self::SecondFactorOff => "Your account has no second factor any more".to_owned(),
            Self::WayAdded { way, .. } => format!("New {} for your account", way.name()),
            Self::WayRemoved { way, .. } => format!("Your account lost its {}", way.name()),
            Self::NewDevice { .. } => "Sign-in from a new device".to_owned(),
            Self::Invitation { to, .. } => format!("Invitation to {to}"),
            Self::Added { to } => format!("You have access to {to}"),
            Self::Removed { from } => format!("You have no access to {from} any more"),
            Self::ServerDeleted { server } => format!("{server} is being deleted"),
            Self::ServerInstalled { server } => format!("{server} is ready"),
            Self::InstallFailed { server } => format!("{server} could not be installed"),
            Self::ServerCrashed { server, .. } => format!("{server} crashed"),
        }
    }

    fn body(&self) -> String {
        match self {
            Self::Verify { .. } => "This address was given for an account. The link below \
                                    confirms that it is yours; it is valid for one day. If it is \
                                    not your account, do nothing."
                .to_owned(),
            Self::Register { .. } => "Somebody, probably you, registered this address. The link \
                                      below makes the account; it is valid for one hour. If it was \
                                      not you, do nothing."
                .to_owned(),
            Self::AlreadyRegistered => {
                "Somebody, probably you, registered this address. It has an \
                                        account already: sign in, or ask for a new password."
                    .to_owned()
            }
            Self::Reset { .. } => {
                "Somebody, probably you, asked for a new password. The link below \
                                   is valid for one hour and works once. If it was not you, do \
                                   nothing: your password stays."
                    .to_owned()
            }
            Self::AccountMade { .. } => {
                "An administrator made an account for this address. The link below sets its \
                 password; it is valid for one day and works once. If it comes too late, ask for a \
                 new password where you sign in. If you know nothing of this, do nothing."
                    .to_owned()
            }
            Self::MustReset { .. } => {
                "An administrator made the password of your account void and ended its sessions. \
                 The link below sets a new one; it is valid for one day and works once. If it comes \
                 too late, ask for a new password where you sign in."
                    .to_owned()
            }
            Self::AccountEnded => "Your account was closed, with all that was its own.".to_owned(),
            Self::PasswordChanged => "Your password was changed.".to_owned(),
            Self::AddressChanged { to } => {
                format!("From now on the address of your account is {to}, no longer this one.")
            }
            Self::SecondFactorOn => "From now on signing in takes a second factor too.".to_owned(),
            Self::SecondFactorOff => "From now on signing in takes the password only.".to_owned(),
            Self::WayAdded { way, name } => {
                format!("From now on the {} {name} opens your account.", way.name())
            }
            Self::WayRemoved { way, name } => {
                format!("The {} {name} opens your account no more.", way.name())
            }
            Self::NewDevice { device, address, at } => {
                format!("Your account was signed in to from {device} at {address}, {at}.")
            }
            Self::Invitation { by, to, .. } => {
                format!("{by} invites you to {to}. Without an account yet, make one there. If \
                         that means nothing to you, do nothing.")
            }
            Self::Added { to } => format!("You were given access to {to}. Sign in to see it."),
            Self::Removed { from } => format!("Your access to {from} was taken back."),
            Self::ServerDeleted { server } => {
                format!("The server {server}, to which you have access, is being deleted.")
            }
            Self::ServerInstalled { server } => {
                format!("The server {server} is installed and ready to use.")
            }
            Self::InstallFailed { server } => {
                format!("The installation of {server} failed. Its log says why.")
            }
            Self::ServerCrashed { server, reason } => {
                format!("The server {server} crashed and stays off: {reason}")
            }
        }
    }

    fn link(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Verify { link } => Some(("Confirm the address", link)),
            Self::Register { link } => Some(("Make the account", link)),
            Self::Reset { link } | Self::MustReset { link } => Some(("Set a new password", link)),
            Self::AccountMade { link } => Some(("Set the password", link)),
            Self::Invitation { link, .. } => Some(("Accept the invitation", link)),
            Self::AlreadyRegistered
            | Self::AccountEnded
            | Self::PasswordChanged
            | Self::AddressChanged { .. }
            | Self::SecondFactorOn
            | Self::SecondFactorOff
            | Self::WayAdded { .. }
            | Self::WayRemoved { .. }
            | Self::NewDevice { .. }
            | Self::Added { .. }
            | Self::Removed { .. }
            | Self::ServerDeleted { .. }
            | Self::ServerInstalled { .. }
            | Self::InstallFailed { .. }
            | Self::ServerCrashed { .. } => None,
        }
    }

    /// Whether it tells of something that an intruder would do.
    fn is_security(&self) -> bool {
        matches!(
            self,
            Self::PasswordChanged
                | Self::AddressChanged { .. }
                | Self::SecondFactorOn
                | Self::SecondFactorOff
                | Self::WayAdded { .. }
                | Self::WayRemoved { .. }
                | Self::NewDevice { .. }
        )
    }
}

const NOT_YOU: &str = "If it was not you, set a new password now and look through your sessions.";
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"></head>\n\
                    <body style=\"font-family: sans-serif; max-width: 40em\">\n";
const FOOT: &str = "Mamba Host Panel sent this because of your account. Nobody reads replies.";

/// Longest subject in characters.
const SUBJECT_CHARS_MAX: usize = 120;

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUBJECT_CHARS_MAX).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
