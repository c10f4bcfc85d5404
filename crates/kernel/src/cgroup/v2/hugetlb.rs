//! cgroup v2's hugetlb controller (admin-guide/cgroup-v2.rst, "HugeTLB").

use std::collections::BTreeMap;

use minke_model::runtime_spec::HugepageLimit;

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{self, HugetlbStats},
    v1::hugetlb::check_size,
};

pub(super) fn settings(limits: &[HugepageLimit]) -> Result<Vec<Setting>, CgroupError> {
    let mut settings = Vec::with_capacity(limits.len() * 2);
    for limit in limits {
        check_size(&limit.page_size)?;
        let setting = |file: String| Setting::new(Controller::Hugetlb, "hugepageLimits", file, limit.limit);
        settings.push(setting(format!("hugetlb.{}.max", limit.page_size)));
        settings.push(setting(format!("hugetlb.{}.rsvd.max", limit.page_size)).ignore_absent());
    }
    Ok(settings)
}

pub(super) fn read_stats(dir: &Dir, hugetlb: &mut BTreeMap<String, HugetlbStats>) -> Result<(), CgroupError> {
    for size in stats::hugepage_sizes() {
        let usage = stats::number(&dir.read_named(&format!("hugetlb.{size}.current"))?);
        let events = dir.read_named(&format!("hugetlb.{size}.events"))?;
        let failcnt = stats::pair(&events, "max").unwrap_or(0);
        hugetlb.insert(size, HugetlbStats { usage, max_usage: 0, failcnt });
    }
    Ok(())
}
