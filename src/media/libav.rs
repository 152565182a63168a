//! The few calls that `ffmpeg_next` has no safe form for, each behind a safe function.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;

use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::format::context::{Input, Output};
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{Dictionary, Error, Rational, encoder, frame};

/// The only demuxers that are used: all of them read one file and nothing else. Playlists,
/// concatenations, picture sequences and network formats are not among them.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,\
hevc,av1,obu,ivf,vc1,flv,live_flv,asf,asf_o,ogg,gif,apng,mxf,nut,wtv,dv,rm,yuv4mpegpipe,mjpeg,gxf,\
roq,nsv,h261,h263,dirac,cavsvideo,mp3,wav,flac,aac,ac3,eac3,aiff,amr,w64,caf";

/// The moment after which libav gives up, shared with its interrupt callback.
#[derive(Clone)]
pub(super) struct Deadline(Arc<Mutex<Instant>>);

impl Deadline {
    pub(super) fn new(at: Instant) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }
    pub(super) fn set(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
    pub(super) fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.get()
    }
}

/// Keeps libav from writing to standard error. Its reasons come back as error codes.
#[expect(unsafe_code, reason = "libav's log level is a process-wide C setting")]
pub(super) fn silence() {
    static ONCE: Once = Once::new();
    // SAFETY: sets one integer inside libav.
    ONCE.call_once(|| unsafe {
        ffi::av_log_set_level(ffi::AV_LOG_QUIET);
    });
    ffmpeg_next::util::error::register_all();
}

/// Opens one local file and reads its stream headers. The `file:` prefix takes the meaning away
/// from `:`, `%` and `[` in names; names need not be UTF-8, which is why `ffmpeg_next` cannot do it.
#[expect(unsafe_code, reason = "opening by a name that is not UTF-8")]
pub(super) fn open_input(path: &Path, deadline: &Deadline) -> Result<Input, Error> {
    silence();
    let mut url = b"file:".to_vec();
    url.extend_from_slice(path.as_os_str().as_bytes());
    let url = CString::new(url).map_err(|_nul| Error::InvalidData)?;
    let mut options = Dictionary::new();
    options.set("protocol_whitelist", "file");
    options.set("format_whitelist", CONTAINERS);
    // A mov file may name other files as its data. These are libav's defaults; they must stay.
    options.set("enable_drefs", "0");
    options.set("use_absolute_path", "0");
    let deadline = deadline.clone();
    let interrupt = ffmpeg_next::util::interrupt::new(Box::new(move || deadline.is_over()));
    // SAFETY: `context` is allocated here and freed by avformat_open_input on failure, by
    // avformat_close_input on the second failure or by `Input`. The callback's state lives in
    // `interrupt.guard`, which outlives the context in every branch.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(Error::Unknown);
        }
        (*context).interrupt_callback = interrupt.interrupt;
        let mut raw_options = options.disown();
        let opened = ffi::avformat_open_input(
            &raw mut context,
            url.as_ptr(),
            ptr::null(),
            &raw mut raw_options,
        );
        drop(Dictionary::own(raw_options));
        if opened < 0 {
            return Err(Error::from(opened));
        }
        let found = ffi::avformat_find_stream_info(context, ptr::null_mut());
        if found < 0 {
            ffi::avformat_close_input(&raw mut context);
            return Err(Error::from(found));
        }
        Ok(Input::wrap_with_interrupt(context, interrupt.guard))
    }
}

/// Has the demuxer drop packets of all streams but these.
#[expect(
    unsafe_code,
    reason = "`ffmpeg_next` cannot set a stream's discard field"
)]
pub(super) fn keep_only(input: &mut Input, streams: &[usize]) {
    // SAFETY: `streams` holds `nb_streams` valid pointers while `input` lives.
    unsafe {
        let context = input.as_mut_ptr();
        for at in 0..(*context).nb_streams as usize {
            if !streams.contains(&at) {
                (**(*context).streams.add(at)).discard = ffi::AVDiscard::AVDISCARD_ALL;
            }
        }
    }
}

