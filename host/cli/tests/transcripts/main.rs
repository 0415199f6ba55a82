//! The program as a person sees it: what is typed, what is printed, what it ends with.

mod configuration;
mod help;
mod jobs;
mod keys;
mod place;
mod plugins;
mod roles;
mod runs;
mod sts;
