//! How the objects are read and written whose form is no plain mapping of their attributes.

use super::{
    Dependency, DeviceRequest, DiscreteResource, EnvFile, Extends, Hosts, MultiOptions, SshKey,
    ThrottleDevice, Ulimit, WeightDevice,
    attribute::{Attribute, Form, close, extensions, member, members, write_map, wrong},
};
use crate::{
    load::error::Fault,
    tree::{Content, Node, path::Path},
    value::Value,
};

/// Reads the named members into the fields, in this order.
macro_rules! read_members {
    ($node:expr, $path:expr, $object:ident, $($name:literal => $field:ident),*) => {{
        let map = members($node, $path)?;
        let mut object = $object::default();
        $( member(map, $path, $name, &mut object.$field)?; )*
        object
    }};
}

/// The members that are not left out.
fn written<const N: usize>(members: [(&str, Option<Value>); N]) -> Vec<(String, Value)> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

impl Attribute for Dependency {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        let mut object = read_members!(
            node, path, Dependency, "condition" => condition, "restart" => restart, "required" => required
        );
        object.extensions = extensions(members(node, path)?);
        Ok(object)
    }

    fn write(&self, form: Form) -> Option<Value> {
        let members = written([
            ("condition", self.condition.write(form)),
            ("restart", self.restart.write(form)),
            ("required", Some(Value::Bool(self.required))),
        ]);
        close(members, &self.extensions, form)
    }
}

impl Attribute for EnvFile {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        Ok(read_members!(node, path, EnvFile, "path" => path, "required" => required, "format" => format))
    }

    fn write(&self, form: Form) -> Option<Value> {
        if self.required {
            return Some(Value::Str(self.path.clone()));
        }
        let format = self.format.write(form).filter(|_| form == Form::Json);
        let members = [
            ("path", Some(self.path.item(form))),
            ("required", Some(Value::Bool(false))),
            ("format", format),
        ];
        Some(Value::Map(written(members)))
    }
}

impl Attribute for Extends {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        Ok(read_members!(node, path, Extends, "file" => file, "service" => service))
    }

    fn write(&self, form: Form) -> Option<Value> {
        Some(Value::Map(written([("file", self.file.write(form)), ("service", self.service.write(form))])))
    }
}

impl Attribute for DeviceRequest {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        Ok(read_members!(
            node, path, DeviceRequest, "capabilities" => capabilities, "driver" => driver, "count" => count,
            "device_ids" => device_ids, "options" => options
        ))
    }

    fn write(&self, form: Form) -> Option<Value> {
        Some(Value::Map(written([
            ("capabilities", self.capabilities.write(form)),
            ("driver", self.driver.write(form)),
            ("count", self.count.write(form)),
            ("device_ids", self.device_ids.write(form)),
            ("options", self.options.write(form)),
        ])))
    }
}

impl Attribute for DiscreteResource {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        Ok(read_members!(node, path, DiscreteResource, "kind" => kind, "value" => value))
    }

    fn write(&self, form: Form) -> Option<Value> {
        Some(Value::Map(written([
            ("kind", Some(self.kind.item(form))),
            ("value", Some(self.value.item(form))),
        ])))
    }
}

impl Attribute for WeightDevice {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        Ok(read_members!(node, path, WeightDevice, "path" => path, "weight" => weight))
    }

    fn write(&self, form: Form) -> Option<Value> {
        device(&self.path, ["Weight", "weight"], self.weight.item(form), form)
    }
}

impl Attribute for ThrottleDevice {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        Ok(read_members!(node, path, ThrottleDevice, "path" => path, "rate" => rate))
    }

    fn write(&self, form: Form) -> Option<Value> {
        device(&self.path, ["Rate", "rate"], self.rate.item(form), form)
    }
}

/// docker compose's JSON has these two names with capitals; the hash is over them.
fn device(path: &str, [capital, small]: [&str; 2], value: Value, form: Form) -> Option<Value> {
    let (path_name, name) = if form == Form::Json { ("Path", capital) } else { ("path", small) };
    Some(Value::Map(vec![(path_name.to_owned(), path.into()), (name.to_owned(), value)]))
}

