//! The names under which a server is reached.

use clap::Args;

use crate::http::{AllowedHost, AllowedHosts, PublicUrl};

/// The names under which a server is reached.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct HostArgs {
    /// Name that requests may have in `Host`, besides localhost and IP addresses; may be given several times, in the variable
    /// separated by commas. `*` allows all names, which is only safe behind a proxy that checks them
    #[arg(
        long = "allowed-host",
        env = "DOJANG_ALLOWED_HOST",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    allowed_hosts: Vec<AllowedHost>,
    /// URL under which browsers reach the server behind a proxy that changes `Host` or speaks TLS for it
    #[arg(long, env = "DOJANG_PUBLIC_URL", value_name = "URL", help_heading = "Network")]
    public_url: Option<PublicUrl>,
}

impl HostArgs {
    /// The hosts that these arguments allow.
    pub(crate) fn allowed(self) -> AllowedHosts {
        AllowedHosts::new(self.allowed_hosts, self.public_url)
    }
}
