//! Networks: what the Docker API says about them, and which containers are on them. What they are in the kernel is the
//! network crate's affair.
//!
//! ```text
//!  POST /networks/create ─▶ create: fields, pools checked ─▶ network crate: addresses found ─▶ engine.db
//!  POST /containers/…    ─▶ wanted: settings by network's name ─▶ the container's record
//!  start                 ─▶ endpoint: settings ─▶ network crate: one sandbox ─▶ names made known, sockets served
//!  connect, disconnect   ─▶ the container's actor: kernel, run.json, record (see `container::connecting`)
//! ```
//!
//! | file | its question |
//! |---|---|
//! | `record` | what is remembered of a network, and how is it shown? |
//! | `table` | which networks are there? |
//! | `create`, `pools` | may this network be made? |
//! | `open` | which ones are there when the engine opens? |
//! | `api` | listing, inspecting, removing, pruning |
//! | `wanted`, `endpoint` | what does a container ask of its networks? (pure) |
//! | `naming` | who is called what, and who tells? |
//! | `relays` | how does a port lead to a container without an address of the client's family? |
//! | `errors` | whose fault is it? |

mod api;
mod create;
pub(crate) mod endpoint;
pub(crate) mod errors;
mod naming;
pub(crate) mod open;
mod pools;
pub(crate) mod record;
mod relays;
mod table;
mod wanted;

pub(crate) use self::{
    naming::Names,
    record::{Kind, NetworkRecord, is_predefined},
    relays::Relays,
    table::NetworkTable,
    wanted::{check_together, wanted},
};
