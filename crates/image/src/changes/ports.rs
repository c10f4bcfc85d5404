//! `EXPOSE 80 53/udp 8000-8010/tcp`.

/// The ports of one word, each as `80/tcp`.
pub(super) fn parse(word: &str) -> Result<Vec<String>, String> {
    let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid protocol in {word:?}: want tcp, udp or sctp"));
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number =
        |text: &str| text.parse::<u16>().map_err(|_| format!("invalid port in {word:?}: want 0 to 65535"));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("invalid range in {word:?}: the first port is higher than the last"));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
