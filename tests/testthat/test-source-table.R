# Columns, types, filters: what comes out is what went in, exactly.

# One table with everything, as R has it.
all_types <- function() {
  data.frame(
    id = c("000123456789", "z'; DROP TABLE x; --", "\u00e9\\n", NA),
    big = bit64::as.integer64(c("9007199254740993", "-9223372036854775807",
                                NA, "0")),
    twelve = bit64::as.integer64(c("999999999999", "123456789013", "1", NA)),
    int = c(2147483647L, -2147483647L, NA, 0L), num = c(0.1, 1e-300, NA, 1 / 3),
    flag = c(TRUE, FALSE, NA, TRUE),
    day = as.Date(c("1899-12-31", "2024-02-29", NA, "2262-05-05")),
    drug = c("C09AA02", "c09.aa05", "C10", NA)
  )
}

test_that("Parquet files keep ids, wide integers, dates and fractions", {
  skip_if_no_part("duckdb")
  skip_if_not_installed("bit64")
  folder <- withr::local_tempdir()
  file <- file.path(folder, "a \"table\" of 'all'.parquet")
  run_duckdb(sprintf(paste(
    "COPY (SELECT * FROM (VALUES",
    "('000123456789', 9007199254740993::BIGINT, 999999999999::BIGINT,",
    "2147483647::INTEGER, 0.1::DOUBLE, true, DATE '1899-12-31', 'C09AA02',",
    "1.25::DECIMAL(9, 2), 12345678901234567890123::DECIMAL(23, 0)),",
    "('z''; DROP TABLE x; --', -9223372036854775807, 123456789013,",
    "-2147483647, 1e-300, false, DATE '2024-02-29', 'c09.aa05', 2.5, 1),",
    "('\u00e9\\n', NULL, 1, NULL, NULL, NULL, NULL, 'C10', NULL, NULL),",
    "(NULL, 0, NULL, 0, 1::DOUBLE / 3, true, DATE '2262-05-05', NULL, 0, 2)",
    ") t(id, big, twelve, int, num, flag, day, drug, dec, huge)) TO '%s'",
    "(FORMAT parquet)"
  ), gsub("'", "''", file)))
  t <- source_table(parquet_source(folder), "a \"table\" of 'all'")
  got <- as.data.frame(t)
  expect_identical(got[1:8], all_types())
  expect_identical(got$dec, c(1.25, 2.5, NA, 0))
  expect_identical(got$huge, c("12345678901234567890123", "1", NA, "2"))
  expect_identical(dim(t), c(4, 10))
  expect_output(print(t), "4 rows.*id +character.*big +integer64.*day +Date")
})

