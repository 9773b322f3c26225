//! What may be called and what may not, URL by URL: known ways in, and harmless ones beside them.

use super::*;

fn strict() -> Rules {
    Rules { ports: vec![443, 8443], allow_loopback: false }
}

fn development() -> Rules {
    Rules { allow_loopback: true, ..strict() }
}

#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "https://example.com", "https://example.com/", "https://example.com/hook", "https://example.com:443/hook",
    "https://example.com:8443/hook", "HTTPS://Example.COM/Hook", "https://hooks.example.co.uk/a/b/c?x=1&y=2",
    "https://example.com/?url=http://127.0.0.1/", "https://example.com/a@b", "https://example.com/%20",
    "https://xn--bcher-kva.example/hook", "https://a-b.example.com/", "https://a_b.example.com/",
    "https://127.0.0.1.example.com/", "https://localhost.example.com/", "https://8.8.8.8/", "https://1.1.1.1:8443/x",
    "https://[2606:4700:4700::1111]/", "https://[2606:4700:4700:0:0:0:0:1111]:8443/hook", "https://223.255.255.254/",
    "https://example.com/..%2f..%2f", "https://1e100.net/", "https://0x.example.com/", "https://3com.com/",
];

/// Nobody may call these, whatever is configured.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    // No URL at all.
    "", " ", "example.com", "/hook", "//example.com/hook", "https:", "https:/example.com", "https://", "https:///hook",
    "https://?x", "https://:443/", "https://.", "https://..", "https://.example.com", "https://example..com",
    "https://example.com.", "https://example.com./hook",
    // Other schemes.
    "ftp://example.com/", "file:///etc/passwd", "file://localhost/etc/passwd", "gopher://example.com/_x",
    "dict://example.com:11211/stat", "ldap://example.com/", "javascript://example.com/%0aalert(1)", "data:text/plain,hi",
    "unix:///var/run/docker.sock", "jar:https://example.com!/", "ws://example.com/", "wss://example.com/",
    "http://example.com/", "http://example.com:443/", "httpss://example.com/", " https://example.com/",
    // Characters that parsers treat differently.
    "https://example.com\\@127.0.0.1/", "https:\\\\example.com/", "https://exam ple.com/", "https://example.com/a b",
    "https://example.com/\n", "https://example.com/\r\nHost: internal", "https://exa\tmple.com/", "https://example.com/\0",
    "https://ex\u{e4}mple.com/", "https://example.com/\u{e4}", "https://\u{2488}.example/", "https://\u{ff11}27.0.0.1/",
    "https://127\u{3002}0\u{3002}0\u{3002}1/", "https://example.com/<x>", "https://example.com/\"x", "https://\u{200b}example.com/",
    // Somebody else in front.
    "https://user@example.com/", "https://user:password@example.com/", "https://@example.com/", "https://:@example.com/",
    "https://example.com@127.0.0.1/", "https://example.com:443@127.0.0.1/", "https://127.0.0.1@example.com/",
    "https://example.com%2f@127.0.0.1/", "https://example.com%00.internal.net/", "https://%31%32%37.0.0.1/",
    "https://example.com#@127.0.0.1/", "https://example.com/#fragment", "https://foo@bar@example.com/",
    // Ports.
    "https://example.com:80/", "https://example.com:22/", "https://example.com:6379/", "https://example.com:0/",
    "https://example.com:65536/", "https://example.com:00443/", "https://example.com:+443/", "https://example.com:-1/",
    "https://example.com:443:443/", "https://example.com:/", "https://example.com:x/", "https://8.8.8.8:53/",
    "https://[2606:4700::1]443/", "https://[2606:4700::1]:/", "https://example.com:4 43/", "https://example.com:0443/",
    // IPv4 in unusual forms.
    "https://2130706433/", "https://0x7f000001/", "https://017700000001/", "https://0177.0.0.1/", "https://0x7f.0.0.1/",
    "https://127.1/", "https://127.0.1/", "https://127.0.0.1.1/", "https://00127.0.0.1/", "https://127.0.0.01/",
    "https://0/", "https://0x0/", "https://1/", "https://134744072/", "https://8.8.8/", "https://08.8.8.8/",
    "https://0x8.8.8.8/", "https://8.8.8.0x8/", "https://8.8.8.256/", "https://999.1.1.1/", "https://1.2.3.4.5/",
    "https://127.0.0.1./", "https://0XA.0xA.0xA.0xA/", "https://4294967297/", "https://example.0x7f000001/",
    "https://example.com.1/",
    // IPv4 that is not public.
    "https://0.0.0.0/", "https://0.1.2.3/", "https://10.0.0.1/", "https://10.255.255.255/", "https://100.64.0.1/",
    "https://100.127.255.255/", "https://169.254.169.254/latest/meta-data/", "https://169.254.0.1/", "https://172.16.0.1/",
    "https://172.31.255.255/", "https://192.0.0.1/", "https://192.0.2.1/", "https://192.168.0.1/", "https://192.168.255.255/",
    "https://192.88.99.1/", "https://198.18.0.1/", "https://198.19.255.255/", "https://198.51.100.1/", "https://203.0.113.1/",
    "https://224.0.0.1/", "https://239.255.255.250/", "https://240.0.0.1/", "https://255.255.255.255/",
    "https://192.168.0.1:8443/", "https://172.17.0.1/",
    // IPv6 that is not public.
    "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:8.8.8.8]/", "https://[::127.0.0.1]/", "https://[::7f00:1]/", "https://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::127.0.0.1]/", "https://[64:ff9b:1::a00:1]/", "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/", "https://[2001::1]/", "https://[2001:0:7f00:1::]/", "https://[2001:db8::1]/",
    "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/", "https://[fec0::1]/", "https://[ff02::1]/", "https://[ff0e::1]/", "https://[100::1]/",
    "https://[3fff::1]/", "https://[4000::1]/", "https://[5f00::1]/", "https://[1::1]/",
    // Brackets that hold something else.
    "https://[]/", "https://[127.0.0.1]/", "https://[example.com]/", "https://[2606:4700::1/", "https://2606:4700::1/",
    "https://[2606:4700::1]]/", "https://[[2606:4700::1]]/", "https://[2606:4700::g]/", "https://[v1.x]/",
    "https://[2606:4700::1].example.com/", "https://[2606:4700::1]example.com/",
    // Names that are local by their nature.
    "https://intranet/", "https://metadata/", "https://kubernetes/", "https://printer.local/", "https://db.internal/",
    "https://metadata.google.internal/computeMetadata/v1/", "https://router.lan/", "https://x.home.arpa/",
    "https://1.0.0.127.in-addr.arpa/", "https://nas.home/", "https://git.corp/", "https://wiki.intranet/",
    "https://example.onion/", "https://x.private/", "https://-/", "https://*.example.com/", "https://exa!mple.com/",
    "https://$(id).example.com/", "https://{host}.example.com/", "https://example,com/",
];

