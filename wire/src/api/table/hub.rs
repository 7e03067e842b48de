//! Pure: the hub itself, for administrators.

use super::prelude::*;
use crate::{
    api::{
        hub::{Alarm, AlarmPath, Setting},
        permission::Permissions,
    },
    node::Check,
};

endpoints! {
    /// The hub itself, for administrators.
    HUB "hub" for_each_hub_endpoint;

    /// Looks over store, backups, nodes and streams and says what it found.
    ListChecks: Get "/api/v1/checks", Permission::Admin(AdminRight::NodesRead), 200,
        ((), (), ()) -> Page<Check>;
    /// Lists what a person should look at, newest first.
    ListAlarms: Get "/api/v1/alarms", Permission::Admin(AdminRight::NodesRead), 200,
        ((), PageQuery, ()) -> Page<Alarm>;
    /// Removes an alarm that was dealt with.
    ClearAlarm: Delete "/api/v1/alarms/{alarm}", Permission::Admin(AdminRight::NodesWrite), 204,
        (AlarmPath, (), ()) -> ();
    /// Shows the permission table: every key with its group and what it allows.
    ListPermissions: Get "/api/v1/permissions", Permission::SignedIn, 200,
        ((), (), ()) -> Permissions;
    /// Lists the settings in force, without secrets, in the order of the documented file.
    ListSettings: Get "/api/v1/settings", Permission::Admin(AdminRight::SettingsRead), 200,
        ((), (), ()) -> Page<Setting>;
}
