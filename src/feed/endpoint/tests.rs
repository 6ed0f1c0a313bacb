use super::*;

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}

fn from_url(text: &str) -> Result<Endpoint, EndpointError> {
    Endpoint::from_url(text, None, None, false)
}

fn symbols(endpoint: &Endpoint) -> Vec<&str> {
    endpoint.symbols.iter().map(Symbol::as_str).collect()
}

#[test]
fn each_market_has_its_address() {
    use Market::{CoinM, Spot, UsdM};
    for (market, testnet, name, url) in [
        (UsdM, false, "ETHUSDT", "wss://fstream.binance.com/market/stream?streams=ethusdt@aggTrade"),
        (UsdM, true, "ETHUSDT", "wss://fstream.binancefuture.com/market/stream?streams=ethusdt@aggTrade"),
        (CoinM, false, "btcusd_perp", "wss://dstream.binance.com/stream?streams=btcusd_perp@aggTrade"),
        (CoinM, true, "btcusd_perp", "wss://dstream.binancefuture.com/stream?streams=btcusd_perp@aggTrade"),
        (Spot, false, "BTCUSDT", "wss://stream.binance.com/stream?streams=btcusdt@aggTrade"),
        (Spot, true, "BTCUSDT", "wss://stream.testnet.binance.vision/stream?streams=btcusdt@aggTrade"),
    ] {
        let endpoint = Endpoint::for_symbols(market, testnet, &[symbol(name)]);
        assert_eq!(endpoint.url, url);
        assert_eq!((endpoint.port, endpoint.tls, &endpoint.subscribe), (443, true, &Vec::new()));
        // What we build, we must also read, and find the same.
        assert_eq!(from_url(url).unwrap(), endpoint);
        assert_eq!(from_url(url).unwrap().market, market);
    }
}

#[test]
fn a_symbol_that_is_not_ascii_is_percent_encoded_and_comes_back() {
    let endpoint = Endpoint::for_symbols(Market::UsdM, false, &[symbol("币安人生usdt")]);
    let encoded = "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@aggTrade";
    assert_eq!(endpoint.url, format!("wss://fstream.binance.com/market/stream?streams={encoded}"));
    assert_eq!(from_url(&endpoint.url).unwrap(), endpoint);
    let raw = from_url("wss://fstream.binance.com/market/stream?streams=币安人生usdt@aggTrade").unwrap();
    assert_eq!(raw, endpoint);
    assert_eq!(symbols(&raw), ["币安人生USDT"]);
}

#[test]
fn more_streams_than_a_url_carries_are_subscribed_to() {
    let many: Vec<Symbol> = (0..500).map(|n| symbol(&format!("S{n}USDT"))).collect();
    let endpoint = Endpoint::for_symbols(Market::UsdM, false, &many);
    assert_eq!(endpoint.url, "wss://fstream.binance.com/market/stream");
    assert_eq!(endpoint.subscribe.len(), 500);
    assert_eq!(endpoint.subscribe[7], "s7usdt@aggTrade");
}

