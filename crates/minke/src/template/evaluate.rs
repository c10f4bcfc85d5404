//! Walks a syntax tree with data and writes text.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    Methods, Mode, TemplateError, display, functions,
    shapes::{Shape, Zero},
    syntax::{Base, Block, BlockKind, Command, Node, Operand, Pipeline},
};

/// Maps whose keys are the user's own: a missing one is "no value", not a mistake in the template.
const USER_MAPS: [&str; 14] = [
    "Labels",
    "Networks",
    "Ports",
    "Options",
    "DriverOpts",
    "Annotations",
    "Sysctls",
    "Volumes",
    "Tmpfs",
    "PortBindings",
    "ExposedPorts",
    "Attributes",
    "StorageOpt",
    "Containers",
];

/// `{{range 1000000000}}` must not fill the memory.
const MOST_COUNTED: u64 = 100_000;

/// Fields that Docker's API leaves out when they are empty though its Go types always have them.
const OPTIONAL: [&str; 34] = [
    "Health",
    "Healthcheck",
    "StopTimeout",
    "Shell",
    "SizeRw",
    "SizeRootFs",
    "OnBuild",
    "NetworkDisabled",
    "MacAddress",
    "StopSignal",
    "Labels",
    "Mounts",
    "Init",
    "Annotations",
    "Tmpfs",
    "StorageOpt",
    "Sysctls",
    "ArgsEscaped",
    "Options",
    "Status",
    "UsageData",
    "ClusterVolume",
    "Variant",
    "OsVersion",
    "Metadata",
    "GwPriority",
    "DNSNames",
    "ExposedPorts",
    "Volumes",
    "NodeInfo",
    "ImageManifestDescriptor",
    "Descriptor",
    "CreatedAt",
    "ContainerConfig",
];

/// Renders `nodes` with `data` as the dot and as `$`.
pub(super) fn render(
    nodes: &[Node],
    data: &Value,
    methods: &dyn Methods,
    mode: Mode,
) -> Result<String, TemplateError> {
    let mut run = Run { root: data, methods, mode, variables: Vec::new(), out: String::new() };
    run.nodes(nodes, data)?;
    Ok(run.out)
}

struct Run<'a> {
    root: &'a Value,
    methods: &'a dyn Methods,
    mode: Mode,
    /// Innermost last. `$`, whose name is empty, is always `root`.
    variables: Vec<(String, Value)>,
    out: String,
}

