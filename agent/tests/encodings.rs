//! Files that are no UTF-8: lines, offsets and lives are as those of any file.

mod rig;

use std::fs;

use rig::Rig;

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn little(text: &str) -> Vec<u8> {
    utf16(text, u16::to_le_bytes)
}

fn gbk(text: &str) -> Vec<u8> {
    let (bytes, _, replaced) = encoding_rs::GBK.encode(text);
    assert!(!replaced, "{text} is none of GBK");
    bytes.into_owned()
}

/// Writes bytes in parts that end at `cuts`, each of them seen before the next one comes.
async fn trickle(rig: &mut Rig, name: &str, bytes: &[u8], cuts: &[usize]) {
    let mut at = 0;
    for &to in cuts.iter().chain([&bytes.len()]) {
        rig.write(name, &bytes[at..to]);
        rig.tick().await;
        at = to;
    }
}

fn copy_and_cut(rig: &Rig, name: &str, copy: &str) {
    fs::copy(rig.path(name), rig.path(copy)).unwrap();
    fs::OpenOptions::new().write(true).open(rig.path(name)).unwrap().set_len(0).unwrap();
}

/// Offsets by body.
fn offsets(rig: &Rig) -> Vec<(String, u64)> {
    rig.records().into_iter().map(|record| (record.body, record.offset)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn utf_16_is_known_by_its_byte_order_mark() {
    for (mark, bytes) in
        [("little", u16::to_le_bytes as fn(u16) -> [u8; 2]), ("big", u16::to_be_bytes as fn(u16) -> [u8; 2])]
    {
        let mut rig = Rig::new();
        rig.start().await;
        trickle(&mut rig, "app.log", &utf16("\u{feff}茶\n", bytes), &[1, 3, 5]).await;
        rig.expect(&["茶"]).await;
        // Characters that have the byte of a line end.
        rig.write("app.log", utf16("\u{a0a}\u{a00} two\r\nthree\n", bytes));
        rig.expect(&["茶", "\u{a0a}\u{a00} two", "three"]).await;
        rig.crash().await;

        // The mark is far behind what is read now, also in another file.
        rig.write("app.log", utf16("four\n", bytes));
        rig.start().await;
        rig.expect(&["茶", "\u{a0a}\u{a00} two", "three", "four"]).await;
        rig.stop().await;
        rig.write("app.log", utf16("five\n", bytes));
        rig.rename("app.log", "app.log.1");
        rig.gzip("app.log.1");
        rig.write("app.log", "in UTF-8\n");
        rig.start().await;
        rig.expect(&["茶", "\u{a0a}\u{a00} two", "three", "four", "five", "in UTF-8"]).await;
        let expect = [("茶", 0), ("\u{a0a}\u{a00} two", 6), ("three", 22), ("four", 34), ("five", 44)];
        let mut found = offsets(&rig);
        found.retain(|(body, _)| body != "in UTF-8");
        assert_eq!(found, expect.map(|(body, at)| (body.to_owned(), at)), "{mark}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gbk_is_read_where_it_is_set() {
    let mut rig = Rig::new();
    rig.encoding = "gbk";
    rig.start().await;
    rig.write("app.log", gbk("一杯茶\n两杯\n"));
    rig.expect(&["一杯茶", "两杯"]).await;
    let half = gbk("三杯茶\n");
    trickle(&mut rig, "app.log", &half[..3], &[]).await;
    rig.crash().await;
    rig.start().await;
    rig.tick().await;
    rig.write("app.log", &half[3..]);
    rig.expect(&["一杯茶", "两杯", "三杯茶"]).await;

    // A half of a character is read when the file is cut, the rest is in the copy.
    let half = gbk("四杯茶\n");
    trickle(&mut rig, "app.log", &half[..1], &[]).await;
    rig.write("app.log", &half[1..]);
    copy_and_cut(&rig, "app.log", "app.log.1");
    rig.write("app.log", gbk("五杯茶，又是一个文件\n"));
    rig.expect(&["一杯茶", "两杯", "三杯茶", "四杯茶", "五杯茶，又是一个文件"]).await;
    let mut found = offsets(&rig);
    found.retain(|(body, _)| body != "五杯茶，又是一个文件");
    assert_eq!(found.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [0, 7, 12, 19]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_over_the_limit_end_between_two_reads() {
    let mut rig = Rig::new();
    rig.start().await;
    let long = "茶".repeat(700_000);
    let mut bytes = little(&format!("\u{feff}before\n{long}\n"));
    let last = bytes.pop().unwrap();
    rig.write("app.log", &bytes);
    rig.tick().await;
    rig.write("app.log", [last]);
    rig.write("app.log", little("after\n"));
    rig.arrive(|found| found.iter().any(|record| record.body == "after")).await;
    let records = rig.records();
    assert_eq!((records.len(), records[0].body.as_str()), (3, "before"));
    assert!(records[1].truncated && long.starts_with(&records[1].body), "{} bytes", records[1].body.len());
    // As much as a body may have, or as was kept of the line.
    assert!(records[1].body.len() > 1_000_000, "{} bytes", records[1].body.len());
    assert_eq!((records[2].body.as_str(), records[2].truncated), ("after", false));
    assert_eq!(records[2].offset, bytes.len() as u64 + 1);
    rig.stop().await;
}
