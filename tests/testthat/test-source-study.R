# The whole study (checks, cohort, outcomes, episodes, a fit) is the same on
# every kind of source as on data frames.

test_that("SQLite gives the study of the data frames", {
  skip_if_not_installed("RSQLite")
  for (ids in c("text", "integer64")) {
    if (ids == "integer64") skip_if_not_installed("bit64")
    raw <- raw_study(ids = ids)
    expected <- whole_study(study_tables(raw))
    source <- dbi_source(local_sqlite(raw))
    expect_same_study(whole_study(study_tables(source = source)), expected)
  }
})

test_that("Parquet and CSV files give the study of the data frames", {
  skip_if_no_part("duckdb")
  for (ids in c("text", "integer64")) {
    if (ids == "integer64") skip_if_not_installed("bit64")
    raw <- raw_study(ids = ids)
    expected <- whole_study(study_tables(raw), "cpu")
    csv <- csv_source(write_csv_study(raw, withr::local_tempdir()))
    expect_same_study(whole_study(study_tables(source = csv), "cpu"), expected)
    parquet <- parquet_source(write_parquet_study(raw, withr::local_tempdir()))
    expect_same_study(whole_study(study_tables(source = parquet), "cpu"),
                      expected)
  }
})

test_that("PostgreSQL gives the study of the data frames", {
  con <- local_postgres()
  for (ids in c("text", "integer64")) {
    if (ids == "integer64") skip_if_not_installed("bit64")
    raw <- raw_study(ids = ids)
    expected <- whole_study(study_tables(raw))
    schema <- write_postgres_study(con, raw, "claims \"of\" 2018")
    source <- dbi_source(con, schema)
    expect_setequal(source_tables(source), names(raw))
    expect_same_study(whole_study(study_tables(source = source)), expected)
  }
})

test_that("a data.table is a data frame", {
  skip_if_not_installed("data.table")
  raw <- raw_study(seed = 2)
  expected <- whole_study(study_tables(raw))
  tables <- lapply(study_tables(raw), data.table::as.data.table)
  got <- whole_study(tables)
  expect_same_study(got, expected)
})
