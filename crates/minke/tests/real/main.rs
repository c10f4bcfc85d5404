//! minke as its users meet it: the real programs on the real kernel, driven by the real docker command line and by minke's own.

#![cfg(target_os = "linux")]

mod access;
mod bad_input;
mod build;
mod build_client;
mod build_faults;
mod build_repositories;
mod buildx;
mod certificates;
mod clients;
mod commit;
mod compose;
mod conformance;
mod contexts;
mod copy;
mod cycles;
mod durability;
mod events;
mod exec_and_attach;
mod image_layers;
mod images;
mod isolation;
mod lifecycle;
mod limits;
mod links;
mod live_top;
mod logs;
mod many;
mod metrics;
mod mixed_load;
mod mounts;
mod names;
mod network;
mod networks;
mod pty;
mod registries;
mod reload;
mod restart;
mod run;
mod slow_clients;
mod survival;
mod terminal;
mod volumes;
mod waiting;
mod websocket;
