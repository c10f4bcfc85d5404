//! cgroup v1's hugetlb controller (admin-guide/cgroup-v1/hugetlb.rst).

use std::collections::BTreeMap;

use minke_model::runtime_spec::HugepageLimit;

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{self, HugetlbStats},
};

/// Limits faults and, where the kernel can (5.7), reservations: a reservation within the limit can't
/// fail later with SIGBUS.
pub(super) fn settings(limits: &[HugepageLimit]) -> Result<Vec<Setting>, CgroupError> {
    let mut settings = Vec::with_capacity(limits.len() * 2);
    for limit in limits {
        check_size(&limit.page_size)?;
        let setting = |file: String| Setting::new(Controller::Hugetlb, "hugepageLimits", file, limit.limit);
        settings.push(setting(format!("hugetlb.{}.limit_in_bytes", limit.page_size)));
        settings.push(setting(format!("hugetlb.{}.rsvd.limit_in_bytes", limit.page_size)).ignore_absent());
    }
    Ok(settings)
}

/// A size becomes part of a file's name, so it must be one (`64KB`, `2MB`, `1GB`). Shared with v2.
pub(in super::super) fn check_size(size: &str) -> Result<(), CgroupError> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let number = !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    match &size[digits.len()..] {
        "KB" | "MB" | "GB" if number => Ok(()),
        _ => {
            let (field, value) = ("hugepageLimits.pageSize", size.to_owned());
            Err(CgroupError::Invalid { field, value, reason: "is no page size such as 2MB or 1GB" })
        }
    }
}

pub(super) fn read_stats(dir: &Dir, hugetlb: &mut BTreeMap<String, HugetlbStats>) -> Result<(), CgroupError> {
    for size in stats::hugepage_sizes() {
        let read = |name: &str| Ok(stats::number(&dir.read_named(&format!("hugetlb.{size}.{name}"))?));
        let (usage, max_usage) = (read("usage_in_bytes")?, read("max_usage_in_bytes")?);
        let failcnt = read("failcnt")?;
        hugetlb.insert(size, HugetlbStats { usage, max_usage, failcnt });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_checked_before_they_name_a_file() {
        for good in ["2MB", "1GB", "64KB"] {
            check_size(good).unwrap();
        }
        for bad in ["", "MB", "0MB", "2mb", "2", "../2MB", "2MBMB", "-2MB", "2 MB"] {
            assert!(check_size(bad).is_err(), "{bad:?}");
        }
    }
}
