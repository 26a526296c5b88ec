//! Media in and out: MP4 to CMAF objects, CMAF objects to MP4, and the two catalogs that name the tracks.
//!
//! The way of a broadcast: [`demux`] reads an MP4 (file or pipe) into samples, [`package`] turns samples into
//! CMAF objects (one `moof` + `mdat` each) sorted into groups, [`catalog`] tells subscribers what the tracks are, and
//! [`mux`] writes received objects as one fragmented MP4; [`bare`] makes CMAF of what comes otherwise. Sources: ISO/IEC 14496-12 (boxes), 23000-19 (CMAF),
//! draft-ietf-moq-msf-01 and -cmsf (catalog and object layout), draft-ietf-moq-loc-04, the hang catalog of moq-dev.
//!
//! Everything here is a plain value machine: no clock, no socket; of MoQT, only the properties of an object. Pacing, group ids and tracks on the
//! wire belong to the commands. Bytes from outside never panic and never allocate beyond the bounds stated beside
//! each reader. Not done: decryption, transcoding, codec changes in mid-stream, captions.

pub mod bare;
mod boxes;
pub mod catalog;
mod cmaf;
pub mod demux;
pub mod mux;
pub mod package;
mod track;

#[cfg(test)]
mod testdata;
#[cfg(test)]
mod tests;

pub use cmaf::{EncodeError, init_segment};
pub use track::{MediaKind, Sample, SampleDefaults, TrackInfo};
