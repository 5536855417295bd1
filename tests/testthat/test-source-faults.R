# What goes wrong with files and databases: a clear error each, that names no
# value of a patient.

local_files <- function(..., frame = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = frame)
  files <- list(...)
  for (name in names(files)) {
    dir.create(dirname(file.path(folder, name)), showWarnings = FALSE)
    writeLines(files[[name]], file.path(folder, name))
  }
  folder
}

expect_fault <- function(code, class, says, never = "4711") {
  error <- expect_error(code, class = paste0("vigitensor_error_", class))
  expect_match(conditionMessage(error), says)
  expect_false(grepl(never, conditionMessage(error)))
}

test_that("files and folders: which are found, and what if there are none", {
  folder <- local_files(
    "b.csv" = "x\n1", "a/p2.csv" = "x\n2", "a/deep/p1.csv" = "x\n1",
    "a/_SUCCESS" = "", "a/.hidden.csv" = "y", "notes.md" = "", "c/readme" = ""
  )
  expect_identical(source_tables(csv_source(folder)), c("a", "b"))
  expect_output(print(csv_source(folder)), "CSV files, with tables a, b")
  named <- csv_source(c(first = file.path(folder, "a"),
                        second = file.path(folder, "*.csv")))
  expect_identical(basename(named$tables$first), c("p1.csv", "p2.csv"))
  expect_identical(basename(named$tables$second), "b.csv")
  expect_fault(csv_source(file.path(folder, "c")), "source_empty",
               "has no CSV files")
  expect_fault(parquet_source(folder), "source_empty", "has no Parquet files")
  expect_fault(parquet_source(file.path(folder, "x.parquet")),
               "source_missing", "There is no file or folder")
  expect_fault(csv_source(c(file.path(folder, "b.csv"), folder)), "path",
               "are the table \"b\"")
  expect_fault(source_table(csv_source(folder), "z"), "source_missing",
               "There are: a, b")
})

test_that("a Parquet file that is cut short, empty or something else", {
  skip_if_no_part("duckdb")
  folder <- withr::local_tempdir()
  whole <- file.path(folder, "t", "whole.parquet")
  dir.create(dirname(whole))
  run_duckdb(sprintf(paste(
    "COPY (SELECT i AS id, 'person 4711' || i AS name FROM range(200000) t(i))",
    "TO '%s' (FORMAT parquet)"), whole))
  bytes <- readBin(whole, "raw", file.size(whole))
  part <- file.path(folder, "t", "part.parquet")
  read <- function() {
    as.data.frame(source_table(parquet_source(folder), "t"))
  }
  expect_identical(nrow(read()), 200000L)
  expect_identical(range(read()$id), c(0L, 199999L))
  for (keep in list(seq_len(length(bytes) / 2), seq_len(7), integer())) {
    writeBin(bytes[keep], part)
    expect_fault(read(), "source_file", "part.parquet cannot be read")
  }
  writeLines("name,4711", part)
  expect_fault(read(), "source_file", "part.parquet cannot be read")
  # The end is there, the middle is not.
  broken <- bytes
  broken[seq(1000, length(bytes) - 3000)] <- as.raw(0)
  writeBin(broken, part)
  expect_fault(read(), "source_file", "cannot be read")
  # A file that goes away after it was looked at.
  unlink(part)
  t <- source_table(parquet_source(folder), "t")
  unlink(whole)
  expect_fault(as.data.frame(t), "source_missing",
               "no longer there: whole.parquet")
})

test_that("a column whose type changes between files", {
  skip_if_no_part("duckdb")
  folder <- withr::local_tempdir()
  copy <- function(file, what) {
    run_duckdb(sprintf("COPY (SELECT %s) TO '%s' (FORMAT parquet)", what,
                       file.path(folder, file)))
  }
  source <- function() parquet_source(c(t = folder))
  copy("a.parquet", "4711::INTEGER AS id, 1::INTEGER AS n, 'x' AS other")
  copy("b.parquet", "5000000000::BIGINT AS id, 2::SMALLINT AS n, 'y' AS other")
  got <- as.data.frame(source_table(source(), "t"))
  expect_identical(as.character(got$id), c("4711", "5000000000"))
  expect_identical(got$n, 1:2)
  # Strings in the first file, numbers in the second, and the reverse.
  for (file in c("a.parquet", "b.parquet")) {
    copy("a.parquet", "4711::INTEGER AS id, 1::INTEGER AS n, 'x' AS other")
    copy("b.parquet", "12::INTEGER AS id, 2::INTEGER AS n, 'y' AS other")
    copy(file, "'0012' AS id, 2::INTEGER AS n, 'y' AS other")
    t <- source_table(source(), "t")
    expect_fault(as.data.frame(t), "source_types",
                 "`id` changes between files.*VARCHAR in|VARCHAR in.*`id`")
    # Who does not need the column is not stopped.
    others <- as.data.frame(source_table(source(), "t", c("n", "other")))
    expect_true(is.integer(others$n) && is.character(others$other))
    text <- as.data.frame(source_table(source(), "t",
                                       types = c(id = "character")))
    expect_true("0012" %in% text$id)
  }
  copy("b.parquet", "2.5::DOUBLE AS id, 2::INTEGER AS n, 'y' AS other")
  copy("a.parquet", "4711::INTEGER AS id, 1::INTEGER AS n, 'x' AS other")
  expect_fault(as.data.frame(source_table(source(), "t")), "source_types",
               "INTEGER in a.parquet, DOUBLE in b.parquet")
  copy("b.parquet", "12::INTEGER AS id, 'y' AS other")
  expect_fault(source_table(source(), "t"), "source_types",
               "`n` is not in b.parquet")
  copy("b.parquet", "[1, 2] AS id, 1::INTEGER AS n, 'y' AS other")
  copy("a.parquet", "[4711] AS id, 1::INTEGER AS n, 'y' AS other")
  expect_fault(as.data.frame(source_table(source(), "t")), "source_types",
               "no word for: `id`")
})

