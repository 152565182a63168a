//! Which network addresses may be asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use reqwest::Url;

use crate::core::{ErrorKind, ItemError};

/// Host and socket addresses of an address, all of them checked.
pub(super) fn resolve(
    url: &Url,
    allow_private: bool,
) -> Result<(String, Vec<SocketAddr>), ItemError> {
    let refused = |what: String| ItemError::new(ErrorKind::Unsupported, what);
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(format!(
            "{}: only http and https are fetched",
            url.scheme()
        )));
    }
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(refused("the address names no host".to_owned()));
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|error| {
            ItemError::new(
                ErrorKind::Remote,
                format!("host {host} was not found: {error}"),
            )
        })?
        .collect();
    if addresses.is_empty() {
        let what = format!("host {host} has no address");
        return Err(ItemError::new(ErrorKind::Remote, what));
    }
    if !allow_private && let Some(inside) = addresses.iter().find(|at| !is_public(at.ip())) {
        return Err(refused(format!(
            "host {host} is the private address {}; set ingest.allow_private_addresses to fetch \
             from there",
            inside.ip()
        )));
    }
    Ok((host.to_owned(), addresses))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_benchmark = a == 198 && (18..20).contains(&b);
    let is_protocol = a == 192 && b == 0;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || is_shared
        || is_benchmark
        || is_protocol)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Forms that carry an IPv4 address are judged by it: mapped, NAT64, 6to4.
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let parts = address.segments();
    let v4_of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match parts {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(v4_of(high, low))
        }
        // Global unicast is 2000::/3; loopback, unique local, link-local and multicast are not.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_known_in_every_form() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b:1::7f00:1",
            "ff02::1",
            "fec0::1",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "93.184.216.34",
            "2606:2800:220:1::1",
            "::ffff:93.184.216.34",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn unusual_spellings_of_inner_hosts_are_refused() {
        for url in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://0/",
            "http://[::ffff:7f00:1]/",
            "http://localhost/",
            "http://u:p@127.0.0.1/",
            "http:\\\\127.0.0.1\\x",
            "http://１２７.0.0.1/",
        ] {
            let error = resolve(&Url::parse(url).unwrap(), false).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported, "{url}: {error}");
            assert!(
                error.what.contains("is the private address"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["file:///etc/passwd", "ftp://127.0.0.1/x"] {
            let error = resolve(&Url::parse(url).unwrap(), true).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported);
        }
    }
}
