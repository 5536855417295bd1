test_that("a table comes back from Parquet as it was", {
  skip_if_no_part("duckdb")
  table <- data.frame(
    id = c("000000000017", "NA", NA), n = c(1L, NA, -3L),
    x = c(0.1, 1e300, NA), yes = c(TRUE, NA, FALSE),
    day = as.Date(c("2020-02-29", NA, "1890-01-01")),
    moment = as.POSIXct(c("2020-01-01 12:30:00.25", NA, "1999-12-31 23:59:59"),
                        tz = "UTC"),
    text = c("a \"quote\", a comma\nand a line", "", "\u00e9")
  )
  if (requireNamespace("bit64", quietly = TRUE)) {
    table$big <- bit64::as.integer64(c("9007199254740993", NA, "-5"))
  }
  file <- withr::local_tempfile(fileext = ".parquet")
  expect_identical(write_parquet(table, file), file)
  back <- as.data.frame(source_table(parquet_source(c(t = file)), "t"))
  expect_identical(names(back), names(table))
  for (name in names(table)) {
    expect_equal(back[[!!name]], table[[!!name]], tolerance = 0,
                 ignore_attr = "tzone")
  }
  # From a source to a file.
  again <- withr::local_tempfile(fileext = ".parquet")
  write_parquet(source_table(parquet_source(c(t = file)), "t"), again)
  expect_identical(
    as.data.frame(source_table(parquet_source(c(t = again)), "t")), back
  )
})

test_that("what cannot be written is said before anything is", {
  skip_if_no_part("duckdb")
  file <- withr::local_tempfile(fileext = ".parquet")
  expect_error(write_parquet(data.frame(a = 1i), file),
               class = "vigitensor_error_source_types")
  expect_error(write_parquet(data.frame(a = 1), file.path(file, "b.parquet")),
               class = "vigitensor_error_source_missing")
  expect_false(file.exists(file))
})
