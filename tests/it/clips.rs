//! The videos that tests work on: made on the spot by the `ffmpeg` command, and those of folders
//! that may or may not be there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use framewright::store::{create_dir, publish_bytes};

/// Change it with the clips, so that old ones are not taken for new ones.
const VERSION: &str = "clips-1";

/// Noisy pictures: cameras are told from objects by features, and a still is rejected.
const GROUND: &str = "nullsrc=s=64x36:d=1:r=1,geq=lum='40+random(1)*170':cb='100+random(2)*56':\
                      cr='100+random(3)*56',scale=512x288:flags=bicubic,setsar=1";
const OTHER_GROUND: &str = "nullsrc=s=40x24:d=1:r=1,geq=lum='20+random(4)*120':\
                            cb='80+random(5)*96':cr='80+random(6)*96',scale=512x288:flags=bicubic,\
                            setsar=1";
const NOISE: &str = "noise=alls=6:allf=t:all_seed=3";

/// First frame of the second scene of `cut.mp4`, and its number of frames.
pub(crate) const CUT_AT: (u64, u64) = (30, 60);

/// Clips that give pairs, or reasons not to.
pub(crate) const GOOD: [&str; 5] = ["move.mp4", "appear.mp4", "other.mp4", "cut.mp4", "pan.mp4"];

/// The folder of made clips; none, with a line saying so, where there is no `ffmpeg`.
pub(crate) fn clips() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(VERSION);
        create_dir(&folder).unwrap();
        // Another process of the same tests may be making them right now.
        let lock = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("lock"))
            .unwrap();
        lock.lock().unwrap();
        if !folder.join("done").is_file() {
            make(&folder)?;
            publish_bytes(&folder.join("done"), b"").unwrap();
        }
        Some(folder)
    });
    if folder.is_none() {
        println!("skipped: no ffmpeg command on this machine");
    }
    folder.as_deref()
}

/// One clip of [`clips`].
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    clips().map(|folder| folder.join(name))
}

fn make(folder: &Path) -> Option<()> {
    let ffmpeg = |arguments: &[&str]| {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments)
            .current_dir(folder)
            .status();
        match status {
            Ok(status) => {
                assert!(status.success(), "ffmpeg {arguments:?}: {status}");
                Some(())
            }
            Err(_) => None,
        }
    };
    ffmpeg(&["-f", "lavfi", "-i", GROUND, "-frames:v", "1", "ground.png"])?;
    ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        OTHER_GROUND,
        "-frames:v",
        "1",
        "other_ground.png",
    ])?;
    let still = |name| ["-loop", "1", "-framerate", "12", "-i", name];
    let with_box = |ground, color: &str, at: &str, name: &str| {
        let color = format!("color={color}:r=12");
        let graph = format!("[0][1]overlay={at},{NOISE}");
        let mut arguments = still(ground).to_vec();
        arguments.extend(["-f", "lavfi", "-i", &color, "-filter_complex", &graph]);
        arguments.extend(["-t", "6", "-pix_fmt", "yuv420p", name]);
        ffmpeg(&arguments)
    };
    with_box("ground.png", "red:s=80x80", "x='30+60*t':y=96", "move.mp4")?;
    with_box(
        "ground.png",
        "blue:s=72x80",
        "x=200:y='-80+60*t'",
        "appear.mp4",
    )?;
    with_box(
        "other_ground.png",
        "yellow:s=72x90",
        "x='380-50*t':y=100",
        "other.mp4",
    )?;

    let cut = CUT_AT.0;
    let graph =
        format!("[0]trim=end_frame={cut}[a];[1]trim=end_frame={cut}[b];[a][b]concat=n=2,{NOISE}");
    let mut arguments = still("ground.png").to_vec();
    arguments.extend(still("other_ground.png"));
    arguments.extend(["-filter_complex", &graph, "-pix_fmt", "yuv420p", "cut.mp4"]);
    ffmpeg(&arguments)?;

    let mut arguments = still("ground.png").to_vec();
    let pan = "scale=1024x576,setsar=1,crop=512:288:x='t*60':y=100";
    arguments.extend(["-vf", pan, "-t", "5", "-pix_fmt", "yuv420p", "pan.mp4"]);
    ffmpeg(&arguments)?;

    // The index in front, so that the beginning can still be decoded.
    ffmpeg(&[
        "-i",
        "move.mp4",
        "-c",
        "copy",
        "-movflags",
        "+faststart",
        "front.mp4",
    ])?;
    let whole = std::fs::read(folder.join("front.mp4")).unwrap();
    publish_bytes(
        &folder.join("truncated.mp4"),
        &whole[..whole.len() * 6 / 10],
    )
    .unwrap();
    publish_bytes(&folder.join("text.mp4"), b"this is no video\n").unwrap();
    publish_bytes(&folder.join("empty.mp4"), b"").unwrap();
    Some(())
}

