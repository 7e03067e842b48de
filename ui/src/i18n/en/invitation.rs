//! Texts of accepting an invitation.

texts! {
    title: "You are invited",
    text: "Somebody invited {email} to help with a server or to join a tenant. Accept it to see it in your list.",
    sign_in: "I have an account: sign in",
    register_text: "Or make one for the address that the mail came to: choose its password.",
    register: "Make the account and accept",
    accept: "Accept",
    decline: "Decline",
    accepted: "Welcome: it is in your list now",
    declined: "The invitation was declined",
    missing: "The link is incomplete: open it again as you got it.",
}
