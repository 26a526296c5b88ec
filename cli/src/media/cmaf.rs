//! Writing CMAF: the header of a track (`ftyp` + `moov`) and fragments (`moof` + `mdat`), ISO/IEC 23000-19.

use bytes::Bytes;
use mp4_atom::{
    Atom, BufMut, Dinf, Dref, Encode, Error, FourCC, Ftyp, Hdlr, Mdhd, Mfhd, Moof, Mvex, Mvhd, Smhd, Stco,
    Stsc, Stsz, Stts, Tfdt, Tfhd, Tkhd, Traf, Trex, Trun, TrunEntry, Url, Vmhd,
};

use super::{MediaKind, Sample, TrackInfo};

/// A header or fragment that does not fit the format: larger than 4 GiB, for example.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the MP4")]
#[non_exhaustive]
pub struct EncodeError(#[from] Error);

/// Sample flags of a keyframe: depends on nothing.
const SYNC: u32 = 0x0200_0000;
/// Sample flags of any other frame: depends on others, is no sync sample.
const NON_SYNC: u32 = 0x0101_0000;

/// The CMAF header of one track: `ftyp` and a `moov` without samples. Its track id is that of `track`.
///
/// # Errors
/// The source's sample entry is too large for a box.
pub fn init_segment(track: &TrackInfo) -> Result<Bytes, EncodeError> {
    header([(track.id, track)])
}

/// The header of a file with several tracks, each with the id to give it.
pub(super) fn header<'a>(
    tracks: impl IntoIterator<Item = (u32, &'a TrackInfo)> + Clone,
) -> Result<Bytes, EncodeError> {
    let mut out = Vec::with_capacity(2048);
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: vec![b"iso6".into(), b"cmfc".into(), b"mp41".into()],
    };
    ftyp.encode(&mut out)?;
    out.encode_atom(FourCC::new(b"moov"), |out| {
        let next_track_id = tracks
            .clone()
            .into_iter()
            .map(|(id, _)| id)
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        Mvhd {
            timescale: 1000,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id,
            ..Default::default()
        }
        .encode(out)?;
        for (id, track) in tracks.clone() {
            trak(id, track, out)?;
        }
        let trex = tracks.into_iter().map(|(id, track)| Trex {
            track_id: id,
            default_sample_description_index: 1,
            default_sample_duration: track.defaults.duration,
            ..Default::default()
        });
        Mvex {
            mehd: None,
            trex: trex.collect(),
        }
        .encode(out)
    })?;
    Ok(out.into())
}

fn trak(id: u32, track: &TrackInfo, out: &mut Vec<u8>) -> Result<(), Error> {
    let video = track.kind == MediaKind::Video;
    let display = &track.display;
    let tkhd = Tkhd {
        track_id: id,
        enabled: true,
        in_movie: true,
        volume: u8::from(!video).into(),
        matrix: display.matrix.clone(),
        width: display.width,
        height: display.height,
        ..Default::default()
    };
    let mdhd = Mdhd {
        timescale: track.timescale.get(),
        language: track.language.clone(),
        ..Default::default()
    };
    let hdlr = Hdlr {
        handler: if video { b"vide".into() } else { b"soun".into() },
        name: if video {
            "VideoHandler".to_owned()
        } else {
            "SoundHandler".to_owned()
        },
    };
    out.encode_atom(FourCC::new(b"trak"), |out| {
        tkhd.encode(out)?;
        out.encode_atom(FourCC::new(b"mdia"), |out| {
            mdhd.encode(out)?;
            hdlr.encode(out)?;
            out.encode_atom(FourCC::new(b"minf"), |out| {
                if video {
                    Vmhd::default().encode(out)?
                } else {
                    Smhd::default().encode(out)?
                }
                Dinf {
                    dref: Dref {
                        entries: vec![Url::default().into()],
                    },
                }
                .encode(out)?;
                out.encode_atom(FourCC::new(b"stbl"), |out| {
                    // The sample entry is copied, not decoded and encoded: no box inside it is lost.
                    out.encode_atom(FourCC::new(b"stsd"), |out| {
                        out.append_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
                        out.append_slice(&track.sample_entry);
                        Ok(())
                    })?;
                    Stts::default().encode(out)?;
                    Stsc::default().encode(out)?;
                    Stsz::default().encode(out)?;
                    Stco::default().encode(out)
                })
            })
        })
    })
}

/// One fragment: `samples` of one track, in decode order and without gaps, as `moof` + `mdat`.
///
/// `base` is the decode time of the first sample; the samples' own times are not used.
pub(super) fn fragment(id: u32, sequence: u32, base: u64, samples: &[Sample]) -> Result<Bytes, EncodeError> {
    let data: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let size = u32::try_from(data)
        .ok()
        .and_then(|data| data.checked_add(8))
        .ok_or(Error::TooLarge(FourCC::new(b"mdat")))?;
    let mut moof = moof(id, sequence, base, samples)?;
    let mut out = Vec::with_capacity(256 + 16 * samples.len() + data);
    moof.encode(&mut out)?;
    // The offset of the data is only known now; it has a fixed width, so the second writing has the same length.
    let offset = i32::try_from(out.len() + 8).map_err(|_range| Error::TooLarge(Moof::KIND))?;
    for trun in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun) {
        trun.data_offset = Some(offset);
    }
    out.clear();
    moof.encode(&mut out)?;
    size.encode(&mut out)?;
    FourCC::new(b"mdat").encode(&mut out)?;
    for sample in samples {
        out.extend_from_slice(&sample.data);
    }
    Ok(out.into())
}

fn moof(id: u32, sequence: u32, base: u64, samples: &[Sample]) -> Result<Moof, Error> {
    let flags = |sample: &Sample| if sample.keyframe { SYNC } else { NON_SYNC };
    let same_flags = samples
        .first()
        .map(flags)
        .filter(|first| samples.iter().all(|sample| flags(sample) == *first));
    let reordered = samples.iter().any(|sample| sample.offset != 0);
    let mut entries = Vec::with_capacity(samples.len());
    for sample in samples {
        entries.push(TrunEntry {
            duration: Some(sample.duration),
            size: Some(u32::try_from(sample.data.len()).map_err(|_range| Error::TooLarge(Trun::KIND))?),
            flags: if same_flags.is_some() {
                None
            } else {
                Some(flags(sample))
            },
            cts: reordered.then_some(sample.offset.into()),
        });
    }
    let tfhd = Tfhd {
        track_id: id,
        default_sample_flags: same_flags,
        default_base_is_moof: true,
        ..Default::default()
    };
    let traf = Traf {
        tfhd,
        tfdt: Some(Tfdt {
            base_media_decode_time: base,
        }),
        trun: vec![Trun {
            data_offset: Some(0),
            samples: entries.into(),
        }],
        ..Default::default()
    };
    Ok(Moof {
        mfhd: Mfhd {
            sequence_number: sequence,
        },
        traf: vec![traf],
    })
}