impl Attribute for Ulimit {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        if node.as_map().is_none() {
            return Ok(Self { single: i64::read(node, path)?, ..Self::default() });
        }
        let mut object = read_members!(node, path, Ulimit, "soft" => soft, "hard" => hard);
        object.extensions = extensions(members(node, path)?);
        Ok(object)
    }

    fn write(&self, form: Form) -> Option<Value> {
        if self.single != 0 {
            return Some(Value::Int(self.single));
        }
        let limit = |value: i64| if form == Form::Yaml { Some(Value::Int(value)) } else { value.write(form) };
        Some(Value::Map(written([("soft", limit(self.soft)), ("hard", limit(self.hard))])))
    }
}

impl Attribute for Vec<SshKey> {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        let keys = members(node, path)?.iter();
        let read = |(id, node): (&String, &Node)| {
            Ok(SshKey { id: id.clone(), path: path.within(id, |path| String::read(node, path))? })
        };
        keys.map(read).collect()
    }

    fn write(&self, form: Form) -> Option<Value> {
        let separator = if form == Form::Yaml { ": " } else { "=" };
        let text = |key: &SshKey| match key.path.as_str() {
            "" => Value::Str(key.id.clone()),
            path => Value::Str(format!("{}{separator}{path}", key.id)),
        };
        (!self.is_empty()).then(|| Value::Seq(self.iter().map(text).collect()))
    }
}

impl Attribute for Hosts {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        let mut hosts = Self::new();
        let mut add = |host: &str, address: &str, node: &Node, path: &Path| {
            if host.is_empty() || host.contains([':', '=']) {
                return Err(Fault::new(node.place(), path, format!("bad host name '{host}'")));
            }
            let bare = address
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .filter(|bare| !bare.is_empty());
            hosts.entry(host.to_owned()).or_default().push(bare.unwrap_or(address).to_owned());
            Ok(())
        };
        match &node.content {
            Content::Null => {}
            Content::Map(map) => {
                for (host, node) in map {
                    let addresses: Vec<String> = match &node.content {
                        Content::Null => vec![String::new()],
                        _ => path.within(host, |path| Vec::read(node, path))?,
                    };
                    addresses.iter().try_for_each(|address| add(host, address, node, path))?;
                }
            }
            Content::Seq(items) => {
                for item in items {
                    let line = item.to_text().unwrap_or_default();
                    let Some((host, addresses)) = line.split_once('=').or_else(|| line.split_once(':'))
                    else {
                        let message = format!("invalid additional host, missing IP: {line}");
                        return Err(Fault::new(item.at, path, message));
                    };
                    addresses.split(',').try_for_each(|address| add(host, address, item, path))?;
                }
            }
            _ => return wrong(node, path, "a mapping or a list"),
        }
        Ok(hosts)
    }

    fn write(&self, _: Form) -> Option<Value> {
        let mut lines: Vec<String> = self
            .iter()
            .flat_map(|(host, addresses)| addresses.iter().map(move |address| format!("{host}={address}")))
            .collect();
        lines.sort_unstable();
        (!self.is_empty()).then(|| Value::Seq(lines.into_iter().map(Value::Str).collect()))
    }
}

impl Attribute for MultiOptions {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        let options = members(node, path)?.iter();
        let read = |(name, node): (&String, &Node)| {
            let values = path.within(name, |path| match &node.content {
                Content::Seq(_) => Vec::read(node, path),
                _ => String::read(node, path).map(|value| vec![value]),
            })?;
            Ok((name.clone(), values))
        };
        options.map(read).collect::<Result<_, _>>().map(Self)
    }

    fn write(&self, form: Form) -> Option<Value> {
        let list = |values: &Vec<String>| values.write(form).unwrap_or(Value::Seq(Vec::new()));
        (!self.0.is_empty()).then(|| write_map(self.0.iter(), form, list))
    }
}
