//! Looks names up, and lets only those addresses through that messages may go to.
//!
//! The connection is made to the very addresses that were looked at: a name that leads elsewhere at a second look (DNS
//! rebinding) gets none. Addresses that stand in a URL as they are are not looked up, so they do not come by here:
//! [`Reach::refusal`] sees to them.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::job::address::is_public;
use crate::job::webhook::{Reach, not_public};

/// Looks names up for a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard(pub(super) Reach);

/// A name that leads nowhere that messages may go to.
#[derive(Debug, thiserror::Error)]
#[error("{}", not_public(.0))]
struct Barred(String);

impl Guard {
    fn admits(self, address: IpAddr) -> bool {
        match self.0 {
            Reach::Public => is_public(address),
            Reach::Any => true,
        }
    }

    /// Those of a name's addresses that are allowed; at least one.
    fn admitted(
        self,
        name: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let admitted: Vec<_> = found.filter(|address| self.admits(address.ip())).collect();
        if admitted.is_empty() { Err(Barred(name.into()).into()) } else { Ok(admitted) }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Addrs = Box::new(guard.admitted(name.as_str(), found)?.into_iter());
            Ok(admitted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(reach: Reach, addresses: &[&str]) -> Result<Vec<String>, String> {
        let found = addresses.iter().map(|text| SocketAddr::new(text.parse().expect(text), 0));
        let admitted = Guard(reach).admitted("example.com", found).map_err(|error| error.to_string())?;
        Ok(admitted.iter().map(|address| address.ip().to_string()).collect())
    }

    #[test]
    fn only_public_addresses_of_a_name_are_connected_to() {
        let mixed = ["10.0.0.1", "93.184.215.14", "::1", "2606:2800::1", "::ffff:8.8.8.8"];
        assert_eq!(admitted(Reach::Public, &mixed), Ok(vec!["93.184.215.14".into(), "2606:2800::1".into()]));
        assert_eq!(admitted(Reach::Any, &mixed).map(|all| all.len()), Ok(5));
        for none in [&["169.254.169.254", "fd00:ec2::254"][..], &["127.0.0.1"], &[]] {
            let error = admitted(Reach::Public, none).expect_err("nothing is left");
            assert!(error.contains("`example.com` is no address of the public internet"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_leads_nowhere() {
        let name = || "localhost".parse::<Name>().expect("a name");
        assert!(Guard(Reach::Public).resolve(name()).await.is_err());
        let found: Vec<_> = Guard(Reach::Any).resolve(name()).await.expect("addresses").collect();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    }
}
