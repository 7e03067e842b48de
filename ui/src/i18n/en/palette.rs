//! Texts of the command palette and of the list of shortcuts.

texts! {
    open: "Find",
    title: "Go to or do",
    find: "A server, a page or an action",
    nothing: "Nothing has a name like this.",
    server: "Server",
    page: "Page",
    action: "Action",
    theme: "Change the theme",
    shortcuts: "Keyboard shortcuts",
    arrows: "Choose in a list; in the console, what was typed before",
    tab: "Go to the next thing that can be used",
    escape: "Close what is open",
}
