//! Tables in every format, read back.

use serde_json::{Value, json};

use super::{ColumnKind, TableColumns, TableWriter};
use crate::base::TableFormat;

fn rows(values: &[Value]) -> Vec<serde_json::Map<String, Value>> {
    values.iter().map(|value| value.as_object().expect("a row").clone()).collect()
}

fn written(format: TableFormat, values: &[Value]) -> Vec<u8> {
    let rows = rows(values);
    let mut columns = TableColumns::default();
    rows.iter().for_each(|row| columns.add(row));
    let mut writer = TableWriter::start(format, columns, Vec::new()).expect("started");
    rows.iter().for_each(|row| writer.write(row).expect("written"));
    writer.finish().expect("ended")
}

#[test]
fn columns_are_those_of_every_row_in_an_order_that_each_has() {
    let mut columns = TableColumns::default();
    for row in rows(&[
        json!({"id": "a", "x": 1, "status": "ok"}),
        json!({"id": "b", "y": 1.5, "x": 2.5, "status": null}),
        json!({"id": "c", "z": [1], "status": "ok"}),
    ]) {
        columns.add(&row);
    }
    let found: Vec<(&str, ColumnKind)> = columns.iter().collect();
    assert_eq!(
        found,
        [
            ("id", ColumnKind::Text),
            ("z", ColumnKind::Text),
            ("y", ColumnKind::Number),
            ("x", ColumnKind::Number),
            ("status", ColumnKind::Text),
        ]
    );
}

#[test]
fn json_lines_have_every_column() {
    let text = written(TableFormat::JsonLines, &[json!({"a": 1, "c": 2}), json!({"a": 1, "b": "x"})]);
    assert_eq!(text, b"{\"a\":1,\"b\":null,\"c\":2}\n{\"a\":1,\"b\":\"x\",\"c\":null}\n");
}

#[test]
fn csv_is_quoted_and_calculates_nothing() {
    let values = [
        json!({"=a": "x, \"y\"\nz", "n": -1.5, "b": true, "l": [1, "=2"]}),
        json!({"=a": "=cmd|' /C calc'!A0", "n": null, "b": false, "l": null}),
        json!({"=a": "- a list", "n": 3, "b": null, "l": "-5"}),
    ];
    let text = String::from_utf8(written(TableFormat::Csv, &values)).expect("text");
    let expected = "'=a,n,b,l\r\n\"x, \"\"y\"\"\nz\",-1.5,true,\"[1,\"\"=2\"\"]\"\r\n'=cmd|' /C calc'!A0,,false,\r\n'- a \
                    list,3,,-5\r\n";
    assert_eq!(text, expected);
}

#[test]
fn parquet_has_typed_columns() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    let values = [
        json!({"t": "é", "i": -3, "n": 1, "b": true, "mixed": 1, "big": 18_446_744_073_709_551_615_u64, "none": null}),
        json!({"t": null, "i": null, "n": 0.5, "b": null, "mixed": "x", "big": null, "none": null}),
    ];
    let bytes = written(TableFormat::Parquet, &values);
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    let types: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.name(), column.physical_type())).collect();
    assert_eq!(
        types,
        ["t BYTE_ARRAY", "i INT64", "n DOUBLE", "b BOOLEAN", "mixed BYTE_ARRAY", "big BYTE_ARRAY", "none BYTE_ARRAY"]
    );
    let rows: Vec<String> =
        reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row").to_string()).collect();
    assert_eq!(
        rows,
        [
            r#"{t: "é", i: -3, n: 1.0, b: true, mixed: "1", big: "18446744073709551615", none: null}"#,
            r#"{t: null, i: null, n: 0.5, b: null, mixed: "x", big: null, none: null}"#,
        ]
    );
}
