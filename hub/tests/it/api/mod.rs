//! The API over real TCP, with the real hub on a directory of its own and a node that is a fake.

mod access;
mod administration;
mod rights;
mod tokens;
mod credentials;
mod discord;
mod account;
mod app;
mod console;
mod contract;
mod features;
mod feed;
mod filters;
mod examples;
mod hostile;
mod input;
mod install;
mod letters;
mod presence;
mod public;
mod servers;
mod tenants;
mod trail;
mod users;
mod versions;
mod world;
