//! Pure: the tabs of a tenant.

use crate::i18n::t;
use mamba_core::{access::TenantRight, ids::TenantId};

/// A tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    /// Quota, and what is taken of it.
    Overview,
    /// Who belongs to it, and who is invited.
    Members,
    /// What its people may do.
    Roles,
    /// What programs sign in with that are bound to it.
    ApiKeys,
    /// What its servers used.
    Usage,
    /// Who did what.
    Audit,
    /// Tenants that it owns.
    Children,
    /// Name and end.
    Settings,
}

impl Tab {
    /// All of them, as they are shown.
    pub(super) const ALL: [Self; 8] = [
        Self::Overview,
        Self::Members,
        Self::Roles,
        Self::ApiKeys,
        Self::Usage,
        Self::Audit,
        Self::Children,
        Self::Settings,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Members => "members",
            Self::Roles => "roles",
            Self::ApiKeys => "api-keys",
            Self::Usage => "usage",
            Self::Audit => "audit",
            Self::Children => "tenants",
            Self::Settings => "settings",
        }
    }

    /// Returns the tab of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Returns its name for people.
    pub(super) fn title(self) -> &'static str {
        let texts = &t().tenant;
        match self {
            Self::Overview => texts.tab_overview,
            Self::Members => texts.tab_members,
            Self::Roles => texts.tab_roles,
            Self::ApiKeys => t().account.api_keys,
            Self::Usage => texts.tab_usage,
            Self::Audit => texts.tab_audit,
            Self::Children => texts.tab_children,
            Self::Settings => texts.tab_settings,
        }
    }

    /// Returns a right of which one is needed to see it.
    pub(super) fn wants(self) -> &'static [TenantRight] {
        match self {
            Self::Overview => &[TenantRight::TenantRead],
            Self::Members | Self::ApiKeys => &[TenantRight::MemberRead],
            Self::Roles => &[TenantRight::RoleRead],
            Self::Usage => &[TenantRight::BillingRead],
            Self::Audit => &[TenantRight::AuditRead],
            Self::Children => &[TenantRight::ChildRead],
            Self::Settings => &[TenantRight::TenantUpdate, TenantRight::TenantDelete],
        }
    }

    /// Returns where it is.
    pub(super) fn path(self, tenant: TenantId) -> String {
        format!("/tenants/{tenant}/{}", self.name())
    }
}
