//! One end of a connection, by which classifiers find the process that is there
//! (probes/include/network.h).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Size in bytes of `struct flow`.
pub const FLOW_SIZE: usize = 44;

/// One end of a connection as its own network namespace names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Inode of the network namespace.
    pub net_namespace: u32,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u16,
    /// This end; its address is unspecified for a socket that takes packets at every one.
    pub local: SocketAddr,
    /// The other end; `None` for a socket that takes packets from anyone.
    pub remote: Option<SocketAddr>,
}

impl Flow {
    /// The bytes of `struct flow`.
    pub fn key(&self) -> [u8; FLOW_SIZE] {
        let port = self.remote.map_or(0, |remote| remote.port());
        let remote = self.remote.map(|remote| mapped(remote.ip()));
        let ports = [self.protocol, self.local.port(), port, 0];
        let parts = self.net_namespace.to_le_bytes().into_iter();
        let parts = parts.chain(ports.into_iter().flat_map(u16::to_le_bytes));
        let parts = parts.chain(mapped(self.local.ip()).octets());
        let parts = parts.chain(remote.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
        let mut key = [0; FLOW_SIZE];
        for (to, from) in key.iter_mut().zip(parts) {
            *to = from;
        }
        key
    }
}

/// IPv4 as ::ffff:a.b.c.d.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_as_the_probes_build_them() {
        let flow = Flow {
            net_namespace: 0x0102_0304,
            protocol: 17,
            local: "10.0.0.2:4386".parse().unwrap(),
            remote: Some("10.0.0.1:53".parse().unwrap()),
        };
        let address = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
        let start = [4, 3, 2, 1, 17, 0, 0x22, 0x11, 53, 0, 0, 0];
        let expected = [&start[..], &address(2), &address(1)].concat();
        assert_eq!(flow.key().to_vec(), expected);
        let anyone = Flow {
            local: "[::]:53".parse().unwrap(),
            remote: None,
            ..flow
        };
        assert_eq!(anyone.key()[8..], [0; 36]);
    }
}