#[test]
fn the_symbols_come_from_the_streams_of_the_url() {
    for (url, expected) in [
        ("wss://fstream.binance.com/market/ws/btcusdt@aggTrade", vec!["BTCUSDT"]),
        ("wss://fstream.binance.com/market/ws/btcusdt@aggTrade/ethusdt@aggTrade", vec!["BTCUSDT", "ETHUSDT"]),
        (
            "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade",
            vec!["BTCUSDT", "ETHUSDT"],
        ),
        (
            "wss://fstream.binance.com/market/stream?streams=btcusdt@kline_1m/ethusdt@aggTrade",
            vec!["ETHUSDT"],
        ),
        (
            "wss://fstream.binance.com/market/stream?streams=btcusdt%40aggTrade%2Fethusdt%40aggTrade",
            vec!["BTCUSDT", "ETHUSDT"],
        ),
        ("wss://fstream.binance.com/market/ws/btcusdt@aggTrade/btcusdt@aggTrade", vec!["BTCUSDT"]),
        (
            "wss://stream.binance.com:9443/stream?timeUnit=MICROSECOND&streams=btcusdt@aggTrade",
            vec!["BTCUSDT"],
        ),
        ("WSS://FStream.Binance.com/market/ws/btcusdt@aggTrade", vec!["BTCUSDT"]),
        ("  wss://fstream.binance.com/market/ws/btcusdt@aggTrade\n", vec!["BTCUSDT"]),
        // Another host may want its names otherwise.
        ("ws://127.0.0.1:9/ws/BTCUSDT@aggTrade", vec!["BTCUSDT"]),
        ("wss://gateway.example/binance/ws/BTCUSDT@aggTrade", vec!["BTCUSDT"]),
    ] {
        let endpoint = from_url(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(symbols(&endpoint), expected, "{url}");
        assert!(endpoint.subscribe.is_empty(), "{url}");
    }
}

#[test]
fn a_url_without_streams_is_subscribed_on_after_connecting() {
    for url in [
        "ws://127.0.0.1:9",
        "ws://localhost:9/",
        "wss://fstream.binance.com/market/ws",
        "ws://[::1]:9/stream",
    ] {
        let endpoint = Endpoint::from_url(url, Some(&symbol("BTCUSDT")), None, false).unwrap();
        assert_eq!(endpoint.subscribe, ["btcusdt@aggTrade"], "{url}");
        assert_eq!(symbols(&endpoint), ["BTCUSDT"], "{url}");
        assert_eq!(symbols(&from_url(url).unwrap()), ["ETHUSDT"], "{url}");
    }
    // The subscription is JSON, where a symbol stays as it is.
    let endpoint =
        Endpoint::from_url("ws://127.0.0.1:9/ws", Some(&symbol("币安人生USDT")), None, false).unwrap();
    assert_eq!(endpoint.subscribe, ["币安人生usdt@aggTrade"]);
}

#[test]
fn host_port_and_encryption_are_read_from_the_url() {
    for (url, host, port, tls) in [
        ("wss://fstream.binance.com/market/ws", "fstream.binance.com", 443, true),
        ("wss://stream.binance.com:9443/ws", "stream.binance.com", 9443, true),
        ("ws://localhost/ws", "localhost", 80, false),
        ("ws://127.0.0.1:1234/ws", "127.0.0.1", 1234, false),
        ("ws://127.9.9.9:1234/ws", "127.9.9.9", 1234, false),
        ("ws://[::1]:1234/ws", "::1", 1234, false),
        ("ws://[::1]/ws", "::1", 80, false),
        ("ws://[::ffff:127.0.0.1]:7/ws", "::ffff:127.0.0.1", 7, false),
        ("wss://me:secret@gateway.example:8443/ws", "gateway.example", 8443, true),
    ] {
        let endpoint = from_url(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.tls), (host, port, tls), "{url}");
    }
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    use EndpointError as E;
    type Reason = fn(&E) -> bool;
    let refused: [(&str, Reason); 30] = [
        ("", |e| matches!(e, E::NoScheme)),
        ("fstream.binance.com/market/ws", |e| matches!(e, E::NoScheme)),
        ("http://x", |e| matches!(e, E::HttpScheme { .. })),
        ("https://fstream.binance.com", |e| matches!(e, E::HttpScheme { .. })),
        ("ftp://x", |e| matches!(e, E::UnknownScheme { .. })),
        ("://x", |e| matches!(e, E::UnknownScheme { .. })),
        ("wss://", |e| matches!(e, E::BadHost)),
        ("wss:///ws", |e| matches!(e, E::BadHost)),
        ("wss://:443/ws", |e| matches!(e, E::BadHost)),
        ("wss://me@/ws", |e| matches!(e, E::BadHost)),
        ("wss://币安.example/ws", |e| matches!(e, E::BadHost)),
        ("wss://h:0/ws", |e| matches!(e, E::BadPort)),
        ("wss://h:70000/ws", |e| matches!(e, E::BadPort)),
        ("wss://h:/ws", |e| matches!(e, E::BadPort)),
        ("wss://h:+1/ws", |e| matches!(e, E::BadPort)),
        ("wss://h/ws#top", |e| matches!(e, E::Fragment)),
        ("wss://h h/ws", |e| matches!(e, E::Unreadable { .. })),
        ("wss://h/w s", |e| matches!(e, E::Unreadable { .. })),
        ("wss://h/\u{1b}[31m", |e| matches!(e, E::Unreadable { .. })),
        ("ws://fstream.binance.com/market/ws", |e| matches!(e, E::Plaintext { .. })),
        ("ws://192.168.0.7:80/ws", |e| matches!(e, E::Plaintext { .. })),
        ("ws://localhost.example.com/ws", |e| matches!(e, E::Plaintext { .. })),
        ("ws://127.0.0.1.example.com/ws", |e| matches!(e, E::Plaintext { .. })),
        ("wss://fstream.binance.com/market/ws/btcusdt@kline_1m", |e| matches!(e, E::NoAggTrade { .. })),
        ("wss://fstream.binance.com/market/ws/BTCUSDT@aggTrade", |e| matches!(e, E::StreamCase { .. })),
        ("wss://fstream.binance.com/market/ws/btcusdt@aggtrade", |e| matches!(e, E::StreamCase { .. })),
        ("wss://fstream.binance.com/market/ws?streams=btcusdt@aggTrade", |e| {
            matches!(e, E::MisplacedStreams)
        }),
        ("wss://fstream.binance.com/market/ws/btc%20usdt@aggTrade", |e| matches!(e, E::BadStreamName { .. })),
        ("wss://fstream.binance.com/market/ws/%FF@aggTrade", |e| matches!(e, E::BadStreamName { .. })),
        ("ws://127.0.0.1/ws/btcusdt@aggtrade", |e| matches!(e, E::NoAggTrade { .. })),
    ];
    for (url, expected) in refused {
        let error = from_url(url).expect_err(url);
        assert!(expected(&error), "{url}: {error:?}");
    }
}