test_that("CSV files: types that change, broken lines, encodings", {
  skip_if_no_part("duckdb")
  read <- function(folder, ...) {
    as.data.frame(source_table(csv_source(c(t = folder), ...), "t"))
  }
  mixed <- local_files("a.csv" = c("id,x", "1,4711"), "b.csv" = c("id,x",
                                                                  "2,A12"))
  expect_fault(read(mixed), "source_types",
               "`x` changes between files: integer in a.csv, character in b")
  expect_identical(
    as.data.frame(source_table(csv_source(c(t = mixed)), "t",
                               types = c(x = "character")))$x, c("4711", "A12")
  )
  # Integers here and fractions there are numbers; an empty file adds nothing.
  fine <- local_files("a.csv" = c("id,x", "1,4"), "b.csv" = c("x,id", "2.5,2"),
                      "c.csv" = "id,x")
  got <- read(fine)
  expect_identical(got[order(got$id), "x"], c(4, 2.5))
  ragged <- local_files("a.csv" = c("id,x", "1,2", "4711,2,3", "3,4"))
  expect_fault(read(ragged), "source_file",
               "a.csv \\(line 3\\).*2 columns were expected, 3 came")
  quote <- local_files("a.csv" = c("id,x", "1,\"open 4711", "2,b"))
  expect_fault(read(quote), "source_file", "a.csv.*a quote is not closed")
  columns <- local_files("a.csv" = c("id,x", "1,2"), "b.csv" = c("id,y", "1,2"))
  expect_fault(read(columns), "source_types", "must have the same columns")
  empty <- local_files("a.csv" = character())
  expect_fault(read(empty), "source_file", "a.csv is empty")
  latin <- file.path(withr::local_tempdir(), "t.csv")
  writeBin(c(charToRaw("id,name\n1,4711"), as.raw(0xe9), charToRaw("\n")),
           latin)
  expect_fault(as.data.frame(source_table(csv_source(latin), "t")),
               "source_file", "encoding|UTF-8|cannot be read")
  forced <- local_files("a.csv" = c("id,x", "1,4711x"))
  expect_fault(as.data.frame(source_table(csv_source(c(t = forced)), "t",
                                          types = c(x = "integer"))),
               "source_types", "not of the type")
})

test_that("a SQLite column of strings and numbers", {
  con <- local_sqlite()
  DBI::dbExecute(con, "CREATE TABLE t (id, n)")
  DBI::dbExecute(con, "INSERT INTO t VALUES (4711, 1), ('0012', 2.5), (3, 1)")
  source <- dbi_source(con)
  expect_fault(as.data.frame(source_table(source, "t")), "source_types",
               "`id` has 1 strings and 2 numbers")
  expect_identical(as.data.frame(source_table(source, "t", "n"))$n,
                   c(1, 2.5, 1))
  text <- source_table(source, "t", types = c(id = "character"))
  expect_identical(as.data.frame(text)$id, c("4711", "0012", "3"))
  expect_fault(source_table(source, "no 't'"), "source_missing", "There are: t")
})

test_that("a database that goes away, and one that refuses", {
  con <- local_sqlite(list(t = data.frame(a = 1:2)))
  t <- source_table(dbi_source(con), "t")
  expect_identical(nrow(t), 2)
  DBI::dbDisconnect(con)
  expect_fault(as.data.frame(t), "source_connection", "connection .* is lost")
  expect_fault(source_table(dbi_source(con), "t"), "source_connection",
               "connection .* is lost")
})

test_that("a PostgreSQL connection that is dropped, and a table that is", {
  con <- local_postgres()
  other <- connect_postgres()
  withr::defer(suppressWarnings(try(DBI::dbDisconnect(other), silent = TRUE)))
  run <- function(con, sql) DBI::dbClearResult(DBI::dbSendQuery(con, sql))
  run(con, "CREATE TABLE public.\"my t\" (id integer, x text)")
  run(con, "INSERT INTO public.\"my t\" VALUES (4711, 'a')")
  withr::defer(run(con, "DROP TABLE IF EXISTS public.\"my t\""))
  t <- source_table(dbi_source(other), "my t")
  blocks <- source_blocks(list(t = t), "id", 2)
  expect_identical(read_block(blocks, 1)$t$id, 4711L)
  # The table changes behind our back: refused, with its words kept aside.
  run(con, "ALTER TABLE public.\"my t\" DROP COLUMN x")
  error <- expect_error(as.data.frame(t),
                        class = "vigitensor_error_source_query")
  expect_match(error$detail, "does not exist")
  expect_fault(source_table(dbi_source(other, "public"), "your t"),
               "source_missing", "in schema \"public\"")
  # The server closes the connection.
  pid <- DBI::dbGetQuery(other, "SELECT pg_backend_pid() AS pid")$pid
  DBI::dbGetQuery(con, sprintf("SELECT pg_terminate_backend(%d)", pid))
  Sys.sleep(0.2)
  expect_fault(read_block(blocks, 1), "source_connection",
               "connection .* is lost")
  expect_fault(source_table(dbi_source(other), "my t"), "source_connection",
               "connection .* is lost")
})