/// Whether a packet's frame is decoded for the sake of others only: an edit list leaves it out.
#[expect(
    unsafe_code,
    reason = "the flag is not among those that `Packet` names"
)]
pub(super) fn is_discarded(packet: &ffmpeg_next::Packet) -> bool {
    use ffmpeg_next::packet::Ref as _;
    // SAFETY: reads one integer of a packet that lives.
    let flags = unsafe { (*packet.as_ptr()).flags };
    flags & ffi::AV_PKT_FLAG_DISCARD != 0
}

/// The codec's header that the container holds; empty where there is none.
#[expect(unsafe_code, reason = "`Parameters` does not show it")]
pub(super) fn extradata(parameters: &ffmpeg_next::codec::Parameters) -> Vec<u8> {
    // SAFETY: the pointer and its size belong together and live as long as `parameters`.
    unsafe {
        let raw = parameters.as_ptr();
        let (data, size) = ((*raw).extradata, (*raw).extradata_size);
        if data.is_null() || size <= 0 {
            return Vec::new();
        }
        std::slice::from_raw_parts(data, size as usize).to_vec()
    }
}

/// Goes to the key frame at or before `pts` in ticks of `stream`.
#[expect(
    unsafe_code,
    reason = "`Input::seek` works in microseconds and is not exact"
)]
pub(super) fn seek(input: &mut Input, stream: usize, pts: i64) -> Result<(), Error> {
    // SAFETY: plain call with a valid context.
    let result = unsafe {
        ffi::av_seek_frame(
            input.as_mut_ptr(),
            stream as i32,
            pts,
            ffi::AVSEEK_FLAG_BACKWARD,
        )
    };
    if result < 0 {
        Err(Error::from(result))
    } else {
        Ok(())
    }
}

/// Time of the key frame at or before `pts` by the container's index, if it has one.
#[expect(unsafe_code, reason = "the index has no safe form")]
pub(super) fn key_before(input: &mut Input, stream: usize, pts: i64) -> Option<i64> {
    // SAFETY: `stream` is checked against `nb_streams`; the entry is read before anything else
    // touches the context.
    unsafe {
        let context = input.as_mut_ptr();
        if stream >= (*context).nb_streams as usize {
            return None;
        }
        let entry = ffi::avformat_index_get_entry_from_timestamp(
            *(*context).streams.add(stream),
            pts,
            ffi::AVSEEK_FLAG_BACKWARD,
        );
        (!entry.is_null()).then(|| (*entry).timestamp)
    }
}

/// Sample aspect ratio by stream and frame; 0 when unknown.
#[expect(
    unsafe_code,
    reason = "the guess that weighs container and codec has no safe form"
)]
pub(super) fn sample_aspect(
    input: &mut Input,
    stream: usize,
    frame: &mut frame::Video,
) -> Rational {
    // SAFETY: `stream` is checked against `nb_streams`; both pointers are valid for the call.
    unsafe {
        let context = input.as_mut_ptr();
        if stream >= (*context).nb_streams as usize {
            return Rational::new(0, 1);
        }
        let stream = *(*context).streams.add(stream);
        ffi::av_guess_sample_aspect_ratio(context, stream, frame.as_mut_ptr()).into()
    }
}

/// Gives a frame the time, the field order, the aspect and the colour tags of another.
#[expect(
    unsafe_code,
    reason = "`ffmpeg_next` copies these only with the pixels"
)]
pub(super) fn copy_properties(from: &frame::Video, to: &mut frame::Video) -> Result<(), Error> {
    // SAFETY: both frames are allocated; libav copies plain fields and references.
    let result = unsafe { ffi::av_frame_copy_props(to.as_mut_ptr(), from.as_ptr()) };
    if result < 0 {
        Err(Error::from(result))
    } else {
        Ok(())
    }
}

