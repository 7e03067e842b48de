//! Pure: every account, for administrators.

use super::prelude::*;
use crate::api::user::{self, SetAdministration as NewPart, User, UserPath, UserQuery};

endpoints! {
    /// Every account, for administrators.
    USERS "users" for_each_user_endpoint;

    /// Lists accounts, oldest first; with a filter a page may be short and have a next one all the same.
    ListUsers: Get "/api/v1/users", Permission::Admin(AdminRight::UsersRead), 200,
        ((), UserQuery, ()) -> Page<User>;
    /// Shows an account.
    ShowUser: Get "/api/v1/users/{user}", Permission::Admin(AdminRight::UsersRead), 200,
        (UserPath, (), ()) -> User;
    /// Makes an account; without a password a letter with a link that sets it goes to the address.
    CreateUser: Post "/api/v1/users", Permission::Admin(AdminRight::UsersWrite), 201 keyed,
        ((), (), user::CreateUser) -> User;
    /// Changes the address of an account, its proof, or its name elsewhere; nobody changes who may do more than it does.
    UpdateUser: Patch "/api/v1/users/{user}", Permission::Admin(AdminRight::UsersWrite), 200,
        (UserPath, (), user::UpdateUser) -> User, [Conflict];
    /// Deletes an account with its sessions, keys and memberships; the only owner of a tenant gives it away first.
    DeleteUser: Delete "/api/v1/users/{user}", Permission::Admin(AdminRight::UsersWrite), 204,
        (UserPath, (), ()) -> (), [Conflict];
    /// Makes the password of an account void, ends its sessions, and writes to it how to set another.
    RequireReset: Post "/api/v1/users/{user}/password-reset", Permission::Admin(AdminRight::UsersWrite), 200,
        (UserPath, (), ()) -> User, [Conflict];
    /// Ends an account's sessions and lets it in no more; nobody locks who may do more than it does.
    LockUser: Post "/api/v1/users/{user}/lock", Permission::Admin(AdminRight::UsersWrite), 200,
        (UserPath, (), ()) -> User, [Conflict];
    /// Lets a locked account in again.
    UnlockUser: Post "/api/v1/users/{user}/unlock", Permission::Admin(AdminRight::UsersWrite), 200,
        (UserPath, (), ()) -> User, [Conflict];
    /// Sets an account's part in running the hub; nobody gives or takes what it does not have itself.
    SetAdministration: Put "/api/v1/users/{user}/administration", Permission::Admin(AdminRight::UsersWrite), 200,
        (UserPath, (), NewPart) -> User, [Conflict];
}