#[test]
fn plaintext_to_another_machine_needs_permission() {
    assert!(Endpoint::from_url("ws://192.168.0.7:80/ws", None, None, true).is_ok());
}

#[test]
fn a_contradiction_names_both_sides() {
    let url = "wss://dstream.binance.com/ws/btcusd_perp@aggTrade/ethusd_perp@aggTrade";
    let error = Endpoint::from_url(url, Some(&symbol("ETHUSDT")), None, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the symbol is ETHUSDT, but the URL streams BTCUSD_PERP, ETHUSD_PERP; \
         leave the symbol out, because the URL names it, or name it in the URL"
    );
    assert!(Endpoint::from_url(url, Some(&symbol("ethusd_perp")), Some(Market::CoinM), false).is_ok());
    let error = Endpoint::from_url(url, None, Some(Market::Spot), false).unwrap_err();
    assert_eq!(error.problem(), "the market is spot, but the URL's host dstream.binance.com serves coinm");
}

#[test]
fn a_known_host_tells_its_market_and_its_rest_host() {
    for (url, market, rest) in [
        ("wss://fstream.binance.com/market/ws", Market::UsdM, Some("https://fapi.binance.com")),
        ("wss://stream.binancefuture.com/ws", Market::UsdM, Some("https://testnet.binancefuture.com")),
        ("wss://demo-fstream.binance.com/ws", Market::UsdM, Some("https://demo-fapi.binance.com")),
        ("wss://dstream.binance.com/ws", Market::CoinM, Some("https://dapi.binance.com")),
        ("wss://stream.binance.com:9443/ws", Market::Spot, Some("https://api.binance.com")),
        ("wss://data-stream.binance.vision/ws", Market::Spot, Some("https://data-api.binance.vision")),
        ("wss://testnet.binance.vision/ws", Market::Spot, Some("https://testnet.binance.vision")),
        ("wss://stream.binance.us:9443/ws", Market::Spot, Some("https://api.binance.us")),
        ("ws://127.0.0.1:9/ws", Market::UsdM, None),
    ] {
        let endpoint = from_url(url).unwrap();
        assert_eq!((endpoint.market, endpoint.rest_base().as_deref()), (market, rest), "{url}");
    }
    let other = Endpoint::from_url("ws://127.0.0.1:9/ws", None, Some(Market::Spot), false).unwrap();
    assert_eq!(other.market, Market::Spot);
}

