//! The page: all families one after the other, in pieces that are written when they are read.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, stream};
use minke_engine::Engine;

use crate::{
    containers, engine,
    exposition::{Format, Samples},
    process::{self, Process},
    scrape::Measured,
};

/// How many containers' numbers of one name are written at a time: some ten kilobytes.
const CONTAINERS_AT_ONCE: usize = 50;

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// What doesn't grow with the number of containers.
    Engine,
    /// A family of containers, from this one on.
    Containers {
        family: usize,
        from: usize,
    },
    Over,
}

/// The page in pieces.
pub(crate) fn page(
    engine: Engine,
    measured: Arc<Measured>,
    format: Format,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(Next::Engine, move |next| {
        let piece = piece(&engine, &measured, format, next);
        std::future::ready(piece.map(|(text, next)| (Ok(Bytes::from(text)), next)))
    })
}

fn piece(engine: &Engine, measured: &Measured, format: Format, next: Next) -> Option<(String, Next)> {
    let mut out = String::new();
    match next {
        Next::Engine => {
            of_engine(engine, format, &mut out);
            Some((out, Next::Containers { family: 0, from: 0 }))
        }
        Next::Containers { family: at, from } => {
            let Some(family) = containers::FAMILIES.get(at) else {
                return Some((format.end().to_owned(), Next::Over));
            };
            if from == 0 {
                format.head(&family.head, &mut out);
            }
            let to = measured.len().min(from + CONTAINERS_AT_ONCE);
            for (container, labels) in &measured[from..to] {
                family.write(container, &mut Samples::new(family.head.name, labels.as_str(), &mut out));
            }
            let next = match to < measured.len() {
                true => Next::Containers { family: at, from: to },
                false => Next::Containers { family: at + 1, from: 0 },
            };
            Some((out, next))
        }
        Next::Over => None,
    }
}

fn of_engine(engine: &Engine, format: Format, out: &mut String) {
    for family in engine::FAMILIES {
        format.head(&family.head, out);
        (family.write)(engine, &mut Samples::new(family.head.name, "", out));
    }
    let process = Process::read();
    for family in process::FAMILIES {
        format.head(&family.head, out);
        family.write(&process, &mut Samples::new(family.head.name, "", out));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::exposition::{Head, Kind};

    fn heads() -> Vec<&'static Head> {
        let engine = engine::FAMILIES.iter().map(|family| &family.head);
        let process = process::FAMILIES.iter().map(|family| &family.head);
        engine.chain(process).chain(containers::FAMILIES.iter().map(|family| &family.head)).collect()
    }

    #[test]
    fn each_name_stands_once_and_says_what_it_is() {
        let names: BTreeSet<_> = heads().iter().map(|head| head.name).collect();
        assert_eq!(names.len(), heads().len());
        for head in heads() {
            let is_total = head.name.ends_with("_total");
            match head.kind {
                Kind::Counter => assert!(is_total, "{}", head.name),
                // Docker calls this gauge so.
                _ => assert!(
                    !is_total || head.name == "engine_daemon_events_subscribers_total",
                    "{}",
                    head.name
                ),
            }
            assert!(!head.help.contains('\n') && !head.help.contains('\\'), "{}", head.name);
        }
    }

    #[test]
    fn every_metric_is_documented() {
        let documented = include_str!("../../../docs/metrics.md");
        let rows: Vec<_> = documented.lines().filter(|line| line.starts_with("| `")).collect();
        let kind = |kind| match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Untyped => "untyped",
        };
        for head in heads() {
            let start = format!("| `{}` | {} |", head.name, kind(head.kind));
            assert!(rows.iter().any(|row| row.starts_with(&start)), "docs/metrics.md has no row {start}");
        }
        assert_eq!(rows.len(), heads().len(), "docs/metrics.md lists what isn't there");
    }
}
