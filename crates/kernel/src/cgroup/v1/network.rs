//! cgroup v1's net_cls and net_prio controllers (admin-guide/cgroup-v1/net_cls.rst, net_prio.rst).

use minke_model::runtime_spec::NetworkResources;

use super::super::{Controller, setting::Setting};

pub(super) fn settings(network: Option<&NetworkResources>) -> Vec<Setting> {
    let Some(network) = network else { return Vec::new() };
    let class =
        network.class_id.map(|id| Setting::new(Controller::NetCls, "network.classID", "net_cls.classid", id));
    let priorities = network.priorities.iter().map(|priority| {
        let value = format!("{} {}", priority.name, priority.priority);
        Setting::new(Controller::NetPrio, "network.priorities", "net_prio.ifpriomap", value)
    });
    class.into_iter().chain(priorities).collect()
}
