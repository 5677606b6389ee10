//! Traces in the formats of others, each as its authors describe it.

use terrace_sim::{Format, Record, import, import_from};

fn records(format: Format, text: impl AsRef<[u8]>) -> Vec<Record> {
    import_from(text.as_ref(), "t", format).unwrap().records().to_vec()
}

/// Numbers of the keys in the order in which they appear, with sizes and times.
fn shape(format: Format, text: &str) -> Vec<(u32, u32, u32)> {
    let trace = import_from(text.as_bytes(), "t", format).unwrap();
    let records = trace.records().iter().zip(trace.ids());
    records.map(|(record, id)| (*id, record.size, record.time)).collect()
}

fn error(format: Format, text: &str) -> String {
    import_from(text.as_bytes(), "some.file", format).unwrap_err().to_string()
}

#[test]
fn oracle_general_is_records_of_24_bytes() {
    let mut bytes = Vec::new();
    for (time, key, size) in [(7u32, 0xffff_ffff_0000_0001u64, 4096u32), (8, 2, 1)] {
        bytes.extend(time.to_le_bytes());
        bytes.extend(key.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend((-1i64).to_le_bytes());
    }
    let expect = [(0xffff_ffff_0000_0001, 4096, 7), (2, 1, 8)];
    let expect = expect.map(|(key, size, time)| Record { key, size, time });
    assert_eq!(records(Format::OracleGeneral, &bytes), expect);
    let cut = import_from(&bytes[..30], "some.file", Format::OracleGeneral).unwrap_err().to_string();
    assert!(cut.contains("some.file") && cut.contains("record 2"), "{cut}");
}

#[test]
fn a_line_of_lis_stands_for_its_blocks() {
    let keys: Vec<u64> = records(Format::Arc, "5 3 0 1\n  900 1 0 2\r\n\n").iter().map(|r| r.key).collect();
    assert_eq!(keys, [5, 6, 7, 900]);
    assert!(error(Format::Arc, "5 1 0 1\n6\n").contains("line or record 2"));
    assert!(error(Format::Arc, "5 99999999999 0 1\n").contains("mistake"));
}

#[test]
fn csv_has_a_heading_in_any_order_or_none() {
    assert_eq!(
        shape(Format::Csv, "Time,size,obj_id\n1.5,10,a\n2,20,b\n3,10,a\n"),
        [(0, 10, 1), (1, 20, 2), (0, 10, 3)]
    );
    assert_eq!(shape(Format::Csv, "8;100\n9;200\n8;100"), [(0, 100, 0), (1, 200, 0), (0, 100, 0)]);
    assert_eq!(shape(Format::Csv, "17\t5\t64\n18\t5\t64"), [(0, 64, 17), (0, 64, 18)]);
    assert_eq!(shape(Format::Csv, "key\n\"a,b\"\n\"a,b\"\nab\n"), [(0, 1, 0), (0, 1, 0), (1, 1, 0)]);
    assert_eq!(records(Format::Csv, "42\n")[0].key, 42);
    assert!(error(Format::Csv, "1,2,3,4\n").contains("heading"));
    assert!(error(Format::Csv, "key,size\na,1\nb\n").contains("line or record 3"));
    assert!(error(Format::Csv, "key,size\na,much\n").contains("`much` is no number"));
}

#[test]
fn reads_of_twitter_are_requests_and_writes_tell_sizes() {
    let trace = "\
0,nz:u:eeW511W3dcH3de3d15ec,22,0,1,get,0
0,nz:u:eeW511W3dcH3de3d15ec,22,1000,1,set,3600
1,nz:u:eeW511W3dcH3de3d15ec,22,1000,1,get,0
2,a,key,with,commas,5,7,3,gets,0
3,nz:u:eeW511W3dcH3de3d15ec,22,0,1,delete,0
";
    assert_eq!(shape(Format::Twitter, trace), [(0, 1, 0), (0, 1022, 1), (1, 12, 2)]);
    assert!(error(Format::Twitter, "1,k,1,1,1,fly,0").contains("`fly`"));
    assert!(error(Format::Twitter, "1,k,1").contains("seven columns"));
}

#[test]
fn meta_counts_operations() {
    let kv = "\
op_time,key,key_size,op,op_count,size,cache_hits,ttl
100,k1,10,GET,2,500,1,0
100,k2,10,SET,1,70,0,60
101,k2,10,GET_LEASE,1,0,1,0
102,k1,10,DELETE,1,0,0,0
";
    assert_eq!(shape(Format::Meta, kv), [(0, 500, 100), (0, 500, 100), (1, 70, 101)]);
    let cdn = "timestamp,cacheKey,OpType,objectSize,responseSize\n5,99,1,1048576,1000\n";
    assert_eq!(records(Format::Meta, cdn), [Record { key: 99, size: 1_048_576, time: 5 }]);
    assert!(error(Format::Meta, "k1,10\n").contains("`op`"));
    assert!(error(Format::Meta, "key,op,op_count\na,GET,999999999999\n").contains("more requests"));
}

#[test]
fn monitor_shows_the_reads_of_redis() {
    let log = r#"OK
1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
1339518090.420270 [0 127.0.0.1:60866] "set" "x" "6"
1339518096.506257 [0 127.0.0.1:60866] "GET" "x"
+1339518097.1 [0 lua] "get" "x"
1339518098.1 [1 unix:/tmp/s] "get" "x"
1339518099.1 [0 [::1]:5] "mget" "x" "quote\" and \\" "y"
"#;
    let shape = shape(Format::RedisMonitor, log);
    assert_eq!(shape.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 0, 1, 0, 2, 3]);
    assert_eq!(shape[0], (0, 1, 1_339_518_096));
    assert!(error(Format::RedisMonitor, "5.1 [0 a] \"get\" \"x").contains("does not end"));
    assert!(error(Format::RedisMonitor, "hello").contains("brackets"));
}

#[test]
fn names_tell_formats() {
    for (name, format) in [
        ("w/cloudPhysicsIO.oracleGeneral.bin.zst", Some(Format::OracleGeneral)),
        ("P3.lis", Some(Format::Arc)),
        ("cluster52.sort.zst", Some(Format::Twitter)),
        ("kvcache_traces_1.csv", Some(Format::Meta)),
        ("redis-monitor.log", Some(Format::RedisMonitor)),
        ("requests.csv.zst", Some(Format::Csv)),
        ("movie.mp4", None),
    ] {
        assert_eq!(Format::of_file(name), format, "{name}");
    }
    for (name, format) in Format::ALL {
        assert_eq!(name.parse(), Ok(format));
    }
    assert!("flac".parse::<Format>().unwrap_err().contains("oracle-general"));
}

#[test]
fn files_are_read_compressed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("p.csv");
    let packed = folder.path().join("p.csv.zst");
    std::fs::write(&plain, "key,size\n1,5\n2,6\n").unwrap();
    std::fs::write(&packed, zstd::encode_all(&b"key,size\n1,5\n2,6\n"[..], 1).unwrap()).unwrap();
    let read = |path: &std::path::Path| import(path.to_str().unwrap(), None);
    assert_eq!(read(&plain).unwrap().records(), read(&packed).unwrap().records());
    assert_eq!(read(&plain).unwrap().unique_bytes(), 11);
    let whole = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &whole[..whole.len() - 3]).unwrap();
    assert!(read(&packed).is_err());
    let unknown = folder.path().join("x");
    assert!(read(&unknown).unwrap_err().to_string().contains("name the format"));
}
