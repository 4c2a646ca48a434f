//! The secret that the server shares with its receivers.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// Bytes of a secret, as Standard Webhooks asks for.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key that signs messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads a secret: `whsec_` and 24 to 64 bytes as base64.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it is repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| format!("it begins with {PREFIX}"))?;
        let key = STANDARD.decode(encoded).map_err(|_| format!("what follows {PREFIX} is not base64"))?;
        if !BYTES.contains(&key.len()) {
            return Err(format!("it stands for {} bytes, and needs {} to {}", key.len(), BYTES.start(), BYTES.end()));
        }
        Ok(Self(key))
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // A key may have any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_libraries_of_standard_webhooks_do() {
        // The example that their own tests hold them to.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        let of = |bytes: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7; bytes]));
        for bytes in [24, 32, 64] {
            assert!(Secret::parse(&of(bytes)).is_ok(), "{bytes}");
        }
        let shown = format!("{:?}", Secret::parse(&of(32)));
        assert_eq!(shown, "Ok(Secret(…))");
        for (bad, word) in [
            (of(23), "23 bytes"),
            (of(65), "65 bytes"),
            (PREFIX.into(), "0 bytes"),
            (of(32).replace(PREFIX, ""), "begins with"),
            (of(32).replace(PREFIX, "whsk_"), "begins with"),
            (of(32) + "!", "base64"),
            (of(32) + " ", "base64"),
            (String::new(), "begins with"),
        ] {
            let error = Secret::parse(&bad).expect_err(&bad);
            assert!(error.contains(word), "{bad}: {error}");
            assert!(!error.contains("BwcH"), "{error}");
        }
    }
}
