//! Pure: the keys: what can be allowed, each with its name, group and description.
//!
//! Names are what people, API keys and stored JSON know; the order of variants is what records hold.
//! New keys are added at the end of their enum, and once released none is ever removed. A key comes
//! with what it allows: one that nothing asks for says something that is not true.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not a key of its table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a permission")]
pub struct UnknownKey(pub String);

macro_rules! keys {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal $description:literal)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name { $(
            #[doc = $description]
            #[serde(rename = $text)]
            $variant,
        )+ }

        impl $name {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What it allows, in one sentence.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)+ }
            }

            /// The part of its name before the dot.
            #[must_use]
            pub fn group(self) -> &'static str {
                self.name().split_once('.').map_or(self.name(), |(group, _)| group)
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownKey;
            fn from_str(text: &str) -> Result<Self, UnknownKey> {
                let found = Self::ALL.iter().find(|key| key.name() == text).copied();
                found.ok_or_else(|| UnknownKey(text.chars().take(64).collect()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

keys! {
    /// What somebody may do with one server: Pterodactyl's forty keys by their names, and the right to
    /// read the console without typing.
    ServerKey {
        WebsocketConnect "websocket.connect" "See the server, its state and its usage."
        ControlConsole "control.console" "Type into the console."
        ControlStart "control.start" "Start it."
        ControlStop "control.stop" "Stop and kill it."
        ControlRestart "control.restart" "Restart it."
        UserCreate "user.create" "Invite sub-users."
        UserRead "user.read" "See sub-users and what they may do."
        UserUpdate "user.update" "Change what sub-users may do."
        UserDelete "user.delete" "Remove sub-users."
        FileCreate "file.create" "Make files and directories."
        FileRead "file.read" "List directories."
        FileReadContent "file.read-content" "Read and download files."
        FileUpdate "file.update" "Change files."
        FileDelete "file.delete" "Delete files and directories."
        FileArchive "file.archive" "Pack and unpack archives."
        FileSftp "file.sftp" "Use SFTP."
        BackupCreate "backup.create" "Make backups."
        BackupRead "backup.read" "List backups."
        BackupDelete "backup.delete" "Delete backups."
        BackupDownload "backup.download" "Download backups."
        BackupRestore "backup.restore" "Restore backups."
        AllocationRead "allocation.read" "See ports and addresses."
        AllocationCreate "allocation.create" "Take further ports."
        AllocationUpdate "allocation.update" "Choose the primary port and write notes."
        AllocationDelete "allocation.delete" "Give ports back."
        StartupRead "startup.read" "See start-up variables."
        StartupUpdate "startup.update" "Change start-up variables."
        StartupDockerImage "startup.docker-image" "Choose the image."
        DatabaseCreate "database.create" "Make databases."
        DatabaseRead "database.read" "List databases."
        DatabaseUpdate "database.update" "Give databases new passwords."
        DatabaseDelete "database.delete" "Delete databases."
        DatabaseViewPassword "database.view_password" "See passwords of databases."
        ScheduleCreate "schedule.create" "Make schedules."
        ScheduleRead "schedule.read" "See schedules."
        ScheduleUpdate "schedule.update" "Change and run schedules."
        ScheduleDelete "schedule.delete" "Delete schedules."
        SettingsRename "settings.rename" "Rename the server."
        SettingsReinstall "settings.reinstall" "Install it again."
        ActivityRead "activity.read" "See what happened."
        ControlReadConsole "control.read-console" "Read the console."
    }
}

keys! {
    /// What somebody may do with one tenant.
    TenantRight {
        TenantRead "tenant.read" "See the tenant, its quota and what is used of it."
        TenantUpdate "tenant.update" "Rename the tenant."
        TenantDelete "tenant.delete" "Delete the tenant once it is empty."
        MemberRead "member.read" "See members and invitations."
        MemberWrite "member.write" "Invite and remove members and change their roles."
        RoleRead "role.read" "See roles of the tenant."
        RoleWrite "role.write" "Make, change and delete roles of the tenant."
        BillingRead "billing.read" "See what servers used."
        AuditRead "audit.read" "Read the audit trail."
        ServerCreate "server.create" "Make servers within the quota."
        ServerDelete "server.delete" "Delete servers."
        ChildRead "child.read" "See tenants that this one owns."
        ChildWrite "child.write" "Make and administer tenants that this one owns."
    }
}

keys! {
    /// What somebody may do with the installation. `write` includes `read`.
    AdminRight {
        NodesRead "nodes.read" "See nodes and join tokens."
        NodesWrite "nodes.write" "Add, change and revoke nodes."
        TenantsRead "tenants.read" "See every tenant with its members and roles."
        TenantsWrite "tenants.write" "Make, change and delete every tenant."
        UsersRead "users.read" "See every account."
        UsersWrite "users.write" "Make, change and delete every account."
        BlueprintsRead "blueprints.read" "See blueprints with their scripts."
        BlueprintsWrite "blueprints.write" "Import, change and delete blueprints."
        AllocationsRead "allocations.read" "See every port that nodes offer."
        AllocationsWrite "allocations.write" "Offer and withdraw ports."
        ServersRead "servers.read" "See every server."
        ServersWrite "servers.write" "Do everything with every server."
        SettingsRead "settings.read" "See the settings of the hub."
        MailRead "mail.read" "Read mails that wait or failed."
        MailWrite "mail.write" "Send and delete mails that wait or failed."
        AuditRead "audit.read" "Read every audit trail."
        MountsRead "mounts.read" "See which folders of its node a server sees."
        MountsWrite "mounts.write" "Choose which folders of its node a server sees."
        BillingRead "billing.read" "See what servers of every tenant used."
    }
}

impl ServerKey {
    /// Whether it only lets look. Content of files and passwords are no mere look.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::WebsocketConnect
                | Self::ControlReadConsole
                | Self::UserRead
                | Self::FileRead
                | Self::BackupRead
                | Self::AllocationRead
                | Self::StartupRead
                | Self::DatabaseRead
                | Self::ScheduleRead
                | Self::ActivityRead
        )
    }
}

impl TenantRight {
    /// Whether it only lets look.
    #[must_use]
    pub const fn is_read(self) -> bool {
        match self {
            Self::TenantRead
            | Self::MemberRead
            | Self::RoleRead
            | Self::BillingRead
            | Self::AuditRead
            | Self::ChildRead => true,
            Self::TenantUpdate
            | Self::TenantDelete
            | Self::MemberWrite
            | Self::RoleWrite
            | Self::ServerCreate
            | Self::ServerDelete
            | Self::ChildWrite => false,
        }
    }

    /// Returns the right over the installation that includes this one over every tenant.
    #[must_use]
    pub const fn included_in(self) -> AdminRight {
        match self {
            Self::TenantRead | Self::MemberRead | Self::RoleRead | Self::ChildRead => {
                AdminRight::TenantsRead
            }
            Self::TenantUpdate
            | Self::TenantDelete
            | Self::MemberWrite
            | Self::RoleWrite
            | Self::ChildWrite => AdminRight::TenantsWrite,
            Self::BillingRead => AdminRight::BillingRead,
            Self::AuditRead => AdminRight::AuditRead,
            Self::ServerCreate | Self::ServerDelete => AdminRight::ServersWrite,
        }
    }
}

/// Says what a group of keys is about, in one sentence; nothing for a group that there is not.
#[must_use]
pub fn about_group(group: &str) -> &'static str {
    match group {
        "websocket" => "Seeing a server as it is just now.",
        "control" => "Power and console.",
        "user" => "Sub-users of a server.",
        "file" => "Files of a server.",
        "backup" => "Backups of a server.",
        "allocation" => "Ports of a server.",
        "startup" => "How a server starts.",
        "database" => "Databases of a server.",
        "schedule" => "Schedules of a server.",
        "settings" => "Settings.",
        "activity" => "What happened to a server.",
        "tenant" => "The tenant itself.",
        "member" => "Members of a tenant.",
        "role" => "Roles of a tenant.",
        "billing" => "What servers used.",
        "audit" => "The audit trail.",
        "server" => "Servers of a tenant.",
        "child" => "Tenants that a tenant owns.",
        "nodes" => "Nodes and join tokens.",
        "tenants" => "Every tenant.",
        "users" => "Every account.",
        "blueprints" => "Blueprints.",
        "allocations" => "Ports that nodes offer.",
        "servers" => "Every server.",
        "mail" => "Mails that wait or failed.",
        "mounts" => "Folders of nodes that servers see.",
        _ => "",
    }
}

impl AdminRight {
    /// Whether it only lets look.
    #[must_use]
    pub fn is_read(self) -> bool {
        self.name().ends_with(".read")
    }

    /// Returns the right that includes this one: of `nodes.read`, `nodes.write`; itself where there is
    /// nothing to write.
    #[must_use]
    pub const fn write(self) -> Self {
        match self {
            Self::NodesRead | Self::NodesWrite => Self::NodesWrite,
            Self::TenantsRead | Self::TenantsWrite => Self::TenantsWrite,
            Self::UsersRead | Self::UsersWrite => Self::UsersWrite,
            Self::BlueprintsRead | Self::BlueprintsWrite => Self::BlueprintsWrite,
            Self::AllocationsRead | Self::AllocationsWrite => Self::AllocationsWrite,
            Self::ServersRead | Self::ServersWrite => Self::ServersWrite,
            Self::SettingsRead => Self::SettingsRead,
            Self::MailRead | Self::MailWrite => Self::MailWrite,
            Self::AuditRead => Self::AuditRead,
            Self::MountsRead | Self::MountsWrite => Self::MountsWrite,
            Self::BillingRead => Self::BillingRead,
        }
    }
}
