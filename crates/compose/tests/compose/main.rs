//! The loader from outside: whole projects, what is refused and how, and docker compose beside it.

mod docker_compose;
mod errors;
mod fuzz;
mod located;
mod memory;
mod projects;
mod random;