/// A manifest in `folder` of the good clips with their licences, damaged ones and one that is
/// missing: 9 rows.
pub(crate) fn mixed_manifest(folder: &Path) -> Option<PathBuf> {
    let clips = clips()?;
    let damaged = ["truncated.mp4", "text.mp4", "empty.mp4", "missing.mp4"];
    let mut text = String::new();
    for name in GOOD.iter().chain(&damaged) {
        let line = serde_json::json!({
            "uri": clips.join(name),
            "license": format!("licence of {name}"),
            "source": format!("source of {name}"),
        });
        writeln!(text, "{line}").unwrap();
    }
    Some(publish_text(folder, "manifest.jsonl", &text))
}

/// A manifest in `folder` of the good clips only.
pub(crate) fn good_manifest(folder: &Path) -> Option<PathBuf> {
    let clips = clips()?;
    let lines = GOOD.map(|name| serde_json::json!({"uri": clips.join(name)}).to_string());
    Some(publish_text(folder, "good.jsonl", &lines.join("\n")))
}

/// A copy of a clip under another name, with a content of its own but the same pictures.
pub(crate) fn copy_of(clip: &str, folder: &Path, name: &str) -> Option<PathBuf> {
    let copy = folder.join(name);
    let mut bytes = std::fs::read(clips()?.join(clip)).unwrap();
    // A box after the last one changes the file's hash and nothing else.
    bytes.extend((8 + name.len() as u32).to_be_bytes());
    bytes.extend(b"free");
    bytes.extend(name.as_bytes());
    publish_bytes(&copy, &bytes).unwrap();
    Some(copy)
}

/// A manifest in `folder` of these videos.
pub(crate) fn manifest_of(folder: &Path, videos: &[PathBuf]) -> PathBuf {
    let lines = videos
        .iter()
        .map(|video| serde_json::json!({ "uri": video }).to_string());
    let lines: Vec<String> = lines.collect();
    publish_text(folder, "manifest.jsonl", &lines.join("\n"))
}

/// A manifest in `folder` of more videos than are worked on at once: copies under other names.
pub(crate) fn long_manifest(folder: &Path, rows: usize) -> Option<PathBuf> {
    let clips = clips()?;
    let mut text = String::new();
    for row in 0..rows {
        let name = GOOD[row % 3];
        let copy = folder.join(format!("{row:02}-{name}"));
        let mut bytes = std::fs::read(clips.join(name)).unwrap();
        // Bytes after the last box change the file's hash and nothing else.
        bytes.extend(format!("\0\0\0\x0cfree{row:04}").bytes());
        publish_bytes(&copy, &bytes).unwrap();
        writeln!(text, "{}", serde_json::json!({ "uri": copy })).unwrap();
    }
    Some(publish_text(folder, "long.jsonl", &text))
}

/// Writes a small text file and gives its path.
pub(crate) fn publish_text(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    publish_bytes(&path, text.as_bytes()).unwrap();
    path
}

/// The folder of shared test videos, or none with a line saying so.
pub(crate) fn shared_videos() -> Option<PathBuf> {
    let shared = std::env::var_os("FRAMEWRIGHT_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("videos");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no folder of shared videos");
    None
}

/// The clips of `make demo`, or none with a line saying so.
pub(crate) fn demo_clips() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("out/demo-clips");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no demo clips; `make demo` fetches them");
    None
}
