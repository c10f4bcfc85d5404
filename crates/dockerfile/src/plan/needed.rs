//! Which stages are needed, and that none needs one that comes later.

use std::collections::BTreeSet;

use super::{Origin, Plan, PlannedStage, StageId};
use crate::{ast::Kind, diagnostic::Diagnostic, quote::quoted};

impl Plan {
    /// The stages that the target needs, itself included, each after all that it needs itself. With
    /// [`super::Options::all_stages`], all.
    pub fn needed(&self) -> Vec<StageId> {
        if self.options.all_stages {
            return (0..self.stages.len()).collect();
        }
        let mut needed = BTreeSet::new();
        let mut waiting = vec![self.target];
        while let Some(id) = waiting.pop() {
            if needed.insert(id) {
                waiting.extend(self.stages[id].needs());
            }
        }
        // The file's order is one of construction: a stage can only need stages above it.
        needed.into_iter().collect()
    }
}

impl PlannedStage {
    /// The stages that it needs directly: its base, and those that it takes files from.
    pub fn needs(&self) -> impl Iterator<Item = StageId> + '_ {
        std::iter::once(&self.base).chain(self.origins()).filter_map(|origin| match origin {
            Origin::Stage(id) => Some(*id),
            _ => None,
        })
    }

    /// From where its instructions take files.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.instructions.iter().flat_map(|planned| &planned.origins)
    }
}

/// That no stage takes files from one that takes files from it.
pub(super) fn check_cycles(plan: &Plan) -> Result<(), Diagnostic> {
    let edges: Vec<Vec<(StageId, usize)>> =
        (0..plan.stages.len()).map(|id| copied_from(plan, id).collect()).collect();
    let (mut done, mut on_way) = (vec![false; edges.len()], vec![false; edges.len()]);
    for start in 0..edges.len() {
        // The way from `start`, with how many edges of each stage on it were followed.
        let mut way: Vec<(StageId, usize)> = vec![(start, 0)];
        while let Some((id, followed)) = way.last_mut() {
            let (id, next) = (*id, edges[*id].get(*followed).filter(|_| !done[*id]));
            *followed += 1;
            on_way[id] = next.is_some();
            match next {
                None => {
                    done[id] = true;
                    way.pop();
                }
                Some((next, _)) if on_way[*next] => return Err(cycle(plan, &edges, &way, *next)),
                Some((next, _)) => way.push((*next, 0)),
            }
        }
    }
    Ok(())
}

fn cycle(
    plan: &Plan,
    edges: &[Vec<(StageId, usize)>],
    way: &[(StageId, usize)],
    back_to: StageId,
) -> Diagnostic {
    let from = way.iter().position(|(id, _)| *id == back_to).unwrap_or(0);
    let lines = way[from..].iter().map(|(id, followed)| {
        let (_, at) = edges[*id][followed - 1];
        plan.stages[*id].instructions[at].instruction.lines
    });
    // The only stage has no title.
    let name = plan.stages[back_to].name.clone().unwrap_or_else(|| format!("stage-{back_to}"));
    let message = format!("circular dependency detected on stage: {name}");
    Diagnostic { message, help: None, source_file: plan.source.clone(), lines: lines.collect() }
}

/// The stages that a stage takes files from, each with the number of the instruction.
fn copied_from(plan: &Plan, id: StageId) -> impl Iterator<Item = (StageId, usize)> + '_ {
    plan.stages[id].instructions.iter().enumerate().flat_map(|(at, planned)| {
        planned.origins.iter().filter_map(move |origin| match origin {
            Origin::Stage(from) => Some((*from, at)),
            _ => None,
        })
    })
}

/// That what is needed takes files from stages above it only.
pub(super) fn check_order(plan: &Plan) -> Result<(), Diagnostic> {
    for id in plan.needed() {
        if let Some((from, at)) = copied_from(plan, id).find(|(from, _)| *from >= id) {
            return Err(too_late(plan, id, from, at));
        }
    }
    Ok(())
}

fn too_late(plan: &Plan, id: StageId, from: StageId, at: usize) -> Diagnostic {
    let instruction = &plan.stages[id].instructions[at].instruction;
    let (stage, from) = (quoted(&plan.stages[id].title), quoted(&plan.stages[from].title));
    let message = match instruction.kind {
        Kind::Run(_) => {
            format!("cannot mount from stage {from}, stage needs to be defined before current command")
        }
        _ => format!("cannot copy from stage {from}, it needs to be defined before current stage {stage}"),
    };
    Diagnostic::new(&plan.source, instruction.lines, message)
}
