use axum::http::HeaderValue;

use super::*;

fn hosts(names: &[&str], public: Option<&str>) -> AllowedHosts {
    let names = names.iter().map(|name| name.parse().expect("a name")).collect();
    AllowedHosts::new(names, public.map(|url| url.parse().expect("a URL")))
}

/// The status of a request with these values of `Host`, to this target.
fn status(hosts: &AllowedHosts, values: &[&[u8]], target: &str) -> u16 {
    let headers = values.iter().map(|value| (header::HOST, HeaderValue::from_bytes(value).expect("a header")));
    let checked = hosts.check(&headers.collect(), &target.parse().expect("a target"));
    checked.map_or_else(|problem| problem.into_response().status().as_u16(), |_| 200)
}

#[test]
fn localhost_and_addresses_are_always_answered() {
    let hosts = hosts(&[], None);
    for host in [
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "localhost.:80",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:1",
        "10.2.3.4:65535",
        "[::1]",
        "[::1]:8080",
        "[::ffff:10.0.0.1]",
        "[2001:DB8::1]:80",
        "0.0.0.0:8080",
    ] {
        assert_eq!(status(&hosts, &[host.as_bytes()], "/"), 200, "{host}");
    }
}

#[test]
fn other_names_are_answered_where_they_are_listed() {
    let none = hosts(&[], None);
    for host in [
        "evil.example",
        "localhost.evil.example",
        "xlocalhost",
        "127.0.0.1.evil.example",
        "127.1",
        "2130706433",
        "a.localhost",
        "dojang:8080",
    ] {
        assert_eq!(status(&none, &[host.as_bytes()], "/"), 421, "{host}");
    }
    let some = hosts(&["Dojang", "train.example.", "bücher.example"], Some("https://public.example/"));
    for (host, expected) in [
        ("dojang:8080", 200),
        ("DOJANG.", 200),
        ("train.example", 200),
        ("xn--bcher-kva.example", 200),
        ("public.example", 200),
        ("public.example:8443", 200),
        ("sub.train.example", 421),
        ("example", 421),
    ] {
        assert_eq!(status(&some, &[host.as_bytes()], "/"), expected, "{host}");
    }
    let any = hosts(&["*"], None);
    assert_eq!(status(&any, &[b"evil.example"], "/"), 200);
    assert_eq!(status(&any, &[b"evil example"], "/"), 400, "what is malformed is no name");
}

#[test]
fn a_missing_doubled_or_malformed_host_is_400() {
    let hosts = hosts(&["dojang"], None);
    assert_eq!(status(&hosts, &[], "/"), 400);
    assert_eq!(status(&hosts, &[], "http://localhost/"), 400);
    assert_eq!(status(&hosts, &[b"localhost", b"localhost"], "/"), 400);
    assert_eq!(status(&hosts, &[b"localhost", b"evil.example"], "/"), 400);
    for host in [
        &b""[..],
        b" ",
        b".",
        b"..",
        b"a..b",
        b".localhost",
        b"localhost..",
        b"local host",
        b"user@localhost",
        b"user:password@localhost",
        b"localhost:x",
        b"localhost:80:80",
        b"localhost:+80",
        b"localhost:65536",
        b"localhost/",
        b"http://localhost",
        b"localhost, evil.example",
        b"localhost#",
        b"localhost%00",
        b"::1",
        b"[::1",
        b"::1]",
        b"[::1]80",
        b"[::1]:x",
        b"[]",
        b"[evil.example]",
        b"[fe80::1%25eth0]",
        b"*",
        "dojäng".as_bytes(),
        b"\xff",
        &[b'a'; 64],
        &[b"a.".repeat(127), b"a".to_vec()].concat(),
    ] {
        assert_eq!(status(&hosts, &[host], "/"), 400, "{}", String::from_utf8_lossy(host));
    }
}

#[test]
fn a_target_with_a_host_counts_too() {
    let hosts = hosts(&[], None);
    assert_eq!(status(&hosts, &[b"localhost"], "http://127.0.0.1:8080/v1/jobs"), 200);
    assert_eq!(status(&hosts, &[b"localhost"], "http://evil.example/v1/jobs"), 421);
    assert_eq!(status(&hosts, &[b"evil.example"], "http://localhost/v1/jobs"), 421);
    assert_eq!(status(&hosts, &[b"localhost"], "http://a@localhost/"), 400);
    assert_eq!(status(&hosts, &[b"localhost"], "evil.example:80"), 421, "a CONNECT");
}

#[test]
fn origins_are_compared_whole() {
    let hosts = hosts(&[], Some("https://Public.example"));
    let own = |origin: &str, host: &str| hosts.is_own_origin(origin, Authority::parse(host).as_ref());
    for (origin, host) in [
        ("http://localhost:8080", "localhost:8080"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("https://train.example", "Train.example"),
        ("https://train.example", "train.example:443"),
        ("http://[::1]:8080", "[0:0::1]:8080"),
        ("https://public.example", "dojang:8080"),
    ] {
        assert!(own(origin, host), "{origin} of {host}");
    }
    for (origin, host) in [
        ("http://localhost:8081", "localhost:8080"),
        ("http://evil.example", "localhost:8080"),
        ("null", "null"),
        ("http://public.example", "dojang:8080"),
        ("https://public.example:444", "dojang:8080"),
        ("", "localhost"),
        ("http://localhost:8080/", "localhost:8080"),
        ("ftp://localhost", "localhost"),
        ("localhost", "localhost"),
    ] {
        assert!(!own(origin, host), "{origin} of {host}");
    }
}

#[test]
fn what_is_no_name_is_told() {
    for (text, word) in [
        ("", "not a host name"),
        ("http://x", "without a scheme"),
        ("x:80", "without"),
        ("*.x", "`*` alone"),
        ("a b", "not"),
    ] {
        let error = text.parse::<AllowedHost>().expect_err(text);
        assert!(error.contains(word), "{text}: {error}");
    }
    for text in ["", "x", "ftp://x", "https://a@x", "https://x?y", "https://x/path", "http://x//", "file:///x"] {
        assert!(text.parse::<PublicUrl>().is_err(), "{text}");
    }
}
