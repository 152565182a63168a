"""Loads shards as their readers do and fails when a column or an image is lost.

    python tests/load_in_hf.py SHARD.parquet [SHARD.parquet …]

Needs `datasets` and `pillow`; looks with `polars` and `duckdb` too where they are installed.
"""

import importlib.util
import os
import sys
import tempfile


def check(condition, message):
    if not condition:
        sys.exit(f"load_in_hf: {message}")


def check_datasets(shards):
    import datasets
    import PIL.Image
    import pyarrow.parquet

    with tempfile.TemporaryDirectory() as cache:
        data = datasets.load_dataset(
            "parquet", data_files=shards, split="train", cache_dir=cache
        )
        expected = []
        for shard in shards:
            expected = pyarrow.parquet.read_schema(shard).names
        check(data.column_names == expected, f"columns differ: {data.column_names}")
        check(
            isinstance(data.features["output_image"], datasets.Image),
            f"output_image is {data.features['output_image']}",
        )
        for row in data:
            images = [*row["input_images"], row["output_image"]]
            for image in images:
                check(isinstance(image, PIL.Image.Image), f"an image is {type(image)}")
                image.load()
            check(row["instruction"] and row["instruction_writer"], "no instruction or writer")
            check(row["task"] in {"edit", "ic", "ic_edit"}, f"task is {row['task']!r}")
            check(
                len(row["input_images"]) == len(row["input_pts"]), "an input has no pts"
            )
            check(row["models"] is not None and row["lineage_hash"], "no models or lineage")
        print(f"datasets {datasets.__version__}: {len(data)} rows, {len(expected)} columns")
        return len(data)


def check_polars(shards, rows):
    import polars

    table = polars.read_parquet(shards)
    check(table.height == rows, f"polars reads {table.height} rows, expected {rows}")
    image = table["output_image"].struct.field("bytes")[0]
    check(image[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0"), "polars reads no image bytes")
    print(f"polars {polars.__version__}: {table.height} rows")


def check_duckdb(shards, rows):
    import duckdb

    query = (
        "select count(*), count(distinct sample_id), min(octet_length(output_image.bytes)), "
        "min(len(input_images)) from read_parquet(?)"
    )
    count, ids, smallest, inputs = duckdb.execute(query, [shards]).fetchone()
    check((count, ids) == (rows, rows), f"duckdb reads {count} rows with {ids} ids")
    check(smallest > 0 and inputs > 0, "duckdb reads no images")
    print(f"duckdb {duckdb.__version__}: {count} rows")


def main():
    shards = sys.argv[1:]
    check(shards, "name at least one shard")
    rows = check_datasets(shards)
    if importlib.util.find_spec("polars"):
        check_polars(shards, rows)
    if importlib.util.find_spec("duckdb"):
        check_duckdb(shards, rows)
    sys.stdout.flush()
    # Some versions of datasets hang in their threads at exit.
    os._exit(0)


if __name__ == "__main__":
    main()
