//! `scenes --fast`: the same cuts, numbers and times without decoding everything.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::call;

/// First frames of the scenes of the clip, and its number of frames.
const CUTS: [u64; 3] = [60, 130, 200];
const FRAMES: u64 = 260;

/// Four still pictures with a moving box, cut without key frames at the cuts, or none without ffmpeg.
fn clip(folder: &TempDir, encoder: &[&str], name: &str) -> Option<PathBuf> {
    let path = folder.path().join(name);
    let scene = |seed: u32, frames: u64| {
        let (a, b) = (seed * 7 + 3, seed * seed * 11);
        format!(
            "nullsrc=s=40x24:d=1:r=1,geq=lum='20+mod(X*X*{a}+Y*{b}\\,200)':\
             cb='60+mod(X*{b}+Y*{a}\\,140)':cr='60+mod(X*Y+{a}*{b}\\,140)',\
             scale=640x360:flags=bicubic,setsar=1,loop=loop=-1:size=1,setpts=N/25/TB,fps=25,\
             trim=end_frame={frames}"
        )
    };
    let ends = CUTS.iter().chain([&FRAMES]);
    let starts = [0].into_iter().chain(CUTS);
    let scenes: Vec<String> = (1..)
        .zip(starts.zip(ends))
        .map(|(seed, (start, end))| format!("{}[s{seed}]", scene(seed, end - start)))
        .collect();
    let graph = format!(
        "{};[s1][s2][s3][s4]concat=n=4,drawbox=x='mod(t*100\\,500)':y=100:w=60:h=60:c=red:t=fill,\
         format=yuv420p",
        scenes.join(";")
    );
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-filter_complex", &graph])
        .args(encoder)
        .arg(&path)
        .status();
    match made {
        Ok(status) => {
            assert!(status.success(), "ffmpeg {name}: {status}");
            Some(path)
        }
        Err(error) => {
            println!("skipped: no ffmpeg command: {error}");
            None
        }
    }
}

fn list(path: &std::path::Path, more: &[&str]) -> Value {
    let arguments = ["scenes", "--json", "-d", "content"].into_iter();
    let ran = call(
        arguments
            .chain(more.iter().copied())
            .chain([path.to_str().unwrap()]),
    );
    ran.expect(0).json()[0].clone()
}

#[test]
fn cuts_numbers_and_times_are_those_of_the_exact_pass() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let encoders: [(&str, &[&str]); 4] = [
        ("cut.mp4", &["-c:v", "libx264"]),
        (
            "fixed.mp4",
            &[
                "-c:v",
                "libx264",
                "-g",
                "50",
                "-sc_threshold",
                "0",
                "-bf",
                "3",
            ],
        ),
        (
            "open.mkv",
            &[
                "-c:v",
                "libx264",
                "-x264-params",
                "open-gop=1:keyint=40:scenecut=0",
            ],
        ),
        (
            "vp9.webm",
            &[
                "-c:v",
                "libvpx-vp9",
                "-cpu-used",
                "8",
                "-deadline",
                "realtime",
            ],
        ),
    ];
    for (name, encoder) in encoders {
        let Some(path) = clip(&folder, encoder, name) else {
            continue;
        };
        let (exact, fast) = (list(&path, &[]), list(&path, &["--fast"]));
        let starts: Vec<u64> = fast["scenes"].as_array().unwrap()[1..]
            .iter()
            .map(|scene| scene["start_frame"].as_u64().unwrap())
            .collect();
        assert_eq!(starts, CUTS, "{name}");
        assert_eq!(fast["frames"], FRAMES, "{name}");
        for key in ["frames", "fps"] {
            assert_eq!(fast[key], exact[key], "{name}: {key}");
        }
        let spans = |list: &Value| -> Vec<Value> {
            let scenes = list["scenes"].as_array().unwrap().iter();
            let keys = ["start_frame", "end_frame", "start_pts", "end_pts"];
            scenes
                .flat_map(|scene| keys.map(|key| scene[key].clone()))
                .collect()
        };
        assert_eq!(spans(&fast), spans(&exact), "{name}");
    }
}
