//! Encrypted connections to others: whose cryptography they use.

/// Lets clients be built in this process; to be called before each, since no one else is there to.
///
/// rustls' other provider is C that takes a minute to compile; *ring* does what is needed here.
pub fn prepare() {
    // Where it fails, one was chosen before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
