//! Other ranges judge by the numbers of an earlier run, without another pass over the videos.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::clips::{good_manifest, mixed_manifest};
use crate::program::{NO_WEIGHTS, call, run};
use crate::run_folder::digests;

struct Setting {
    folder: TempDir,
    manifest: PathBuf,
}

impl Setting {
    fn new(manifest: impl Fn(&Path) -> Option<PathBuf>) -> Option<Self> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let manifest = manifest(folder.path())?;
        Some(Self { folder, manifest })
    }

    /// Runs and gives how many remembered results of each kind were used.
    fn run(&self, out: &str, sets: &[&str], code: i32) -> Value {
        let out = self.folder.path().join(out);
        let mut more: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        more.push("--json");
        run(&self.manifest, &out, &more).expect(code).json()["reused"].clone()
    }

    fn digests(&self, out: &str) -> impl PartialEq + std::fmt::Debug {
        digests(&self.folder.path().join(out))
    }

    fn plan(&self, out: &str, sets: &[&str]) -> Value {
        let out = self.folder.path().join(out);
        let (out, manifest) = (out.to_str().unwrap(), self.manifest.to_str().unwrap());
        let mut arguments = vec!["plan", "--json", "--out", out, "--manifest", manifest];
        arguments.extend(NO_WEIGHTS);
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        call(arguments).expect(0).json()
    }
}

#[test]
fn tighter_ranges_judge_every_video_by_its_numbers() {
    let Some(setting) = Setting::new(good_manifest) else {
        return;
    };
    assert_eq!(setting.run("out", &[], 0), serde_json::json!({}));
    for tighter in [
        "filters.changed_area.max=0.03",
        "filters.duration.min=5.5",
        "filters.camera_shift.max=0.0001",
    ] {
        let planned = setting.plan("out", &[tighter]);
        assert_eq!(planned["videos_measured"], 5, "{tighter}");
        let used = setting.run("out", &[tighter], 0);
        assert_eq!(used["measured"], 5, "{tighter}");
        assert_eq!(used.get("split"), None, "{tighter}");
        setting.run("fresh", &[tighter], 0);
        assert_eq!(
            setting.digests("out"),
            setting.digests("fresh"),
            "{tighter}"
        );
        std::fs::remove_dir_all(setting.folder.path().join("fresh")).unwrap();
    }
}

#[test]
fn looser_ranges_decode_only_where_a_number_is_missing() {
    let Some(setting) = Setting::new(good_manifest) else {
        return;
    };
    // The only scenes this rejects are the two of one clip, before anything else was measured.
    let tight = ["filters.duration.min=4"];
    let loose = ["filters.duration.min=1"];
    setting.run("out", &tight, 0);
    let planned = setting.plan("out", &loose);
    assert_eq!(
        (&planned["videos_measured"], &planned["videos_cut"]),
        (&4.into(), &1.into())
    );
    let used = setting.run("out", &loose, 0);
    assert_eq!(used, serde_json::json!({"measured": 4, "split": 1}));
    setting.run("fresh", &loose, 0);
    assert_eq!(setting.digests("out"), setting.digests("fresh"));
    // Now all is known, in both directions.
    let used = setting.run("out", &tight, 0);
    assert_eq!(used, serde_json::json!({"measured": 5}));
}

#[test]
fn a_run_that_records_everything_can_be_judged_by_any_ranges() {
    let Some(setting) = Setting::new(good_manifest) else {
        return;
    };
    let everything = ["output.mode=score"];
    setting.run("out", &everything, 0);
    let ranges = [
        "filters.duration.min=0.1",
        "filters.camera_shift.max=0.5",
        "filters.changed_area.max=0.9",
    ];
    let used = setting.run("out", &ranges, 0);
    assert_eq!(used, serde_json::json!({"measured": 5}));
    setting.run("fresh", &ranges, 0);
    assert_eq!(setting.digests("out"), setting.digests("fresh"));
}

#[test]
fn what_the_numbers_depend_on_makes_them_anew_and_damaged_videos_are_not_remembered() {
    let Some(setting) = Setting::new(mixed_manifest) else {
        return;
    };
    setting.run("out", &[], 3);
    let finer = ["sample_frames.per_sec=3"];
    assert_eq!(setting.run("out", &finer, 3).get("measured"), None);
    let other = ["sample_frames.per_sec=3", "propose_pairs.max_per_scene=2"];
    assert_eq!(setting.run("out", &other, 3).get("measured"), None);
    let judged = ["filters.changed_area.max=0.05"];
    let used = setting.run("out", &judged, 3);
    assert_eq!(used["measured"], 5, "the damaged one is decoded again");
    setting.run("fresh", &judged, 3);
    assert_eq!(setting.digests("out"), setting.digests("fresh"));
}
