//! The rdma controller, the same on v1 and v2 (admin-guide/cgroup-v1/rdma.rst).

use std::collections::BTreeMap;

use minke_model::runtime_spec::Rdma;

use super::super::{Controller, setting::Setting};

pub(in super::super) fn settings(limits: &BTreeMap<String, Rdma>) -> Vec<Setting> {
    let setting = |(device, limit): (&String, &Rdma)| {
        let mut value = device.clone();
        for (name, count) in [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)] {
            if let Some(count) = count {
                value.push_str(&format!(" {name}={count}"));
            }
        }
        Setting::new(Controller::Rdma, "rdma", "rdma.max", value)
    };
    limits.iter().map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_given_limits_are_written() {
        let limits =
            BTreeMap::from([("mlx5_1".to_owned(), Rdma { hca_handles: Some(3), hca_objects: None })]);
        assert_eq!(settings(&limits)[0].value, "mlx5_1 hca_handle=3");
    }
}
