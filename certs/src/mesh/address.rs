//! Where a node can be dialled: a host and a UDP port, as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use super::codec::{DecodeError, Reader, Writer};

/// Most addresses of one node in an invite or a record.
pub const MAX_ADDRESSES: usize = 8;
/// Most bytes of a host's name (RFC 1035).
const MAX_HOST: usize = 253;
/// Most bytes of one part of it.
const MAX_LABEL: usize = 63;

/// A host name or IP address, and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Lower case; an IPv6 address without its brackets.
    host: String,
    port: NonZeroU16,
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address: expected HOST:PORT, for example relay.example:4443, 192.0.2.7:4443 or [2001:db8::7]:4443"
)]
pub struct ParseAddressError {
    text: String,
}

impl Address {
    /// The name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port.get()
    }

    fn new(host: &str, port: u16) -> Option<Self> {
        let port = NonZeroU16::new(port)?;
        let host = match host.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_name) if is_name(host) => host.to_ascii_lowercase(),
            Err(_neither) => return None,
        };
        Some(Self { host, port })
    }

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let port = port
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| port.parse().ok())??;
        match host.strip_prefix('[') {
            Some(rest) => {
                let inside = rest.strip_suffix(']')?;
                inside.parse::<Ipv6Addr>().ok()?;
                Self::new(inside, port)
            }
            // Without brackets it would be unclear where an IPv6 address ends.
            None if host.contains(':') => None,
            None => Self::new(host, port),
        }
    }

    fn encode(&self, writer: Writer) -> Writer {
        writer.bytes(self.host.as_bytes()).u16(self.port())
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const FIELD: DecodeError = DecodeError::Field("address");
        let host = std::str::from_utf8(reader.bytes(MAX_HOST, "address")?).map_err(|_utf8| FIELD)?;
        Self::new(host, reader.u16()?)
            .filter(|address| address.host == host)
            .ok_or(FIELD)
    }
}

pub(super) fn encode_list(addresses: &[Address], writer: Writer) -> Writer {
    addresses
        .iter()
        .fold(writer.count(addresses.len()), |writer, address| {
            address.encode(writer)
        })
}

pub(super) fn decode_list(reader: &mut Reader<'_>) -> Result<Vec<Address>, DecodeError> {
    let count = usize::from(reader.u8()?);
    if count > MAX_ADDRESSES {
        return Err(DecodeError::Field("list of addresses"));
    }
    (0..count).map(|_| Address::decode(reader)).collect()
}

/// Letters, digits, hyphens and underscores between single dots; a name of digits alone would be a mistyped IPv4 address.
fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= MAX_HOST
        && name.split('.').all(label)
        && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        Self::parse(text).ok_or_else(|| ParseAddressError {
            text: text.chars().take(MAX_HOST).collect(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_shown_the_same() {
        for (text, shown) in [
            ("relay.example:4443", "relay.example:4443"),
            (" Relay.Example.:1 ", "relay.example.:1"),
            ("192.0.2.7:65535", "192.0.2.7:65535"),
            ("[2001:db8:0::7]:4443", "[2001:db8::7]:4443"),
            ("my_host-2:4443", "my_host-2:4443"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn other_text_is_refused_with_an_example() {
        for text in [
            "",
            "relay.example",
            "relay.example:",
            "relay.example:0",
            "relay.example:65536",
            "relay.example:+1",
            ":4443",
            "2001:db8::7:4443",
            "[192.0.2.7]:4443",
            "[fe80::1%eth0]:4443",
            "192.0.2:4443",
            "a..b:1",
            "moqt://relay.example:4443",
            "user@relay.example:4443",
            "rel ay:1",
            "\u{e9}:1",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("relay.example:4443"), "{text}");
        }
    }
}
