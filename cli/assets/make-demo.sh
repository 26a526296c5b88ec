#!/bin/sh
# Makes demo.mp4, the clip that `moq demo` publishes: 10 s, 640x360 at 30 fps, a GOP each second, a beep each second.
# Needs ffmpeg with libx264 and drawtext. Run it in this directory; the output is committed.
set -eu
cd "$(dirname "$0")"
font=${FONT:-/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf}
clock="drawtext=fontfile=$font:fontsize=28:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=10:x=(w-tw)/2:y=h-80"
ffmpeg -hide_banner -loglevel error -y \
  -f lavfi -i "testsrc2=size=640x360:rate=30:duration=10" \
  -f lavfi -i "sine=frequency=220:beep_factor=4:sample_rate=48000:duration=10" \
  -vf "$clock:text='Headwater %{pts\\:hms}  %{n}'" \
  -c:v libx264 -preset veryslow -profile:v high -pix_fmt yuv420p -b:v 520k -maxrate 640k -bufsize 640k \
  -g 30 -keyint_min 30 -sc_threshold 0 -bf 2 \
  -c:a aac -b:a 64k -ac 2 -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
  -movflags +faststart demo.mp4
