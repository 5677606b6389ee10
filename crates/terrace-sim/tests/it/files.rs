//! Traces on disk.

use std::fs::File;

use terrace_sim::{Trace, TraceWriter};

#[test]
fn a_trace_written_to_a_file_opens_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made_up.trc.zst");
    let made = Trace::open("shift:keys=500,hot=20,requests=9000,size=50").unwrap();
    let mut writer = TraceWriter::new(File::create(&path).unwrap()).unwrap();
    for record in made.records() {
        writer.write(*record).unwrap();
    }
    writer.finish().unwrap();
    let read = Trace::open(path.to_str().unwrap()).unwrap();
    assert_eq!((read.name(), read.records()), ("made_up", made.records()));
    assert_eq!(read.unique_bytes(), made.unique_bytes());
}

#[test]
fn a_file_cut_short_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.trc.zst");
    let mut writer = TraceWriter::new(Vec::new()).unwrap();
    for record in Trace::open("scan:requests=9000").unwrap().records() {
        writer.write(*record).unwrap();
    }
    let whole = writer.finish().unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = Trace::open(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("cut.trc.zst") && error.contains("truncated"), "{error}");
}
