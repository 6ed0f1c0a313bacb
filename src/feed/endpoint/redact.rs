//! Taking the secrets out of a URL, whether or not it can be read as one.

/// Query keys of the exchange whose values are no secret.
const OPEN_QUERY_KEYS: [&str; 2] = ["streams", "timeUnit"];
/// A stream name without a kind (`btcusdt@…`) and longer than this is a listen key.
const LONGEST_OPEN_NAME: usize = 40;

/// The URL as it may be shown: user name, password, unknown query values and listen keys become `***`.
/// Takes any text, because a URL that cannot be read is shown too.
pub fn redact_url(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let (secret, rest) = split_credentials(rest);
    let userinfo = if secret { "***@" } else { "" };
    let (address, fragment) = match rest.split_once('#') {
        Some((address, _)) => (address, "#***"),
        None => (rest, ""),
    };
    let (path, query) = match address.split_once('?') {
        Some((path, query)) => (path, format!("?{}", redact_query(query))),
        None => (address, String::new()),
    };
    format!("{scheme}{userinfo}{}{query}{fragment}", redact_names(path))
}

/// Whether there are credentials, and what follows them. A password with a raw `/`, `?` or `#` in it
/// makes the address look odd; then everything up to the last `@` is taken for credentials.
fn split_credentials(rest: &str) -> (bool, &str) {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let credentials = authority.rfind('@').map_or(0, |at| at + 1);
    if is_host_and_port(&authority[credentials..]) && !rest.contains('#') {
        return (credentials > 0, &rest[credentials..]);
    }
    match rest.rfind('@') {
        Some(at) => (true, &rest[at + 1..]),
        None => (false, rest),
    }
}

fn is_host_and_port(text: &str) -> bool {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return false;
            }
            host
        }
        _ => text,
    };
    !host.is_empty() && (host.starts_with('[') || !host.contains(':'))
}

fn redact_query(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) if OPEN_QUERY_KEYS.contains(&key) => format!("{key}={}", redact_names(value)),
        Some((key, _)) => format!("{key}=***"),
        None if pair.len() > LONGEST_OPEN_NAME => "***".to_owned(),
        None => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Stream names, separated by `/`, without the listen keys among them.
pub(super) fn redact_names(path: &str) -> String {
    let hidden = |name: &str| {
        let bare = !name.contains(['@', '%', '!', '.', ':']);
        if bare && name.len() > LONGEST_OPEN_NAME { "***".to_owned() } else { name.to_owned() }
    };
    path.split('/').map(hidden).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_the_rest_stays() {
        let key = "x".repeat(64);
        for (text, shown) in [
            ("wss://fstream.binance.com/market/ws/btcusdt@aggTrade", None),
            ("wss://h:9443/stream?streams=btcusdt@aggTrade/x@kline_1m&timeUnit=MICROSECOND", None),
            ("ws://[::1]:8080/ws", None),
            ("wss://me:pw@h/ws", Some("wss://***@h/ws")),
            ("wss://me:p@w@h/ws/a@aggTrade", Some("wss://***@h/ws/a@aggTrade")),
            ("wss://me:p/w@h/ws", Some("wss://***@h/ws")),
            ("wss://me:p:/w@h/ws", Some("wss://***@h/ws")),
            ("wss://me:p@/w@h/ws", Some("wss://***@h/ws")),
            ("wss://me:12#4@h/ws", Some("wss://***@h/ws")),
            ("me:pw@h", Some("***@h")),
            (
                "wss://h/stream?streams=a@aggTrade&token=s3cret",
                Some("wss://h/stream?streams=a@aggTrade&token=***"),
            ),
            ("wss://h/ws#s3cret", Some("wss://h/ws#***")),
            (&format!("wss://h/ws/{key}"), Some("wss://h/ws/***")),
            (&format!("wss://h/stream?streams={key}"), Some("wss://h/stream?streams=***")),
            ("", None),
        ] {
            assert_eq!(redact_url(text), shown.unwrap_or(text), "{text}");
        }
    }
}
