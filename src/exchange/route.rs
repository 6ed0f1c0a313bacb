//! From the path of a handshake to what the connection may deliver.

use percent_encoding::percent_decode_str;

/// Which paths deliver trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routing {
    /// Only `/market/…` does. Un-routed paths connect, acknowledge and stay silent, as on `fstream` since
    /// 2026-04.
    #[default]
    Routed,
    /// Every path does, as on spot and COIN-M.
    Unrouted,
}

/// What a handshake's path asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Whether aggTrades come over this connection at all.
    pub(super) delivers: bool,
    /// Whether frames are wrapped as `{"stream":…,"data":…}`.
    pub(super) combined: bool,
    /// The streams named in the URL, percent-decoded.
    pub(super) streams: Vec<String>,
}

impl Route {
    /// Reads a path and query; the error is the status of the refusal.
    pub(super) fn of(path: &str, query: Option<&str>, routing: Routing) -> Result<Self, u16> {
        let (category, rest) = match path.trim_start_matches('/').split_once('/') {
            Some((category @ ("market" | "public" | "private"), rest)) => (Some(category), rest),
            _ => (None, path.trim_start_matches('/')),
        };
        let delivers = routing == Routing::Unrouted || category == Some("market");
        let (combined, names) = match rest.split_once('/') {
            None if rest == "ws" => (false, ""),
            None if rest == "stream" => (true, streams_of(query)),
            Some(("ws", "")) => return Err(400),
            Some(("ws", names)) => (false, names),
            _ => return Err(404),
        };
        let decode = |name: &str| percent_decode_str(name).decode_utf8().map(String::from);
        let names = names.split('/').filter(|name| !name.is_empty());
        let streams = names.map(decode).collect::<Result<_, _>>().map_err(|_| 400_u16)?;
        Ok(Self { delivers, combined, streams })
    }
}

fn streams_of(query: Option<&str>) -> &str {
    let pairs = query.unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.strip_prefix("streams=")).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_is_delivered_and_how() {
        for (path, query, routing, delivers, combined, streams) in [
            ("/market/stream", Some("streams=a@aggTrade/b@aggTrade"), Routing::Routed, true, true, 2),
            ("/market/stream", Some("x=1&streams=a@aggTrade"), Routing::Routed, true, true, 1),
            ("/market/ws/a@aggTrade", None, Routing::Routed, true, false, 1),
            ("/market/ws", None, Routing::Routed, true, false, 0),
            ("/market/stream", None, Routing::Routed, true, true, 0),
            ("/stream", Some("streams=a@aggTrade"), Routing::Routed, false, true, 1),
            ("/ws/a@aggTrade/b@aggTrade", None, Routing::Routed, false, false, 2),
            ("/public/ws/a@aggTrade", None, Routing::Routed, false, false, 1),
            ("/ws/a@aggTrade", None, Routing::Unrouted, true, false, 1),
            ("/market/stream", Some("streams=a@aggTrade"), Routing::Unrouted, true, true, 1),
        ] {
            let route = Route::of(path, query, routing).unwrap();
            assert_eq!(
                (route.delivers, route.combined, route.streams.len()),
                (delivers, combined, streams),
                "{path}"
            );
        }
        for (path, status) in
            [("/", 404), ("/market", 404), ("/ws/", 400), ("/market/ws/%FF", 400), ("/x/ws", 404)]
        {
            assert_eq!(Route::of(path, None, Routing::Routed), Err(status), "{path}");
        }
    }

    #[test]
    fn a_name_that_is_not_ascii_is_percent_decoded() {
        let path = "/market/ws/%E5%B8%81%E5%AE%89usdt@aggTrade";
        assert_eq!(Route::of(path, None, Routing::Routed).unwrap().streams, ["币安usdt@aggTrade"]);
    }
}
