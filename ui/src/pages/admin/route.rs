//! Pure: the pages of the administration, and who may see them.

use crate::{i18n::t, parts::Icon};
use mamba_core::{access::AdminRight, ids::NodeId};

/// A page of the administration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminRoute {
    /// A section's own page.
    Section(Section),
    /// One node.
    Node(NodeId, NodeTab),
    /// One blueprint, by its short name.
    Blueprint(String),
}

/// A part of the administration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// How the installation is.
    Overview,
    /// Machines.
    Nodes,
    /// Game definitions.
    Blueprints,
    /// Customers.
    Tenants,
    /// Accounts.
    Users,
    /// Ports that nodes offer.
    Allocations,
    /// Mails that were not sent.
    Mail,
    /// Who did what.
    Audit,
    /// What is wrong.
    Health,
    /// What the hub was set up with.
    Settings,
}

/// A part of one node's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeTab {
    /// The machine and its link.
    Machine,
    /// What runs there.
    Servers,
    /// Its ports.
    Ports,
    /// Name, place, capacity, end.
    Settings,
}

impl AdminRoute {
    /// Where one begins.
    pub(crate) const BEGIN: Self = Self::Section(Section::Overview);

    /// Reads the parts of a path behind `/admin`.
    pub(crate) fn of(parts: &[&str]) -> Option<Self> {
        match parts {
            [] => Some(Self::Section(Section::Overview)),
            ["nodes", node] => Some(Self::Node(node.parse().ok()?, NodeTab::Machine)),
            ["nodes", node, tab] => Some(Self::Node(node.parse().ok()?, NodeTab::named(tab)?)),
            ["blueprints", name] => Some(Self::Blueprint((*name).to_owned())),
            [name] => Section::ALL.into_iter().find(|it| it.name() == *name).map(Self::Section),
            _ => None,
        }
    }

    /// Returns the section that it belongs to.
    pub(crate) fn section(&self) -> Section {
        match self {
            Self::Section(section) => *section,
            Self::Node(..) => Section::Nodes,
            Self::Blueprint(_) => Section::Blueprints,
        }
    }
}

impl Section {
    /// All of them, as they are shown.
    pub(crate) const ALL: [Self; 10] = [
        Self::Overview,
        Self::Nodes,
        Self::Blueprints,
        Self::Tenants,
        Self::Users,
        Self::Allocations,
        Self::Mail,
        Self::Audit,
        Self::Health,
        Self::Settings,
    ];

    fn name(self) -> &'static str {
        self.path().trim_start_matches("/admin").trim_start_matches('/')
    }

    /// Returns where it is.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Overview => "/admin",
            Self::Nodes => "/admin/nodes",
            Self::Blueprints => "/admin/blueprints",
            Self::Tenants => "/admin/tenants",
            Self::Users => "/admin/users",
            Self::Allocations => "/admin/allocations",
            Self::Mail => "/admin/mail",
            Self::Audit => "/admin/audit",
            Self::Health => "/admin/health",
            Self::Settings => "/admin/settings",
        }
    }

    /// Returns its name for people.
    pub(crate) fn title(self) -> &'static str {
        let texts = &t().admin;
        match self {
            Self::Overview => texts.overview,
            Self::Nodes => texts.nodes,
            Self::Blueprints => texts.blueprints,
            Self::Tenants => texts.tenants,
            Self::Users => texts.users,
            Self::Allocations => texts.allocations,
            Self::Mail => texts.mail,
            Self::Audit => texts.audit,
            Self::Health => texts.health,
            Self::Settings => texts.settings,
        }
    }

    /// Returns its picture.
    pub(crate) fn icon(self) -> Icon {
        match self {
            Self::Overview => Icon::Gauge,
            Self::Nodes => Icon::Servers,
            Self::Blueprints => Icon::Book,
            Self::Tenants => Icon::People,
            Self::Users => Icon::Account,
            Self::Allocations => Icon::Globe,
            Self::Mail => Icon::Mail,
            Self::Audit => Icon::Log,
            Self::Health => Icon::Warn,
            Self::Settings => Icon::Sliders,
        }
    }

    /// Returns the right without which there is nothing to see; `None` when any will do.
    pub(crate) fn right(self) -> Option<AdminRight> {
        match self {
            Self::Overview => None,
            Self::Nodes | Self::Health => Some(AdminRight::NodesRead),
            Self::Blueprints => Some(AdminRight::BlueprintsRead),
            Self::Tenants => Some(AdminRight::TenantsRead),
            Self::Users => Some(AdminRight::UsersRead),
            Self::Allocations => Some(AdminRight::AllocationsRead),
            Self::Mail => Some(AdminRight::MailRead),
            Self::Audit => Some(AdminRight::AuditRead),
            Self::Settings => Some(AdminRight::SettingsRead),
        }
    }
}

impl NodeTab {
    /// All of them, as they are shown.
    pub(super) const ALL: [Self; 4] = [Self::Machine, Self::Servers, Self::Ports, Self::Settings];

    fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Servers => "servers",
            Self::Ports => "ports",
            Self::Settings => "settings",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Returns its name for people.
    pub(super) fn title(self) -> &'static str {
        let texts = &t().admin;
        match self {
            Self::Machine => texts.tab_machine,
            Self::Servers => t().servers.title,
            Self::Ports => texts.tab_ports,
            Self::Settings => t().servers.tab_settings,
        }
    }

    /// Returns where it is.
    pub(super) fn path(self, node: NodeId) -> String {
        format!("/admin/nodes/{node}/{}", self.name())
    }

    /// Returns the right without which there is nothing to see.
    pub(super) fn right(self) -> AdminRight {
        match self {
            Self::Machine => AdminRight::NodesRead,
            Self::Servers => AdminRight::ServersRead,
            Self::Ports => AdminRight::AllocationsRead,
            Self::Settings => AdminRight::NodesWrite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_mean_pages() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let node = |tab| Some(AdminRoute::Node(id.parse().unwrap(), tab));
        for (path, expected) in [
            (&[][..], Some(AdminRoute::Section(Section::Overview))),
            (&["audit"], Some(AdminRoute::Section(Section::Audit))),
            (&["nodes", id], node(NodeTab::Machine)),
            (&["nodes", id, "ports"], node(NodeTab::Ports)),
            (&["nodes", id, "x"], None),
            (&["nodes", "x"], None),
            (&["x"], None),
            (&["blueprints", "minecraft"], Some(AdminRoute::Blueprint("minecraft".to_owned()))),
        ] {
            assert_eq!(AdminRoute::of(path), expected, "{path:?}");
        }
        for section in Section::ALL {
            let parts: Vec<_> = section.path().split('/').skip(2).collect();
            assert_eq!(AdminRoute::of(&parts), Some(AdminRoute::Section(section)));
        }
    }
}