/// Whether pixels of a format are red, green and blue, also by way of a palette.
#[expect(unsafe_code, reason = "a format's flags have no safe form")]
pub(super) fn is_rgb(format: Pixel) -> bool {
    let flags = (ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL) as u64;
    format.descriptor().is_some_and(|descriptor| {
        // SAFETY: a descriptor points to a static table of libav.
        unsafe { (*descriptor.as_ptr()).flags & flags != 0 }
    })
}

/// Adds a stream that holds the packets of another one as they are.
#[expect(
    unsafe_code,
    reason = "`ffmpeg_next` keeps the codec tag of the source, which other containers refuse"
)]
pub(super) fn add_copy_of(output: &mut Output, stream: &Stream<'_>) -> Result<usize, Error> {
    // SAFETY: the new stream lives as long as `output`; the source's fields are read only.
    unsafe {
        let added = ffi::avformat_new_stream(output.as_mut_ptr(), ptr::null());
        if added.is_null() {
            return Err(Error::Unknown);
        }
        let source = stream.as_ptr();
        let copied = ffi::avcodec_parameters_copy((*added).codecpar, (*source).codecpar);
        if copied < 0 {
            return Err(Error::from(copied));
        }
        (*(*added).codecpar).codec_tag = 0;
        (*added).time_base = (*source).time_base;
        (*added).avg_frame_rate = (*source).avg_frame_rate;
        if (*source).sample_aspect_ratio.num > 0 {
            (*added).sample_aspect_ratio = (*source).sample_aspect_ratio;
            (*(*added).codecpar).sample_aspect_ratio = (*source).sample_aspect_ratio;
        }
        Ok((*added).index as usize)
    }
}

/// Adds a stream for what an encoder makes.
#[expect(
    unsafe_code,
    reason = "`ffmpeg_next` does not set the stream's aspect, which some containers read"
)]
pub(super) fn add_encoded(output: &mut Output, encoder: &encoder::Video) -> Result<usize, Error> {
    // SAFETY: the new stream lives as long as `output`; the encoder is open.
    unsafe {
        let added = ffi::avformat_new_stream(output.as_mut_ptr(), ptr::null());
        if added.is_null() {
            return Err(Error::Unknown);
        }
        let context = encoder.as_ptr();
        let copied = ffi::avcodec_parameters_from_context((*added).codecpar, context);
        if copied < 0 {
            return Err(Error::from(copied));
        }
        (*added).time_base = (*context).time_base;
        (*added).avg_frame_rate = (*context).framerate;
        (*added).sample_aspect_ratio = (*context).sample_aspect_ratio;
        Ok((*added).index as usize)
    }
}

/// The number of horizontally and vertically neighbouring pixels that share chroma.
pub(super) fn chroma_steps(format: Pixel) -> (u32, u32) {
    format.descriptor().map_or((1, 1), |descriptor| {
        (
            1 << descriptor.log2_chroma_w(),
            1 << descriptor.log2_chroma_h(),
        )
    })
}

/// A part of a picture in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// How the numbers of a frame are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colors {
    /// Matrix, numbered as in H.273.
    pub(super) matrix: i32,
    /// Whether 0–255 is used in full.
    pub(super) is_full_range: bool,
}

/// What a scaler was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScalerKey {
    pub(super) source: (Pixel, u32, u32),
    pub(super) colors: Colors,
    pub(super) target: (Pixel, u32, u32),
}

/// A swscale context with its colours set.
pub(super) struct Scaler {
    key: ScalerKey,
    context: *mut ffi::SwsContext,
    output: frame::Video,
}

impl Scaler {
    /// A scaler for one size and format on both sides, to numbers of full range.
    pub(super) fn new(key: ScalerKey) -> Option<Self> {
        let target = Colors {
            matrix: ffi::SWS_CS_DEFAULT,
            is_full_range: true,
        };
        Self::to_colors(key, target)
    }

