# Blocks of people: every row once, people whole, nearly equal sizes.

block_tables <- function(n = 500, seed = 5, ids) {
  withr::with_seed(seed, {
    who <- sample.int(n, n * 8, TRUE, prob = 1 / seq_len(n))
    list(dispensings = data.frame(person_id = ids(who), k = seq_along(who)),
         people = data.frame(person_id = ids(seq_len(n)), age = seq_len(n)))
  })
}

block_ids <- list(
  integer = function(k) k * 3L,
  text = function(k) paste0(c("a", "B", "\u00e9", "Z")[k %% 4 + 1],
                            sprintf("%05d", (k * 7919L) %% 99991L)),
  integer64 = function(k) bit64::as.integer64("9007199254740993") + k,
  mixed_width = function(k) as.character(k * 3L)
)

# blocks: of tables whose rows are numbered by k.
expect_partition <- function(blocks, tables, at_least = 4) {
  expect_gte(length(blocks), at_least)
  parts <- lapply(seq_len(length(blocks)), function(k) read_block(blocks, k))
  rows <- lapply(parts, function(p) p$dispensings$k)
  expect_identical(sort(as.integer(unlist(rows))),
                   seq_len(nrow(tables$dispensings)))
  ages <- lapply(parts, function(p) p$people$age)
  expect_identical(sort(as.integer(unlist(ages))),
                   seq_len(nrow(tables$people)))
  ids <- lapply(parts, function(p) {
    unique(as.character(c(as.character(p$dispensings$person_id),
                          as.character(p$people$person_id))))
  })
  expect_identical(anyDuplicated(unlist(ids)), 0L)
  types <- unique(lapply(parts, function(p) {
    lapply(p, function(t) lapply(t, class))
  }))
  expect_length(types, 1L)
  lengths(rows)
}

test_that("blocks of data frames are a partition, whole people, nearly equal", {
  for (name in names(block_ids)) {
    if (name == "integer64") skip_if_not_installed("bit64")
    tables <- block_tables(ids = block_ids[[name]])
    blocks <- source_blocks(tables, blocks = 7)
    sizes <- expect_partition(blocks, tables, 6)
    # The largest person decides how uneven blocks may be.
    most <- max(table(as.character(tables$dispensings$person_id)))
    expect_lte(max(sizes), ceiling(4000 / 7) + most)
  }
})

test_that("blocks are the same in every kind of source", {
  skip_if_not_installed("bit64")
  duckdb <- engine_available() && engine_has("duckdb")
  postgres <- if (length(postgres_address()) || engine_is_required()) {
    local_postgres()
  }
  for (name in names(block_ids)) {
    tables <- block_tables(200, ids = block_ids[[name]])
    expected <- source_blocks(tables, blocks = 5)
    sources <- list(sqlite = dbi_source(local_sqlite(tables)))
    if (!is.null(postgres)) {
      sources$postgres <- dbi_source(
        postgres, write_postgres_study(postgres, tables, "blocks")
      )
    }
    if (duckdb) {
      folder <- withr::local_tempdir()
      sources$csv <- csv_source(write_csv_study(tables, folder))
    }
    for (source in sources) {
      # "12" would be a number in a CSV file.
      types <- if (name %in% c("text", "mixed_width")) {
        c(person_id = "character")
      }
      handles <- lapply(stats::setNames(nm = names(tables)), function(table) {
        source_table(source, table, types = types)
      })
      blocks <- source_blocks(handles, blocks = 5)
      expect_partition(blocks, tables)
      expect_identical(as.character(blocks$cuts), as.character(expected$cuts))
      # One of them a data frame.
      some <- source_blocks(list(dispensings = handles$dispensings,
                                 people = tables$people), blocks = 5)
      expect_partition(some, tables)
    }
  }
})

test_that("a database that we do not know is asked in plain words", {
  for (name in c("integer", "text")) {
    tables <- block_tables(100, ids = block_ids[[name]])
    source <- dbi_source(local_sqlite(tables))
    source$dialect <- "generic"
    handles <- lapply(stats::setNames(nm = names(tables)), source_table,
                      src = source)
    expect_output(print(handles$people), "100 rows.*as it comes")
    blocks <- source_blocks(handles, blocks = 5)
    expect_partition(blocks, tables)
    expect_identical(blocks$cuts, source_blocks(tables, blocks = 5)$cuts)
    expect_error(source_blocks(list(a = handles$people, b = tables$people)),
                 class = "vigitensor_error_tables")
    some <- source_table(source, "people", between = list(age = c(3, 5)),
                         codes = list(person_id = as.character(
                           block_ids[[name]](c(4, 5, 6)))))
    expect_identical(sort(as.data.frame(some)$age), 4:5)
  }
})

test_that("few people, one block, missing ids, filters", {
  d <- data.frame(person_id = c(2L, 1L, NA, 2L, 3L), k = 1:5)
  source <- dbi_source(local_sqlite(list(d = d, none = d[0, ])))
  for (t in list(d, source_table(source, "d"))) {
    expect_length(source_blocks(list(d = t), blocks = 50), 3L)
    blocks <- source_blocks(list(d = t), blocks = 2)
    # The rows of 2 go beyond the half: 1 is alone, with whom nobody knows.
    expect_identical(sort(read_block(blocks, 1)$d$k), c(2L, 3L))
    expect_identical(sort(read_block(blocks, 2)$d$k), c(1L, 4L, 5L))
    one <- source_blocks(list(d = t), blocks = 1)
    expect_identical(sort(read_block(one, 1)$d$k), 1:5)
    expect_error(read_block(one, 2), class = "vigitensor_error_k")
  }
  few <- source_table(source, "d", between = list(k = c(3, 5)))
  blocks <- source_blocks(list(d = few), blocks = 9)
  expect_length(blocks, 2L)
  rows <- lapply(1:2, function(k) read_block(blocks, k)$d$k)
  expect_identical(sort(unlist(rows)), 3:5)
  none <- source_blocks(list(d = source_table(source, "none")), blocks = 4)
  expect_length(none, 1L)
  expect_identical(nrow(read_block(none, 1)$d), 0L)
  expect_output(print(none), "1 block of people, by `person_id`, of d")
})

test_that("the key changes with data, filters and number of blocks", {
  d <- data.frame(person_id = 1:9, k = 1:9)
  con <- local_sqlite(list(d = d))
  key <- function(..., blocks = 3) {
    block_key(source_blocks(list(d = source_table(dbi_source(con), "d", ...)),
                            blocks = blocks))
  }
  first <- key()
  expect_identical(key(), first)
  DBI::dbWriteTable(con, "d", d[1, ], append = TRUE)
  keys <- c(first, key(), key(blocks = 2), key(columns = "person_id"),
            key(values = list(k = 1:8)))
  expect_identical(anyDuplicated(keys), 0L)
})

test_that("tables that do not go together are refused", {
  d <- data.frame(person_id = 1:3)
  wrong <- function(class, ...) {
    expect_error(source_blocks(...), class = paste0("vigitensor_error_", class))
  }
  wrong("tables", d)
  wrong("tables", list(d))
  wrong("tables", list(a = 1))
  wrong("id", list(a = d), id = "nowhere")
  wrong("id", list(a = d), id = 1)
  wrong("blocks", list(a = d), blocks = 0)
  wrong("id_type", list(a = d, b = data.frame(person_id = "1")))
  expect_error(read_block(1, 1), class = "vigitensor_error_blocks")
})