type Evaluated = Result<Value, TemplateError>;

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        let hint = if self.mode == Mode::Header { None } else { last_field(pipeline) };
                        self.out.push_str(&display::printed(&value, hint));
                    }
                }
                Node::Block(block) => self.block(block, dot)?,
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Block, dot: &Value) -> Result<(), TemplateError> {
        let depth = self.variables.len();
        let done = match block.kind {
            BlockKind::Range => self.range(block, dot),
            kind => {
                let value = self.pipeline(&block.pipeline, dot)?;
                if display::is_true(&value) {
                    self.nodes(&block.body, if kind == BlockKind::With { &value } else { dot })
                } else {
                    self.nodes(&block.otherwise, dot)
                }
            }
        };
        self.variables.truncate(depth);
        done
    }

    fn range(&mut self, block: &Block, dot: &Value) -> Result<(), TemplateError> {
        // The variables get each element, not the whole.
        let over = self.commands(&block.pipeline, dot)?;
        let items: Vec<(Value, Value)> = match over {
            Value::Null => Vec::new(),
            Value::Array(items) => items.into_iter().enumerate().map(|(i, item)| (i.into(), item)).collect(),
            Value::Number(count) if !count.is_f64() => {
                (0..count.as_u64().unwrap_or_default().min(MOST_COUNTED))
                    .map(|at| (at.into(), at.into()))
                    .collect()
            }
            Value::Object(map) => {
                let mut entries: Vec<_> = map.into_iter().collect();
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                entries.into_iter().map(|(key, item)| (key.into(), item)).collect()
            }
            other => {
                let text = display::printed(&other, None);
                return Err(at(&block.pipeline, format!("range can't iterate over {text}")));
            }
        };
        if items.is_empty() {
            return self.nodes(&block.otherwise, dot);
        }
        for (key, item) in items {
            let depth = self.variables.len();
            match block.pipeline.variables.as_slice() {
                [value] => self.variables.push((value.clone(), item.clone())),
                [first, second] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), item.clone()));
                }
                _ => {}
            }
            self.nodes(&block.body, &item)?;
            self.variables.truncate(depth);
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated {
        let value = self.commands(pipeline, dot)?;
        if let Some(name) = pipeline.variables.first() {
            let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
            match known {
                Some((_, slot)) if !pipeline.declares => *slot = value.clone(),
                None if !pipeline.declares => {
                    return Err(at(pipeline, format!("undefined variable \"${name}\"")));
                }
                _ => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last, pipeline)?);
        }
        Ok(last.unwrap_or(Value::Null))
    }

    /// `piped` is the value of the command before, the last argument of this one.
    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>, of: &Pipeline) -> Evaluated {
        let (first, rest) = command.operands.split_first().ok_or_else(|| at(of, "empty command"))?;
        if let Base::Function(name) = &first.base {
            if matches!(name.as_str(), "and" | "or") {
                return self.short_circuit(name == "and", rest, piped, dot, of);
            }
            let arguments = self.arguments(rest, piped, dot, of)?;
            let value = functions::call(name, &arguments, self.mode == Mode::Header)
                .map_err(|problem| at(of, format!("error calling {name}: {problem}")))?;
            return self.fields(value, &first.fields, of);
        }
        if rest.is_empty() && piped.is_none() {
            return self.operand(first, dot, &[], of);
        }
        if !matches!(first.base, Base::Dot | Base::Variable(_)) || first.fields.is_empty() {
            return Err(at(of, "can't give argument to non-function"));
        }
        let arguments = self.arguments(rest, piped, dot, of)?;
        self.operand(first, dot, &arguments, of)
    }

    fn arguments(
        &mut self,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
        of: &Pipeline,
    ) -> Result<Vec<Value>, TemplateError> {
        let mut values = operands
            .iter()
            .map(|operand| self.operand(operand, dot, &[], of))
            .collect::<Result<Vec<_>, _>>()?;
        values.extend(piped);
        Ok(values)
    }

    /// `and` and `or` evaluate only as many arguments as they need (Go 1.18).
    fn short_circuit(
        &mut self,
        and: bool,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
        of: &Pipeline,
    ) -> Evaluated {
        let mut last = None;
        for operand in operands {
            let value = self.operand(operand, dot, &[], of)?;
            if display::is_true(&value) != and {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or_else(|| at(of, "wrong number of args: want at least 1 got 0"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value, arguments: &[Value], of: &Pipeline) -> Evaluated {
        match &operand.base {
            Base::Dot => self.path(dot, operand, arguments, of),
            Base::Variable(name) if name.is_empty() => self.path(self.root, operand, arguments, of),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map(|(_, value)| value.clone());
                let value = value.ok_or_else(|| at(of, format!("undefined variable \"${name}\"")))?;
                self.path(&value, operand, arguments, of)
            }
            Base::Literal(value) => self.fields(value.clone(), &operand.fields, of),
            Base::Parenthesized(inner) => {
                let value = self.pipeline(inner, dot)?;
                self.fields(value, &operand.fields, of)
            }
            Base::Function(name) => {
                let value = functions::call(name, arguments, self.mode == Mode::Header)
                    .map_err(|problem| at(of, format!("error calling {name}: {problem}")))?;
                self.fields(value, &operand.fields, of)
            }
        }
    }

    /// The operand's fields of `base`; the last may be a method of the data.
    fn path(&self, base: &Value, operand: &Operand, arguments: &[Value], of: &Pipeline) -> Evaluated {
        let Some((last, before)) = operand.fields.split_last() else { return Ok(base.clone()) };
        let is_root = before.is_empty() && std::ptr::eq(base, self.root);
        if let Some(result) = is_root.then(|| self.methods.call(last, arguments)).flatten() {
            return result.map_err(|problem| at(of, problem));
        }
        if !arguments.is_empty() {
            return Err(at(of, format!("{last} has arguments but cannot be invoked as function")));
        }
        self.walk(base, &operand.fields, of).map(Cow::into_owned)
    }

    fn fields(&self, value: Value, fields: &[String], of: &Pipeline) -> Evaluated {
        match fields {
            [] => Ok(value),
            fields => self.walk(&value, fields, of).map(Cow::into_owned),
        }
    }

    /// Only what is found in the end is cloned: a row has many fields, and a table asks for each of them.
    fn walk<'v>(
        &self,
        value: &'v Value,
        fields: &[String],
        of: &Pipeline,
    ) -> Result<Cow<'v, Value>, TemplateError> {
        let (mut here, mut parent) = (Cow::Borrowed(value), None);
        for name in fields {
            here = match here {
                Cow::Borrowed(value) => self.field(value, name, parent),
                Cow::Owned(value) => {
                    self.field(&value, name, parent).map(|found| Cow::Owned(found.into_owned()))
                }
            }
            .map_err(|problem| at(of, problem))?;
            parent = Some(name);
        }
        Ok(here)
    }

    fn field<'v>(
        &self,
        value: &'v Value,
        name: &str,
        parent: Option<&str>,
    ) -> Result<Cow<'v, Value>, String> {
        match value {
            Value::Object(map) => {
                let found = map.get(name).or_else(|| go_name(map, name));
                let shaped = || Shape::of(map).and_then(|shape| shape.zero(name));
                let lenient = self.mode == Mode::Header
                    || parent.is_some_and(|parent| USER_MAPS.contains(&parent))
                    || OPTIONAL.contains(&name);
                match found {
                    Some(found) => Ok(Cow::Borrowed(found)),
                    None if lenient => Ok(Cow::Owned(Value::Null)),
                    None => {
                        let zero = shaped().map(Zero::value).map(Cow::Owned);
                        zero.ok_or_else(|| format!("map has no entry for key {name:?}"))
                    }
                }
            }
            Value::Null => Err(format!("nil pointer evaluating {}.{name}", parent.unwrap_or_default())),
            other => Err(format!("can't evaluate field {name} in type {}", display::kind(other))),
        }
    }
}

/// A field by its name in Docker's Go types, which differs from JSON's in the case of abbreviations only: `ID`,
/// `HostIP`, `NanoCPUs`, `DNS`.
fn go_name<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let is_go = name.starts_with(|first: char| first.is_ascii_uppercase());
    let found = || map.iter().find(|(key, _)| key.starts_with(&name[..1]) && key.eq_ignore_ascii_case(name));
    is_go.then(found).flatten().map(|(_, value)| value)
}

/// The field whose value a pipeline prints, which tells how an absent value looks.
fn last_field(pipeline: &Pipeline) -> Option<&str> {
    let [command] = pipeline.commands.as_slice() else { return None };
    let [operand] = command.operands.as_slice() else { return None };
    match operand.fields.as_slice() {
        [.., parent, _] if USER_MAPS.contains(&parent.as_str()) => None,
        [.., last] => Some(last),
        [] => None,
    }
}

fn at(pipeline: &Pipeline, problem: impl std::fmt::Display) -> TemplateError {
    TemplateError::new(format!(":{}: {problem}", pipeline.line))
}
