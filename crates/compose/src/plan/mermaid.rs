//! A project as a Mermaid flowchart, which forges and editors draw.

use std::fmt::Write as _;

use super::{PlanError, names, order, text::condition};
use crate::model::Project;

/// The flowchart. Arrows lead from what starts first to what waits for it.
///
/// # Errors
/// When services wait for each other.
pub fn mermaid(project: &Project) -> Result<String, PlanError> {
    let mut chart = String::from("flowchart LR\n");
    let mut line = |text: String| {
        // Writing to a String can't fail.
        let _ = writeln!(chart, "  {text}");
    };
    for service in order::sorted(project)? {
        let count = names::scale(service);
        let times = if count == 1 { String::new() } else { format!(" ×{count}") };
        line(format!("{}[\"{}{times}\"]", id("s", &service.name), quoted(&service.name)));
        for name in order::dependencies(project, service) {
            let wait =
                service.depends_on.get(name).map_or("", |dependency| condition(&dependency.condition)).trim();
            let label = if wait.is_empty() { String::new() } else { format!("|{wait}|") };
            line(format!("{} -->{label} {}", id("s", name), id("s", &service.name)));
        }
    }
    for (key, network) in &project.networks {
        line(format!("{}{{{{\"{}\"}}}}", id("n", key), quoted(&network.name)));
        for service in project.services.values().filter(|service| service.networks.contains_key(key)) {
            line(format!("{} -.- {}", id("s", &service.name), id("n", key)));
        }
    }
    for (key, volume) in &project.volumes {
        line(format!("{}[(\"{}\")]", id("v", key), quoted(&volume.name)));
        for service in project.services.values() {
            if service.volumes.iter().any(|mount| mount.kind == "volume" && mount.source == *key) {
                line(format!("{} --- {}", id("s", &service.name), id("v", key)));
            }
        }
    }
    Ok(chart)
}

/// An identifier of the chart: letters, digits and underscores, different for different names.
fn id(kind: &str, name: &str) -> String {
    let mut id = format!("{kind}_");
    for letter in name.chars() {
        match letter.is_ascii_alphanumeric() {
            true => id.push(letter),
            false => id.push_str(&format!("_{:x}_", u32::from(letter))),
        }
    }
    id
}

fn quoted(text: &str) -> String {
    text.replace('"', "#quot;")
}
