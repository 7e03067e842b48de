//! Texts of the permission matrix.

texts! {
    control: "Power and console",
    user: "People",
    file: "Files",
    backup: "Backups",
    allocation: "Ports",
    startup: "Start-up",
    database: "Databases",
    schedule: "Schedules",
    settings: "Settings",
    activity: "Activity",
}
