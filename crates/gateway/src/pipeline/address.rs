//! Where a request came from: the other end of the connection or, behind proxies we were told of, whom the last of these
//! says it is.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use http::HeaderMap;
use ipnet::IpNet;

/// Puts the client's address in the place of the proxy's, for all that count or note it. Only the entries of
/// `X-Forwarded-For` that trusted proxies added are believed: from the right, up to the first that is none of them.
pub fn believe(request: &mut Request, proxies: &[IpNet]) {
    let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() else {
        return;
    };
    let trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if trusted(&peer.ip().to_canonical())
        && let Some(client) = forwarded(request.headers()).find(|address| !trusted(address))
    {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, peer.port())));
    }
}

/// The chain a request says it came, the nearest first; it ends at what is no address.
fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = IpAddr> + use<> {
    let values = headers.get_all("x-forwarded-for").into_iter().filter_map(|v| v.to_str().ok());
    let all: Vec<_> = values.flat_map(|v| v.split(',')).map(|v| v.trim().parse::<IpAddr>().ok()).collect();
    all.into_iter().rev().map_while(|address| address.map(|a| a.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &str, proxies: &[&str]) -> String {
        let request = http::Request::builder().header("x-forwarded-for", forwarded);
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        let proxies: Vec<IpNet> = proxies.iter().map(|p| p.parse().unwrap()).collect();
        believe(&mut request, &proxies);
        request.extensions().get::<ConnectInfo<SocketAddr>>().unwrap().0.ip().to_string()
    }

    #[test]
    fn only_proxies_we_know_are_believed() {
        assert_eq!(from("192.0.2.1", "203.0.113.9", &[]), "192.0.2.1", "anybody can write a header");
        assert_eq!(from("10.0.0.5", "203.0.113.9", &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(from("10.0.0.5", "198.51.100.1, 203.0.113.9, 10.0.0.7", &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(from("10.0.0.5", "203.0.113.9, rubbish", &["10.0.0.0/8"]), "10.0.0.5");
        assert_eq!(from("::ffff:10.0.0.5", "2001:db8::1", &["10.0.0.0/8"]), "2001:db8::1");
    }
}
