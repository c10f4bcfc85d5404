//! cgroup v2's io controller (admin-guide/cgroup-v2.rst, "IO"; block/bfq-iosched.rst).

use minke_model::runtime_spec::{BlockIo, ThrottleDevice};

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{BlkioEntry, BlkioStats},
};

pub(super) fn settings(block_io: Option<&BlockIo>) -> Result<Vec<Setting>, CgroupError> {
    let Some(io) = block_io else { return Ok(Vec::new()) };
    if io.leaf_weight.is_some_and(|w| w != 0) || io.weight_device.iter().any(|d| d.leaf_weight.is_some()) {
        return Err(CgroupError::Unsupported { field: "blockIO.leafWeight", version: "v2" });
    }
    let mut settings = Vec::new();
    // BFQ takes the specification's weights as they are, the other policy (iocost) has a wider range.
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        let setting = Setting::new(Controller::Blkio, "blockIO.weight", "io.bfq.weight", weight);
        settings.push(setting.or_instead("io.weight", io_weight(weight)));
    }
    for device in &io.weight_device {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let value = |weight: u64| format!("{}:{} {weight}", device.major, device.minor);
            let bfq = value(weight.into());
            let setting = Setting::new(Controller::Blkio, "blockIO.weightDevice", "io.bfq.weight", bfq);
            settings.push(setting.or_instead("io.weight", value(io_weight(weight))));
        }
    }
    let rates: [(&[ThrottleDevice], &str, &str); 4] = [
        (&io.throttle_read_bps_device, "blockIO.throttleReadBpsDevice", "rbps"),
        (&io.throttle_write_bps_device, "blockIO.throttleWriteBpsDevice", "wbps"),
        (&io.throttle_read_iops_device, "blockIO.throttleReadIOPSDevice", "riops"),
        (&io.throttle_write_iops_device, "blockIO.throttleWriteIOPSDevice", "wiops"),
    ];
    for (devices, field, key) in rates {
        settings.extend(devices.iter().map(|device| {
            let rate = if device.rate == 0 { "max".to_owned() } else { device.rate.to_string() };
            let value = format!("{}:{} {key}={rate}", device.major, device.minor);
            Setting::new(Controller::Blkio, field, "io.max", value)
        }));
    }
    Ok(settings)
}

/// From 10–1000 to 1–10000, linearly, as all runtimes do.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.clamp(10, 1000) - 10) * 9999 / 990
}

pub(super) fn read_stats(dir: &Dir, blkio: &mut BlkioStats) -> Result<(), CgroupError> {
    let text = dir.read_named("io.stat")?;
    for line in text.lines() {
        add_line(line, blkio);
    }
    Ok(())
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`
fn add_line(line: &str, blkio: &mut BlkioStats) -> Option<()> {
    let mut words = line.split(' ');
    let (major, minor) = words.next()?.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        let (list, op) = match key {
            "rbytes" => (&mut blkio.io_service_bytes, "Read"),
            "wbytes" => (&mut blkio.io_service_bytes, "Write"),
            "dbytes" => (&mut blkio.io_service_bytes, "Discard"),
            "rios" => (&mut blkio.io_serviced, "Read"),
            "wios" => (&mut blkio.io_serviced, "Write"),
            "dios" => (&mut blkio.io_serviced, "Discard"),
            _ => continue,
        };
        list.push(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().unwrap_or(0) });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_cover_both_ranges() {
        assert_eq!([10, 100, 500, 1000].map(io_weight), [1, 910, 4950, 10_000]);
    }

    #[test]
    fn counters_are_read_as_version_1_names_them() {
        let mut blkio = BlkioStats::default();
        add_line("8:16 rbytes=1 wbytes=2 rios=3 wios=4 cost.usage=9", &mut blkio);
        add_line("nonsense", &mut blkio);
        let ops: Vec<_> = blkio.io_serviced.iter().map(|e| (e.op.as_str(), e.value)).collect();
        assert_eq!(ops, [("Read", 3), ("Write", 4)]);
        assert_eq!(
            blkio.io_service_bytes[1],
            BlkioEntry { major: 8, minor: 16, op: "Write".into(), value: 2 }
        );
    }

    #[test]
    fn a_rate_of_zero_lifts_the_limit() {
        let device = ThrottleDevice { major: 8, minor: 0, rate: 0 };
        let io = BlockIo { throttle_read_bps_device: vec![device], ..BlockIo::default() };
        assert_eq!(settings(Some(&io)).unwrap()[0].value, "8:0 rbps=max");
    }
}
