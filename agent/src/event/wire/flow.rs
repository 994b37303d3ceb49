//! One end of a connection, by which classifiers find the process that is there
//! (probes/include/network.h).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Size in bytes of `struct flow`.
const KEY: usize = 28;

/// One end of a connection as its own network namespace names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Inode of the network namespace.
    pub net_namespace: u32,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u16,
    /// Port of this end.
    pub local_port: u16,
    /// The other end; `None` for a socket that takes packets from anyone.
    pub remote: Option<SocketAddr>,
}

impl Flow {
    /// The bytes of `struct flow`.
    pub fn key(&self) -> [u8; KEY] {
        let port = self.remote.map_or(0, |remote| remote.port());
        let address = match self.remote.map(|remote| remote.ip()) {
            Some(IpAddr::V4(address)) => address.to_ipv6_mapped(),
            Some(IpAddr::V6(address)) => address,
            None => Ipv6Addr::UNSPECIFIED,
        };
        let mut key = [0; KEY];
        let ports = [self.protocol, self.local_port, port, 0];
        let parts = self.net_namespace.to_le_bytes().into_iter();
        let parts = parts.chain(ports.into_iter().flat_map(u16::to_le_bytes));
        for (to, from) in key.iter_mut().zip(parts.chain(address.octets())) {
            *to = from;
        }
        key
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
            local_port: 0x1122,
            remote: Some("10.0.0.1:53".parse().unwrap()),
        };
        let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        let start = [4, 3, 2, 1, 17, 0, 0x22, 0x11, 53, 0, 0, 0];
        assert_eq!(flow.key().to_vec(), [&start[..], &address].concat());
        let anyone = Flow {
            remote: None,
            ..flow
        };
        assert_eq!(anyone.key()[8..], [0; 20]);
    }
}
