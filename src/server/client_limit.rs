//! A limit for the clients of one network: how many uses they may have at the same time. A use is, for example, the
//! check of a password.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

/// Counts the current uses of each network.
#[derive(Debug)]
pub(super) struct ClientLimit {
    limit: usize,
    uses: Mutex<HashMap<IpAddr, usize>>,
}

/// One use. Dropping this value ends the use.
#[derive(Debug)]
pub(super) struct Use {
    network: IpAddr,
    client_limit: Arc<ClientLimit>,
}

impl ClientLimit {
    pub fn new(limit: usize) -> Self {
        ClientLimit { limit, uses: Mutex::default() }
    }

    /// Begins a use; `None` if the network of the client already has the maximum number of uses.
    pub fn begin(self: &Arc<Self>, client: IpAddr) -> Option<Use> {
        let network = network(client);
        let mut uses = self.uses.lock();
        let count = uses.entry(network).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Use { network, client_limit: Arc::clone(self) })
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut uses = self.client_limit.uses.lock();
        if let Some(count) = uses.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                uses.remove(&self.network);
            }
        }
    }
}

/// The network of a client: an IPv4 address, or the /64 of an IPv6 address, because one client often has a whole /64
/// (RFC 6177).
pub(super) fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_own_limit() {
        let limit = Arc::new(ClientLimit::new(2));
        let begin = |client: &str| limit.begin(client.parse().unwrap());
        let mut uses = vec![begin("10.0.0.1").unwrap(), begin("::ffff:10.0.0.1").unwrap()];
        assert!(begin("10.0.0.1").is_none());
        uses.push(begin("10.0.0.2").unwrap());
        uses.extend([begin("2001:db8::1").unwrap(), begin("2001:db8::2:0:0:1").unwrap()]);
        assert!(begin("2001:db8:0:0:ffff::").is_none(), "the same /64");
        uses.push(begin("2001:db8:0:1::1").unwrap());
        uses.remove(0);
        uses.push(begin("10.0.0.1").unwrap());
        assert!(begin("10.0.0.1").is_none());
        uses.clear();
        assert!(limit.uses.lock().is_empty(), "ended uses need no memory");
    }
}