/// These are this machine: development may call them.
#[rustfmt::skip]
const THIS_MACHINE: &[&str] = &[
    "https://localhost/", "https://LOCALHOST/", "https://foo.localhost/", "https://127.0.0.1/", "https://127.0.0.1:8443/",
    "https://127.255.255.254/", "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "http://localhost:8080/", "http://127.0.0.1/",
    "http://127.0.0.1:9/hook", "http://[::1]:3000/", "http://127.53.0.1:22/",
];

#[test]
fn the_corpus_is_judged_right_url_by_url() {
    assert!(ALLOWED.len() + REFUSED.len() + THIS_MACHINE.len() >= 200, "{} URLs", REFUSED.len());
    for rules in [strict(), development()] {
        for url in ALLOWED {
            let judged = rules.judge(url);
            assert!(judged.as_ref().is_ok_and(|target| !target.loopback), "{url}: {judged:?}");
        }
        for url in REFUSED {
            let judged = rules.judge(url);
            assert!(judged.is_err(), "{url:?} was let through: {judged:?}");
        }
    }
    for url in THIS_MACHINE {
        assert!(strict().judge(url).is_err(), "{url} was let through");
        let judged = development().judge(url);
        assert!(judged.as_ref().is_ok_and(|target| target.loopback), "{url}: {judged:?}");
    }
    let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
    assert!(strict().judge(&long).is_err());
    let label = format!("https://{}.example.com/", "a".repeat(64));
    assert!(strict().judge(&label).is_err());
}

#[test]
fn one_wrong_address_of_a_name_is_enough() {
    let judge = |rules: &Rules, addresses: &[&str], loopback| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        rules.judge_addresses(&addresses, loopback).is_ok()
    };
    assert!(judge(&strict(), &["8.8.8.8", "2606:4700::1111"], false));
    for addresses in
        [&[] as &[&str], &["10.0.0.1"], &["8.8.8.8", "127.0.0.1"], &["8.8.8.8", "::ffff:8.8.8.8"]]
    {
        assert!(!judge(&strict(), addresses, false), "{addresses:?}");
        assert!(!judge(&development(), addresses, false), "{addresses:?}");
    }
    assert!(judge(&development(), &["127.0.0.1", "::1"], true));
    assert!(
        !judge(&development(), &["127.0.0.1", "8.8.8.8"], true),
        "`localhost` leads here and nowhere else"
    );
    assert!(!judge(&strict(), &["127.0.0.1"], true));
}