#[test]
fn an_address_without_trades_is_warned_about_in_one_line() {
    for (url, instead) in [
        (
            "wss://fstream.binance.com/ws/btcusdt@aggTrade",
            "wss://fstream.binance.com/market/ws/btcusdt@aggTrade",
        ),
        (
            "wss://fstream.binance.com/stream?streams=btcusdt@aggTrade",
            "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade",
        ),
        (
            "wss://fstream.binance.com/public/ws/btcusdt@aggTrade",
            "wss://fstream.binance.com/market/ws/btcusdt@aggTrade",
        ),
        ("wss://fstream.binance.com//public", "wss://fstream.binance.com/market/ws"),
        ("wss://fstream.binance.com/private/ws", "wss://fstream.binance.com/market/ws"),
        ("wss://fstream.binance.com", "wss://fstream.binance.com/market/ws"),
        ("wss://fstream.binance.com:443/", "wss://fstream.binance.com:443/market/ws"),
        ("wss://fstream-auth.binance.com/ws", "wss://fstream-auth.binance.com/market/ws"),
        ("wss://fstream-mm.binance.com/ws", "wss://fstream-mm.binance.com/market/ws"),
        ("wss://fstream.binance.com/marketing/ws", "wss://fstream.binance.com/market/marketing/ws"),
    ] {
        let warning = from_url(url).unwrap().unrouted_warning.expect(url);
        assert!(warning.ends_with(&format!("; use {instead}")), "{url}: {warning}");
        assert_eq!(warning.lines().count(), 1, "{url}");
        assert!(from_url(instead).is_ok(), "{instead}");
    }
    for url in [
        "wss://fstream.binance.com/market/ws/btcusdt@aggTrade",
        "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade",
        "wss://fstream.binancefuture.com/ws",
        "wss://dstream.binance.com/ws/btcusd_perp@aggTrade",
        "wss://stream.binance.com/ws",
        "ws://127.0.0.1:9/ws",
    ] {
        assert_eq!(from_url(url).unwrap().unrouted_warning, None, "{url}");
    }
}

#[test]
fn credentials_stay_in_the_url_and_are_shown_nowhere() {
    let url = "wss://me:s3cret@fstream.binance.com/ws/btcusdt@aggTrade?token=s3cret";
    let endpoint = from_url(url).unwrap();
    assert_eq!(endpoint.url, url);
    let shown = format!("{endpoint} {endpoint:?} {}", endpoint.unrouted_warning.clone().unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("fstream.binance.com/ws/btcusdt@aggTrade?token=***"), "{shown}");
    let candles = from_url("wss://stream.binance.com/ws/btcusdt@kline_1m").unwrap_err();
    assert!(candles.problem().contains("(\"btcusdt@kline_1m\")"), "{candles}");
    let listen_key = format!("wss://stream.binance.com/ws/{}", "k".repeat(64));
    assert!(!from_url(&listen_key).unwrap_err().to_string().contains("kkk"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(wss?://)?(fstream.binance.com|\\[::1\\]|.{0,8})(:.{0,3})?/?.{0,30}") {
        if let Ok(endpoint) = Endpoint::from_url(&text, None, None, true) {
            proptest::prop_assert!(!endpoint.symbols.is_empty() && endpoint.port > 0);
        }
    }

    #[test]
    fn a_password_never_survives_redaction(
        password in "S3CRET[a-z/?#:@]{0,5}", tail in "(/ws|/stream\\?streams=)?[a-z@/]{0,20}",
    ) {
        let url = format!("wss://me:{password}@host{tail}");
        proptest::prop_assert!(!redact_url(&url).contains("S3CRET"), "{}", redact_url(&url));
        if let Ok(endpoint) = from_url(&url) {
            let shown = format!("{endpoint:?}");
            proptest::prop_assert!(!shown.contains("S3CRET"));
        }
    }
}

#[test]
fn streams_can_be_taken_off_an_address_that_does_not_insist_on_them() {
    let symbols = [symbol("BTCUSDT"), symbol("ETHUSDT")];
    for market in Market::ALL {
        for testnet in [false, true] {
            let own = Endpoint::for_symbols(market, testnet, &symbols);
            assert_eq!(own.own_network(), Some(testnet));
            let bare = own.without_streams().unwrap();
            assert_eq!(bare, Endpoint::bare(market, testnet));
            assert!(
                !bare.url.contains('?') && bare.symbols.is_empty() && bare.subscribe.is_empty(),
                "{}",
                bare.url
            );
        }
    }
    let given = from_url("ws://127.0.0.1:9/stream").unwrap();
    assert_eq!(given.own_network(), None);
    let bare = given.without_streams().unwrap();
    assert_eq!(
        (bare.url.as_str(), bare.symbols.len(), bare.subscribe.len()),
        ("ws://127.0.0.1:9/stream", 0, 0)
    );
    assert_eq!(bare.without_streams().unwrap(), bare);
    assert_eq!(from_url("ws://127.0.0.1:9/stream?streams=btcusdt@aggTrade").unwrap().without_streams(), None);
}
