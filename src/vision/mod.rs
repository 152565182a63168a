//! Classical computer vision. The only place that names `opencv`.
