//! One declaration per knob: field, documentation, default and range, from which the structure, its checks and the
//! commented file are made.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::quantity::{format_bytes, format_duration};
use super::{CacheConfig, ConfigError, Limits, Secret};

/// A value that can stand in the file.
pub(super) trait Knob {
    /// Appends a commented `#name = value` to `out`; a table appends itself whole.
    fn write_knob(&self, name: &str, docs: &[&str], range: Option<(String, String)>, out: &mut String) {
        out.push('\n');
        for line in docs {
            out.push('#');
            out.push_str(line);
            out.push('\n');
        }
        if let Some((least, most)) = range {
            out.push_str(&format!("# Range: {least} to {most}.\n"));
        }
        out.push_str(&format!("#{name} = {}\n", self.toml()));
    }

    /// The value as TOML writes it.
    fn toml(&self) -> String {
        String::new()
    }

    /// Checks what is inside, for tables.
    fn check_knob(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

impl Knob for SocketAddr {
    fn toml(&self) -> String {
        format!("{:?}", self.to_string())
    }
}

impl Knob for Option<SocketAddr> {
    fn toml(&self) -> String {
        self.map_or_else(|| "\"off\"".into(), |address| address.toml())
    }
}

impl Knob for Option<PathBuf> {
    fn toml(&self) -> String {
        format!(
            "{:?}",
            self.as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default()
        )
    }
}

impl Knob for Option<Secret> {
    /// Secrets are never written.
    fn toml(&self) -> String {
        "\"\"".into()
    }
}

impl Knob for String {
    fn toml(&self) -> String {
        format!("{self:?}")
    }
}

impl Knob for Vec<String> {
    fn toml(&self) -> String {
        format!("{self:?}")
    }
}

impl Knob for bool {
    fn toml(&self) -> String {
        self.to_string()
    }
}

impl Knob for u32 {
    fn toml(&self) -> String {
        self.to_string()
    }
}

/// Every 64-bit number of the configuration is a number of bytes.
impl Knob for u64 {
    fn toml(&self) -> String {
        format!("{:?}", format_bytes(*self))
    }
}

impl Knob for Duration {
    fn toml(&self) -> String {
        format!("{:?}", format_duration(*self))
    }
}

macro_rules! table {
    ($($name:ident),+) => {$(
        impl Knob for $name {
            fn write_knob(&self, name: &str, docs: &[&str], _: Option<(String, String)>, out: &mut String) {
                out.push('\n');
                for line in docs {
                    out.push_str(&format!("#{line}\n"));
                }
                out.push_str(&format!("[{name}]\n"));
                self.write(out);
            }

            fn check_knob(&self) -> Result<(), ConfigError> {
                self.check()
            }
        }
    )+};
}

table!(CacheConfig, Limits);

/// Whether `value` is inside `range`.
pub(super) fn in_range<T: Knob + PartialOrd>(
    key: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        return Ok(());
    }
    let (least, most) = (range.start().toml(), range.end().toml());
    Err(ConfigError::Range {
        key,
        value: value.toml(),
        least,
        most,
    })
}

/// Declares a table of knobs: `/// text`, an optional serde attribute, `name: type = default`, and `, in range` for
/// numbers. The string before `=>` is what precedes a knob's name in error messages.
macro_rules! knobs {
    (
        $(#[doc = $about:literal])+
        $prefix:literal => pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)*)])?
                $field:ident: $type:ty = $default:expr $(, in $range:expr)?,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                $(#[doc = concat!("\n\nRange: `", stringify!($range), "`.")])?
                $(#[serde($($serde)*)])?
                pub $field: $type,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl $name {
            /// Appends every knob with its documentation, commented out.
            fn write(&self, out: &mut String) {
                $(
                    #[allow(unused_mut, unused_assignments, reason = "only knobs with a range assign it")]
                    let mut range = None;
                    $(
                        let limits: std::ops::RangeInclusive<$type> = $range;
                        range = Some((Knob::toml(limits.start()), Knob::toml(limits.end())));
                    )?
                    Knob::write_knob(&self.$field, stringify!($field), &[$($doc),+], range, out);
                )+
            }

            /// Checks the range of every knob.
            fn check(&self) -> Result<(), ConfigError> {
                $(
                    $(
                        let key = concat!($prefix, stringify!($field));
                        knob::in_range(key, &self.$field, &($range))?;
                    )?
                    Knob::check_knob(&self.$field)?;
                )+
                Ok(())
            }
        }
    };
}

pub(super) use knobs;
