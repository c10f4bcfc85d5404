//! A project as a picture: a column for each step of the start, an arrow to each service from what it waits for, networks and
//! volumes below.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{PlanError, names, order, text::condition};
use crate::model::Project;

const WIDTH: usize = 180;
const HEIGHT: usize = 48;
const ACROSS: usize = 110;
const DOWN: usize = 28;
const MARGIN: usize = 24;

/// Where a box's upper left corner is.
type Corner = (usize, usize);

/// The picture.
///
/// # Errors
/// When services wait for each other.
pub fn svg(project: &Project) -> Result<String, PlanError> {
    let levels = order::levels(project)?;
    let mut places: BTreeMap<&str, Corner> = BTreeMap::new();
    let mut rows = 1;
    for (column, services) in levels.iter().enumerate() {
        rows = rows.max(services.len());
        for (row, service) in services.iter().enumerate() {
            places
                .insert(&service.name, (MARGIN + column * (WIDTH + ACROSS), MARGIN + row * (HEIGHT + DOWN)));
        }
    }
    let below = MARGIN + rows * (HEIGHT + DOWN) + DOWN;
    let (networks, columns) = resources(project, &places, below);
    let width = 2 * MARGIN + levels.len().max(columns).max(1) * (WIDTH + ACROSS) - ACROSS;
    let height = below + HEIGHT + MARGIN;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#456\"/></marker></defs>\n"
    );
    picture.push_str(&arrows(project, &places));
    picture.push_str(&networks);
    for services in &levels {
        for service in services {
            let count = names::scale(service);
            let title = if count == 1 { service.name.clone() } else { format!("{} ×{count}", service.name) };
            let image = names::image(&project.name, service);
            picture.push_str(&card(places[service.name.as_str()], "#dbeafe", &title, &image));
        }
    }
    picture.push_str("</svg>\n");
    Ok(picture)
}

fn arrows(project: &Project, places: &BTreeMap<&str, Corner>) -> String {
    let mut drawn = String::new();
    for service in project.services.values() {
        for name in order::dependencies(project, service) {
            let ((x1, y1), (x2, y2)) = (places[name], places[service.name.as_str()]);
            let (x1, y1, y2) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
            let middle = (x1 + x2) / 2;
            write(
                &mut drawn,
                format_args!(
                    "<path d=\"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#456\" \
                     marker-end=\"url(#tip)\"/>\n"
                ),
            );
            let wait =
                service.depends_on.get(name).map_or("", |dependency| condition(&dependency.condition)).trim();
            if !wait.is_empty() {
                let height = (y1 + y2) / 2 - 6;
                write(
                    &mut drawn,
                    format_args!(
                        "<text x=\"{middle}\" y=\"{height}\" text-anchor=\"middle\" font-size=\"11\" fill=\"#456\">{wait}</text>\n"
                    ),
                );
            }
        }
    }
    drawn
}

/// Networks and volumes with thin lines to those who use them, and how many there are.
fn resources(project: &Project, places: &BTreeMap<&str, Corner>, below: usize) -> (String, usize) {
    let (mut lines, mut cards, mut column) = (String::new(), String::new(), 0);
    let mut add = |title: &str, colour: &str, kind: &str, users: Vec<&str>| {
        let (x, y) = (MARGIN + column * (WIDTH + ACROSS), below);
        column += 1;
        for user in users {
            let (ux, uy) = places[user];
            let (ux, uy, x) = (ux + WIDTH / 2, uy + HEIGHT, x + WIDTH / 2);
            write(
                &mut lines,
                format_args!("<path d=\"M{ux} {uy} L{x} {y}\" stroke=\"#9ab\" stroke-dasharray=\"3 3\"/>\n"),
            );
        }
        cards.push_str(&card((x, y), colour, title, kind));
    };
    for (key, network) in &project.networks {
        let users = project.services.values().filter(|service| service.networks.contains_key(key));
        add(&network.name, "#dcfce7", "network", users.map(|service| service.name.as_str()).collect());
    }
    for (key, volume) in &project.volumes {
        let users = project.services.values().filter(|service| {
            service.volumes.iter().any(|mount| mount.kind == "volume" && mount.source == *key)
        });
        add(&volume.name, "#fef3c7", "volume", users.map(|service| service.name.as_str()).collect());
    }
    (lines + &cards, column)
}

fn card((x, y): Corner, colour: &str, title: &str, detail: &str) -> String {
    let middle = x + WIDTH / 2;
    let (first, second) = (y + 20, y + 37);
    let (title, detail) = (shortened(title, 22), shortened(detail, 26));
    format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{colour}\" stroke=\"#456\"/>\n\
         <text x=\"{middle}\" y=\"{first}\" text-anchor=\"middle\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"{middle}\" y=\"{second}\" text-anchor=\"middle\" font-size=\"11\" fill=\"#456\">{detail}</text>\n"
    )
}

fn shortened(text: &str, most: usize) -> String {
    let shortened: String = match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    };
    shortened.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn write(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = text.write_fmt(arguments);
}
