#!/bin/sh
# Makes the MP4 vectors of this folder. Needs ffmpeg with libx264, libx265, libvpx-vp9, libaom-av1 and libopus.
# The output is committed: the tests need no ffmpeg.
set -eu
cd "$(dirname "$0")"
run() { ffmpeg -hide_banner -loglevel error -y "$@"; }
exact="-map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact"
live="-movflags +empty_moov+default_base_moof+frag_every_frame"
video="-f lavfi -i testsrc2=size=160x90:rate=15:duration=2"
audio="-f lavfi -i sine=frequency=440:sample_rate=44100:duration=2"
audio48="-f lavfi -i sine=frequency=440:sample_rate=48000:duration=2"
h264="-c:v libx264 -preset veryslow -pix_fmt yuv420p -crf 40 -g 15 -sc_threshold 0"
aac="-c:a aac -b:a 24k -ac 1"
opus="-c:a libopus -b:a 16k -ac 1"
# shellcheck disable=SC2086
{
run $video $audio $h264 -bf 2 $aac $exact -movflags +faststart h264-aac-progressive.mp4
run $video $audio $h264 -bf 2 $aac $exact h264-aac-moov-at-end.mp4
run $video $audio $h264 -bf 0 $aac $exact $live h264-aac-live.mp4
run $video $audio $h264 -bf 2 $aac $exact -movflags +frag_keyframe+empty_moov+delay_moov h264-aac-gop.mp4
run $video $audio48 -c:v libvpx-vp9 -crf 55 -b:v 0 -g 15 -pix_fmt yuv420p $opus $exact $live vp9-opus-live.mp4
run $video $audio48 -c:v libaom-av1 -cpu-used 8 -crf 55 -b:v 0 -g 15 -pix_fmt yuv420p $opus $exact -movflags +faststart av1-opus-progressive.mp4
run $video -c:v libx265 -preset fast -x265-params log-level=error -crf 42 -g 15 -bf 2 -tag:v hvc1 -pix_fmt yuv420p $exact $live hevc-live.mp4
run $audio $aac $exact $live aac-live.mp4
}
