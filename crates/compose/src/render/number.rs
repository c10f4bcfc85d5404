//! Numbers as Go's libraries write them, since docker compose's texts are what is compared.

/// Go's `%v` and YAML: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub(crate) fn general(value: f64) -> String {
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    pick(&format!("{value}"), &format!("{value:e}"))
}

/// The same in single precision.
pub(crate) fn general_single(value: f32) -> String {
    if let Some(special) = special(f64::from(value)) {
        return special.to_owned();
    }
    pick(&format!("{value}"), &format!("{value:e}"))
}

/// JSON: an exponent only below 1e-6 and from 1e21 on.
pub(crate) fn json(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        signed(&format!("{value:e}"))
    } else {
        format!("{value}")
    }
}

/// JSON in single precision.
pub(crate) fn json_single(value: f32) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        signed(&format!("{value:e}"))
    } else {
        format!("{value}")
    }
}

fn special(value: f64) -> Option<&'static str> {
    Some(match value {
        value if value.is_nan() => ".nan",
        f64::INFINITY => ".inf",
        f64::NEG_INFINITY => "-.inf",
        _ => return None,
    })
}

fn pick(plain: &str, scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return plain.to_owned();
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn signed(scientific: &str) -> String {
    match scientific.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent}"),
        _ => scientific.to_owned(),
    }
}
