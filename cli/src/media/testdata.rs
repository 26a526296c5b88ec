//! The MP4 vectors of the tests, made by `cli/tests/vectors/make.sh`.

macro_rules! vectors {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) const $name: &[u8] = include_bytes!(concat!("../../tests/vectors/", $file));)*
        pub(super) const ALL: &[(&str, &[u8])] = &[$(($file, $name)),*];
    };
}

vectors! {
    PROGRESSIVE = "h264-aac-progressive.mp4",
    MOOV_AT_END = "h264-aac-moov-at-end.mp4",
    LIVE = "h264-aac-live.mp4",
    GOP = "h264-aac-gop.mp4",
    VP9_OPUS = "vp9-opus-live.mp4",
    AV1_OPUS = "av1-opus-progressive.mp4",
    HEVC = "hevc-live.mp4",
    AAC = "aac-live.mp4",
}
