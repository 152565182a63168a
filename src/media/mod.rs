//! Decoding, in process through libav. The only place that names `ffmpeg_next`.