    /// [`Scaler::new`] for a target with those colours.
    #[expect(
        unsafe_code,
        reason = "`ffmpeg_next` leaves the colour matrix at BT.601"
    )]
    pub(super) fn to_colors(key: ScalerKey, colors: Colors) -> Option<Self> {
        let (source, width, height) = key.source;
        let (target, target_width, target_height) = key.target;
        let filter = if target_width < width || target_height < height {
            ffi::SWS_AREA
        } else {
            ffi::SWS_BICUBIC
        };
        // Exact rounding makes the result the same with every instruction set.
        let flags = filter | ffi::SWS_ACCURATE_RND | ffi::SWS_BITEXACT | ffi::SWS_FULL_CHR_H_INT;
        // SAFETY: plain calls; the coefficient tables are static; a null context is not used.
        let context = unsafe {
            let context = ffi::sws_getContext(
                width as i32,
                height as i32,
                source.into(),
                target_width as i32,
                target_height as i32,
                target.into(),
                flags,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if context.is_null() {
                return None;
            }
            ffi::sws_setColorspaceDetails(
                context,
                ffi::sws_getCoefficients(key.colors.matrix),
                i32::from(key.colors.is_full_range),
                ffi::sws_getCoefficients(colors.matrix),
                i32::from(colors.is_full_range),
                0,
                1 << 16,
                1 << 16,
            );
            context
        };
        Some(Self {
            key,
            context,
            output: frame::Video::new(target, target_width, target_height),
        })
    }

    /// What it was made for.
    pub(super) fn key(&self) -> &ScalerKey {
        &self.key
    }

    /// Scales the part of `frame` that begins at `(x, y)` and has the scaler's source size. The
    /// corner must be a multiple of the chroma steps.
    #[expect(
        unsafe_code,
        reason = "a part of a frame is its plane pointers plus offsets"
    )]
    pub(super) fn run(
        &mut self,
        frame: &frame::Video,
        x: u32,
        y: u32,
    ) -> Option<&mut frame::Video> {
        let (format, width, height) = self.key.source;
        if frame.format() != format || x + width > frame.width() || y + height > frame.height() {
            return None;
        }
        let descriptor = format.descriptor()?;
        let (step_x, step_y) = chroma_steps(format);
        // SAFETY: the part lies inside the frame (checked above), so each plane pointer plus its
        // offset lies inside its plane; the output has the scaler's target size.
        let rows = unsafe {
            let raw = frame.as_ptr();
            let components = &(&(*descriptor.as_ptr()).comp)
                [..usize::from((*descriptor.as_ptr()).nb_components)];
            let mut planes = [ptr::null::<u8>(); 8];
            for (at, plane) in planes.iter_mut().enumerate() {
                let start = (*raw).data[at];
                if start.is_null() {
                    continue;
                }
                let Some(number) = components.iter().position(|c| c.plane as usize == at) else {
                    *plane = start; // a palette
                    continue;
                };
                let is_chroma = number == 1 || number == 2;
                let (px, py) = if is_chroma {
                    (x / step_x, y / step_y)
                } else {
                    (x, y)
                };
                // Of a packed 4:2:2 plane the first component is luma; its step counts both.
                let bytes = px as usize * components[number].step.unsigned_abs() as usize;
                let row = (*raw).linesize[at] as isize * py as isize;
                *plane = start.offset(row).add(bytes);
            }
            ffi::sws_scale(
                self.context,
                planes.as_ptr(),
                (*raw).linesize.as_ptr(),
                0,
                height as i32,
                (*self.output.as_mut_ptr()).data.as_ptr(),
                (*self.output.as_mut_ptr()).linesize.as_ptr(),
            )
        };
        (rows > 0).then_some(&mut self.output)
    }
}

impl Drop for Scaler {
    #[expect(unsafe_code, reason = "frees the C context")]
    fn drop(&mut self) {
        // SAFETY: `context` came from sws_getContext and is freed once.
        unsafe { ffi::sws_freeContext(self.context) };
    }
}
