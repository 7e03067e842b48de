//! Pure: the tabs of a server.

use crate::i18n::t;
use mamba_core::{access::ServerKey, ids::ServerId};

/// A tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    /// What the game says.
    Console,
    /// What was used.
    Usage,
    /// What it is started with.
    Startup,
    /// Where players connect.
    Network,
    /// Its files: a place that waits for them.
    Files,
    /// Its backups: the same.
    Backups,
    /// What is done at which time: the same.
    Schedules,
    /// Who else may do something with it.
    People,
    /// What happened.
    Activity,
    /// Name, limits, end.
    Settings,
}

impl Tab {
    /// All of them, as they are shown.
    pub(crate) const ALL: [Self; 10] = [
        Self::Console,
        Self::Usage,
        Self::Startup,
        Self::Network,
        Self::Files,
        Self::Backups,
        Self::Schedules,
        Self::People,
        Self::Activity,
        Self::Settings,
    ];

    /// Its name in addresses.
    fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Usage => "usage",
            Self::Startup => "startup",
            Self::Network => "network",
            Self::Files => "files",
            Self::Backups => "backups",
            Self::Schedules => "schedules",
            Self::People => "people",
            Self::Activity => "activity",
            Self::Settings => "settings",
        }
    }

    /// Returns the tab of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Returns its name for people.
    pub(super) fn title(self) -> &'static str {
        let texts = &t().servers;
        match self {
            Self::Console => texts.console,
            Self::Usage => texts.tab_usage,
            Self::Startup => texts.tab_startup,
            Self::Network => texts.tab_network,
            Self::Files => texts.tab_files,
            Self::Backups => texts.tab_backups,
            Self::Schedules => texts.tab_schedules,
            Self::People => texts.tab_people,
            Self::Activity => texts.tab_activity,
            Self::Settings => texts.tab_settings,
        }
    }

    /// Returns what is needed to see it; `None` for what everybody sees who sees the server.
    pub(super) fn key(self) -> Option<ServerKey> {
        match self {
            Self::Console => Some(ServerKey::ControlReadConsole),
            Self::Usage | Self::Settings => None,
            Self::Startup => Some(ServerKey::StartupRead),
            Self::Network => Some(ServerKey::AllocationRead),
            Self::Files => Some(ServerKey::FileRead),
            Self::Backups => Some(ServerKey::BackupRead),
            Self::Schedules => Some(ServerKey::ScheduleRead),
            Self::People => Some(ServerKey::UserRead),
            Self::Activity => Some(ServerKey::ActivityRead),
        }
    }

    /// Returns where it is.
    pub(super) fn path(self, server: ServerId) -> String {
        format!("/servers/{server}/{}", self.name())
    }
}
