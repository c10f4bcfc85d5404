//! cgroup v1's blkio controller (admin-guide/cgroup-v1/blkio-controller.rst, block/bfq-iosched.rst).

use minke_model::runtime_spec::{BlockIo, ThrottleDevice};

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{BlkioEntry, BlkioStats},
};

/// Weights are the BFQ scheduler's since Linux 5.0; before, CFQ's.
pub(super) fn settings(block_io: Option<&BlockIo>) -> Vec<Setting> {
    let Some(io) = block_io else { return Vec::new() };
    let mut settings = Vec::new();
    let weight = |field: &'static str, bfq: &'static str, cfq: &'static str, value: String| {
        Setting::new(Controller::Blkio, field, bfq, value.clone()).or_instead(cfq, value)
    };
    if let Some(value) = io.weight.filter(|weight| *weight != 0) {
        settings.push(weight("blockIO.weight", "blkio.bfq.weight", "blkio.weight", value.to_string()));
    }
    if let Some(value) = io.leaf_weight.filter(|weight| *weight != 0) {
        settings.push(Setting::new(Controller::Blkio, "blockIO.leafWeight", "blkio.leaf_weight", value));
    }
    for device in &io.weight_device {
        let entry = |value: u16| format!("{}:{} {value}", device.major, device.minor);
        if let Some(value) = device.weight.filter(|weight| *weight != 0) {
            let (bfq, cfq) = ("blkio.bfq.weight_device", "blkio.weight_device");
            settings.push(weight("blockIO.weightDevice", bfq, cfq, entry(value)));
        }
        if let Some(value) = device.leaf_weight.filter(|weight| *weight != 0) {
            let (field, file) = ("blockIO.weightDevice.leafWeight", "blkio.leaf_weight_device");
            settings.push(Setting::new(Controller::Blkio, field, file, entry(value)));
        }
    }
    let rates: [(&[ThrottleDevice], &str, &str); 4] = [
        (&io.throttle_read_bps_device, "blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
        (&io.throttle_write_bps_device, "blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
        (&io.throttle_read_iops_device, "blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
        (
            &io.throttle_write_iops_device,
            "blockIO.throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
        ),
    ];
    for (devices, field, file) in rates {
        settings.extend(devices.iter().map(|device| {
            let value = format!("{}:{} {}", device.major, device.minor, device.rate);
            Setting::new(Controller::Blkio, field, file, value)
        }));
    }
    settings
}

pub(super) fn read_stats(dir: &Dir, blkio: &mut BlkioStats) -> Result<(), CgroupError> {
    blkio.io_service_bytes = entries(dir, "io_service_bytes_recursive")?;
    blkio.io_serviced = entries(dir, "io_serviced_recursive")?;
    Ok(())
}

/// A counter as the scheduler has it, or else as the throttle has it, which sees what no scheduler does.
fn entries(dir: &Dir, name: &str) -> Result<Vec<BlkioEntry>, CgroupError> {
    for family in ["blkio.bfq", "blkio.throttle"] {
        let file = format!("{family}.{name}");
        let text = dir.read_if_present(&file).map_err(|source| CgroupError::Io {
            action: "read",
            path: dir.path().join(&file),
            source,
        })?;
        let entries: Vec<_> = text.iter().flat_map(|text| text.lines()).filter_map(entry).collect();
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
    Ok(Vec::new())
}

/// `8:0 Read 4096`; the line with the sum over all devices has no device.
fn entry(line: &str) -> Option<BlkioEntry> {
    let mut words = line.split(' ');
    let (major, minor) = words.next()?.split_once(':')?;
    Some(BlkioEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: words.next()?.to_owned(),
        value: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_device_and_operation() {
        let read = BlkioEntry { major: 8, minor: 16, op: "Read".into(), value: 7 };
        assert_eq!(entry("8:16 Read 7"), Some(read));
        assert_eq!(entry("Total 7"), None);
    }

    #[test]
    fn rates_are_written_by_device() {
        let device = ThrottleDevice { major: 8, minor: 0, rate: 600 };
        let io = BlockIo { throttle_write_iops_device: vec![device], ..BlockIo::default() };
        let [setting] = &settings(Some(&io))[..] else { panic!("one setting") };
        assert_eq!(
            (setting.file.as_ref(), setting.value.as_str()),
            ("blkio.throttle.write_iops_device", "8:0 600")
        );
    }
}