test_that("PostgreSQL keeps ids, wide integers, dates and fractions", {
  con <- local_postgres()
  skip_if_not_installed("bit64")
  run <- function(sql) DBI::dbClearResult(DBI::dbSendQuery(con, sql))
  run("CREATE TEMPORARY TABLE \"a \"\"table\"\"; --\" (
    id text, big bigint, twelve numeric(12), int integer, num double precision,
    flag boolean, day date, drug char(10), loose numeric, ends date)")
  run("INSERT INTO \"a \"\"table\"\"; --\" VALUES
    ('000123456789', 9007199254740993, 999999999999, 2147483647, 0.1, true,
     '1899-12-31', 'C09AA02', 3, 'infinity'),
    ('z''; DROP TABLE x; --', -9223372036854775807, 123456789013, -2147483647,
     1e-300, false, '2024-02-29', 'c09.aa05', 4, '-infinity'),
    (E'\u00e9\\\\n', NULL, 1, NULL, NULL, NULL, NULL, 'C10', NULL, NULL),
    (NULL, 0, NULL, 0, 1::double precision / 3, true, '2262-05-05', NULL, 5,
     '2024-01-01')")
  t <- source_table(dbi_source(con), "a \"table\"; --")
  got <- as.data.frame(t)
  expect_identical(got[1:8], all_types())
  expect_identical(got$loose, c(3L, 4L, NA, 5L))
  expect_identical(as.numeric(got$ends), c(Inf, -Inf, NA, 19723))
  # Values with quotes and backslashes are found, and do nothing else.
  for (k in 1:3) {
    one <- source_table(dbi_source(con), "a \"table\"; --",
                        values = list(id = all_types()$id[k]))
    expect_identical(as.data.frame(one)$id, all_types()$id[k])
  }
  run("SET standard_conforming_strings TO off")
  one <- source_table(dbi_source(con), "a \"table\"; --",
                      values = list(id = all_types()$id[3]))
  expect_identical(nrow(as.data.frame(one)), 1L)
})

test_that("SQLite keeps ids, wide integers and fractions", {
  skip_if_not_installed("bit64")
  all <- all_types()
  all$flag <- NULL
  con <- local_sqlite(list("a `table`; \"--\"" = all))
  t <- source_table(dbi_source(con), "a `table`; \"--\"", dates = "day")
  expect_identical(as.data.frame(t), all)
  for (k in 1:3) {
    one <- source_table(dbi_source(con), "a `table`; \"--\"",
                        values = list(id = all$id[k]))
    expect_identical(as.data.frame(one)$id, all$id[k])
  }
})

test_that("CSV files: codes stay codes, the whole column decides", {
  skip_if_no_part("duckdb")
  folder <- withr::local_tempdir()
  write <- function(name, ...) writeLines(c(...), file.path(folder, name))
  write("t.csv", paste0("id,zero,twelve,num,drug,code,flag,day,when,none,",
                        "\"a \"\"b\"\"\""),
        "1,007,123456789012,1,1,1E50,TRUE,2024-02-29,2024-02-29 23:30:00,,x",
        "2,12,5,1.5e-3,22,2E10,false,NA,2024-03-01 00:00,,\"y,\nz\"")
  t <- source_table(csv_source(folder), "t")
  got <- as.data.frame(t)
  expect_identical(got$id, 1:2)
  expect_identical(got$zero, c("007", "12"))
  expect_identical(as.character(got$twelve), c("123456789012", "5"))
  expect_s3_class(got$twelve, "integer64")
  expect_identical(got$num, c(1, 1.5e-3))
  expect_identical(got$drug, c("1", "22"))
  expect_identical(got$code, c("1E50", "2E10"))
  expect_identical(got$flag, c(TRUE, FALSE))
  expect_identical(got$day, as.Date(c("2024-02-29", NA)))
  expect_identical(format(got$when), c("2024-02-29 23:30:00",
                                       "2024-03-01 00:00:00"))
  expect_identical(got$none, c(NA, NA))
  expect_identical(got[["a \"b\""]], c("x", "y,\nz"))

  # Other separators, words for missing values, encodings, types.
  write("s.csv", "id;n", "1;-", "2;3,5")
  semicolon <- csv_source(file.path(folder, "s.csv"), na = "-")
  expect_identical(as.data.frame(source_table(semicolon, "s"))$n, c(NA, "3,5"))
  typed <- source_table(semicolon, "s", types = c(id = "character"))
  expect_identical(as.data.frame(typed)$id, c("1", "2"))
  latin <- file.path(folder, "l.csv")
  writeBin(c(charToRaw("id,name\n1,"), as.raw(0xe9), charToRaw("\n")), latin)
  got <- as.data.frame(source_table(csv_source(latin, encoding = "latin-1"),
                                    "l"))
  expect_identical(got$name, "\u00e9")
})

test_that("times keep their zones; days are those on the clock", {
  con <- local_postgres()
  run <- function(sql) DBI::dbClearResult(DBI::dbSendQuery(con, sql))
  run("CREATE TEMPORARY TABLE times (k integer, plain timestamp,
                                     moment timestamptz)")
  run("INSERT INTO times VALUES
    (1, '2024-03-31 23:30', '2024-03-31 23:30+00'),
    (2, '2024-04-01 00:30', '2024-04-01 10:00+00')")
  paris <- dbi_source(con, time_zone = "Europe/Paris")
  got <- as.data.frame(source_table(paris, "times"))
  got <- got[order(got$k), ]
  expect_identical(attr(got$plain, "tzone"), "UTC")
  expect_identical(format(got$plain, "%F %R"), c("2024-03-31 23:30",
                                                 "2024-04-01 00:30"))
  expect_identical(format(got$moment, "%F %R"), c("2024-04-01 01:30",
                                                  "2024-04-01 12:00"))
  days <- source_table(paris, "times", dates = c("plain", "moment"))
  got <- as.data.frame(days)
  got <- got[order(got$k), ]
  expect_identical(got$plain, as.Date(c("2024-03-31", "2024-04-01")))
  expect_identical(got$moment, as.Date(c("2024-04-01", "2024-04-01")))
  # Ranges of days are those days, in the zone.
  rows <- function(...) {
    sort(as.data.frame(source_table(paris, "times", between = list(...)))$k)
  }
  day <- as.Date("2024-03-31") + 0:1
  expect_identical(rows(plain = day[c(1, 1)]), 1L)
  expect_identical(rows(plain = c(day[2], NA)), 2L)
  expect_identical(rows(moment = day[c(1, 1)]), integer())
  expect_identical(rows(moment = day[c(2, 2)]), 1:2)
})

test_that("days in strings and numbers", {
  d <- data.frame(person_id = 1:3, date = c("2024-01-31", "2024-02-29 10:00",
                                            NA),
                  start = c("31/01/2024", "1/2/2024", NA),
                  end = c(19000, 19001.5, NA))
  source <- dbi_source(local_sqlite(list(t = d)))
  t <- source_table(source, "t", dates = c(start = "%d/%m/%Y", "end"))
  got <- as.data.frame(t)
  expect_identical(got$date, as.Date(c("2024-01-31", "2024-02-29", NA)))
  expect_identical(got$start, as.Date(c("2024-01-31", "2024-02-01", NA)))
  expect_identical(got$end, as.Date(c("2022-01-08", "2022-01-09", NA)))
  range <- as.Date(c("2024-02-01", "2024-02-29"))
  for (name in c("date", "start")) {
    between <- stats::setNames(list(range), name)
    some <- source_table(source, "t", between = between,
                         dates = c(start = "%d/%m/%Y"))
    expect_identical(as.data.frame(some)$person_id, 2L)
    expect_equal(nrow(some), 1)
  }
  error <- expect_error(
    as.data.frame(source_table(source, "t", dates = "start")),
    class = "vigitensor_error_source_types"
  )
  expect_match(conditionMessage(error), "There are 2 of 3 different ones")
  expect_false(grepl("31/01", conditionMessage(error)))
  text <- source_table(source, "t", types = c(date = "character",
                                              start = "character"))
  expect_identical(as.data.frame(text)$date, d$date)
})

test_that("filters give the rows that R would choose", {
  raw <- raw_study(60, seed = 3)
  d <- study_tables(raw)$dispensings
  sources <- list(sqlite = dbi_source(local_sqlite(raw)))
  if (engine_available() && engine_has("duckdb")) {
    folder <- withr::local_tempdir(.local_envir = teardown_env())
    sources$csv <- csv_source(write_csv_study(raw, folder))
  }
  range <- as.Date(c("2018-05-01", "2019-11-30"))
  for (source in sources) {
    t <- source_table(source, "pharmacy", raw_columns$dispensings[-1],
                      codes = list(drug = c("C09AA05", "n02")),
                      values = list(days_supply = c(28, 30)),
                      between = list(date = range, quantity = c(20, NA)))
    got <- as.data.frame(t)
    expected <- d[toupper(gsub(".", "", d$drug, fixed = TRUE)) %in%
                    c("C09AA05", "N02BE01") & d$days_supply %in% c(28, 30) &
                    d$date >= range[1] & d$date <= range[2] &
                    d$quantity >= 20, ]
    key <- function(x) do.call(paste, x)
    expect_gt(nrow(expected), 30)
    expect_identical(sort(key(got)), sort(key(expected)))
    expect_identical(nrow(t), as.double(nrow(expected)))
    # Nobody has the code: no rows, of the same types.
    none <- source_table(source, "pharmacy", raw_columns$dispensings[-1],
                         codes = list(drug = "Z"))
    expect_identical(as.data.frame(none)$date, d$date[0])
    expect_identical(as.data.frame(none)$person_id, character())
  }
})

test_that("arguments that do not fit are refused", {
  con <- local_sqlite(list(t = data.frame(a = 1:2, b = c("x", "y"))))
  source <- dbi_source(con)
  wrong <- function(class, ...) {
    expect_error(as.data.frame(source_table(source, "t", ...)),
                 class = paste0("vigitensor_error_", class))
  }
  wrong("columns", columns = 1)
  wrong("columns", columns = c(a = "a", a = "b"))
  wrong("source_missing", columns = c(a = "nowhere"))
  wrong("filter", codes = list("x"))
  wrong("filter", values = list(nowhere = 1))
  wrong("filter", values = list(a = NA))
  wrong("filter", values = list(a = "x"))
  wrong("filter", values = list(b = 1))
  wrong("filter", values = list(a = as.Date("2024-01-01")))
  wrong("filter", between = list(a = 1))
  wrong("filter", between = list(a = c("x", "y")))
  wrong("filter", between = list(b = 1:2))
  wrong("codes", codes = list(b = "."))
  wrong("dates", dates = "nowhere")
  wrong("types", types = c(a = "integer"))
  expect_error(source_table(con, "t"), class = "vigitensor_error_source")
  expect_error(source_table(source, NA), class = "vigitensor_error_table")
  expect_error(dbi_source(1), class = "vigitensor_error_con")
  expect_error(dbi_source(con, schema = 1), class = "vigitensor_error_schema")
  expect_error(dbi_source(con, time_zone = "Here"),
               class = "vigitensor_error_time_zone")
  expect_error(parquet_source(1), class = "vigitensor_error_path")
  expect_error(csv_source(".", sep = ";;"), class = "vigitensor_error_sep")
  expect_error(csv_source(".", na = 1), class = "vigitensor_error_na")
  expect_error(csv_source(".", encoding = "ebcdic"),
               class = "vigitensor_error_encoding")
})

test_that("tables, columns and codes with quotes and blanks in PostgreSQL", {
  con <- local_postgres()
  id <- "No. \"d'assure\"; --"
  raw <- list("packs of \"2018\"; DROP TABLE x; --" = stats::setNames(
    data.frame(c(3L, 1L, 2L, 1L), c("it's", "a \"b\" c", "\\'; --", "it's"),
               as.Date("2018-01-01") + 0:3, 30L),
    c(id, "The Drug", "select", "N \\ days")
  ))
  schema <- write_postgres_study(con, raw, "sch'ema \"of\" claims; --")
  columns <- c(person_id = id, drug = "The Drug", date = "select",
               days_supply = "N \\ days")
  handle <- function(...) {
    source_table(dbi_source(con, schema), names(raw), columns, ...)
  }
  expected <- stats::setNames(raw[[1L]][columns], names(columns))
  in_order <- function(d) {
    d <- as.data.frame(d)
    d <- d[order(d$date), names(columns)]
    rownames(d) <- NULL
    d
  }
  expect_identical(in_order(handle()), expected)
  for (drug in unique(expected$drug)) {
    one <- in_order(handle(values = list(drug = drug)))
    expect_identical(one$date, expected$date[expected$drug == drug])
  }
  blocks <- source_blocks(list(packs = handle()), blocks = 2)
  parts <- lapply(seq_along(blocks), function(k) read_block(blocks, k)$packs)
  expect_identical(in_order(do.call(rbind, parts)), expected)
  records <- as.data.frame(exposure_episodes(handle()))
  expect_identical(records, as.data.frame(exposure_episodes(expected)))
})
