# A small study in raw tables, the same tables in every kind of source, and a
# PostgreSQL server of our own.

# ---- tables -----------------------------------------------------------------

# People with strings of 12 digits, zeros in front, or integers of 64 bits;
# names of columns as in a real database. Some faults, which check_claims() is
# to repair.
raw_study <- function(n = 300, seed = 1, ids = c("text", "integer64")) {
  ids <- match.arg(ids)
  withr::local_seed(seed)
  person <- if (ids == "text") sprintf("%012.0f", 17 * seq_len(n)) else
    bit64::as.integer64("9007199254740993") + seq_len(n)
  day <- as.Date("2018-01-01")
  some <- function(k) sample.int(n, k, replace = TRUE)
  who <- sort(some(n * 12))
  d <- data.frame(
    BEN_IDT = person[who], EXE_DAT = day + sample(0:1400, n * 12, TRUE),
    ATC = sample(c("C09AA02", "c09.aa05", "N02BE01", "A10BA02"), n * 12, TRUE),
    NB_JRS = sample(c(14L, 28L, 30L, NA), n * 12, TRUE, c(3, 3, 3, 0.2)),
    QTE = sample(c(14, 28, 30.5), n * 12, TRUE)
  )
  d <- rbind(d, d[1:5, ], transform(d[20:24, ], QTE = -QTE))
  sick <- some(n * 2)
  list(
    pharmacy = d,
    people = data.frame(
      BEN_IDT = person, NAI = day - sample(7000:30000, n, TRUE),
      SEXE = sample(c("f", "m"), n, TRUE),
      # A name of many bytes, and a quote.
      REGION = sample(c("\u00cele-de-France", "Provence d'Azur", NA), n, TRUE)
    ),
    coverage = data.frame(BEN_IDT = person,
                          DEB = day - sample(300:900, n, TRUE),
                          FIN = day + sample(600:1500, n, TRUE)),
    stays = data.frame(BEN_IDT = person[sick], ENT = day + sick * 4,
                       SOR = day + sick * 4 + sample(0:9, n * 2, TRUE)),
    "diagnoses \"all\"" = data.frame(
      BEN_IDT = person[sick], DAT = day + sample(0:1400, n * 2, TRUE),
      CIM = sample(c("I21.0", "I219", "J45", "K70.3"), n * 2, TRUE,
                   c(2, 2, 3, 1)),
      POS = sample(1:2, n * 2, TRUE)
    ),
    deaths = data.frame(BEN_IDT = person[seq(5, n, 9)],
                        DEC = day + 700 + 3 * seq(5, n, 9),
                        CAUSE = sample(c("I21", "C34"), length(seq(5, n, 9)),
                                       TRUE))
  )
}

raw_columns <- list(
  dispensings = c("pharmacy", person_id = "BEN_IDT", date = "EXE_DAT",
                  drug = "ATC", days_supply = "NB_JRS", quantity = "QTE"),
  people = c("people", person_id = "BEN_IDT", birth_date = "NAI", sex = "SEXE",
             region = "REGION"),
  coverage = c("coverage", person_id = "BEN_IDT", start = "DEB", end = "FIN"),
  stays = c("stays", person_id = "BEN_IDT", admission = "ENT",
            discharge = "SOR"),
  diagnoses = c("diagnoses \"all\"", person_id = "BEN_IDT", date = "DAT",
                code = "CIM", position = "POS"),
  deaths = c("deaths", person_id = "BEN_IDT", date = "DEC", cause = "CAUSE")
)

# The tables under our names: data frames, or handles on a source.
study_tables <- function(raw = NULL, source = NULL, ...) {
  lapply(raw_columns, function(one) {
    columns <- one[-1L]
    if (!is.null(source)) {
      return(source_table(source, one[[1L]], columns, ...))
    }
    stats::setNames(raw[[one[[1L]]]][columns], names(columns))
  })
}

# Checks, cohort, outcomes, episodes, a fit: the results, rows in one order.
whole_study <- function(t, engine = "reference") {
  d <- check_claims(t$dispensings, t$people, t$coverage, t$stays, t$diagnoses,
                    t$deaths, last_day = as.Date("2026-01-01"),
                    fix = c("duplicates", "reversals", "reversals_alone",
                            "after_death"))
  x <- cohort(t$people, t$coverage, t$dispensings, t$diagnoses, t$deaths,
              start = as.Date("2018-06-01"), end = as.Date("2021-06-30"),
              new_users = c("C09AA", "A10"), washout = 60, lookback = 120,
              exclude = "K70", age = c(20, 80))
  x <- outcomes(x, t$diagnoses, "I21", t$deaths, position = "primary",
                lookback = 0)
  e <- exposure_episodes(d$tables$dispensings, stays = t$stays, grace = 15,
                         supply = c("given", "fixed"), fixed_days = 28)
  e <- e[has_code(e$drug, "C09AA"), ]
  fit <- wce(Surv(entry, exit, event) ~ sex + exposure("C09AA02", cutoff = 60),
             data = x, id = person_id, records = align_records(e, x),
             nknots = 1, engine = engine)
  in_order <- function(data) {
    data <- as.data.frame(data)
    start <- data$start %||% numeric(nrow(data))
    data <- data[order(as.character(data$person_id), start), ]
    rownames(data) <- NULL
    data
  }
  list(findings = d$findings, n_rows = d$n_rows, cohort = in_order(x),
       attrition = attrition(x, min_cell = 0), episodes = in_order(e),
       counts = attr(e, "counts"), coefficients = stats::coef(fit),
       loglik = fit$loglik, events = sum(x$event))
}

# Two results of whole_study() are equal; integers may be doubles elsewhere.
expect_same_study <- function(got, expected) {
  testthat::expect_gt(expected$events, 20)
  for (part in c("findings", "n_rows", "attrition", "counts", "events")) {
    testthat::expect_equal(got[[part]], expected[[part]], info = part)
  }
  for (part in c("cohort", "episodes")) {
    testthat::expect_identical(class(got[[part]]$person_id),
                               class(expected[[part]]$person_id))
    testthat::expect_equal(got[[part]], expected[[part]], info = part)
  }
  testthat::expect_equal(got$coefficients, expected$coefficients,
                         tolerance = 1e-10)
  testthat::expect_equal(got$loglik, expected$loglik, tolerance = 1e-12)
}

# ---- files ------------------------------------------------------------------

write_csv_study <- function(raw, folder) {
  for (name in names(raw)) {
    table <- raw[[name]]
    half <- seq_len(nrow(table)) <= nrow(table) / 2
    dir.create(file.path(folder, name), showWarnings = FALSE)
    for (part in 1:2) {
      utils::write.csv(table[half == (part == 1), ],
                       file.path(folder, name, sprintf("part-%d.csv", part)),
                       row.names = FALSE, fileEncoding = "UTF-8")
    }
  }
  folder
}

# A query of DuckDB that gives no rows, as COPY does.
run_duckdb <- function(sql) {
  local_engine_function("run_duckdb_for_test", "
def run_duckdb_for_test(sql):
    import duckdb
    with duckdb.connect() as connection:
        for one in ([sql] if isinstance(sql, str) else sql):
            connection.execute(one)
")
  engine_call("run_duckdb_for_test", sql)
}

# types: c(column = "INTEGER") writes a column as another type.
csv_to_parquet <- function(csv, parquet, types = character()) {
  quote <- function(x) paste0("'", gsub("'", "''", x), "'")
  types <- if (length(types)) {
    sprintf(", types = {%s}", paste0(quote(names(types)), ": ", quote(types),
                                     collapse = ", "))
  } else ""
  sprintf("COPY (SELECT * FROM read_csv(%s, nullstr = 'NA'%s)) TO %s",
          quote(csv), types, paste(quote(parquet), "(FORMAT parquet)"))
}

write_parquet_study <- function(raw, folder) {
  from <- withr::local_tempdir()
  write_csv_study(raw, from)
  text <- is.character(raw$people$BEN_IDT)
  sql <- unlist(lapply(names(raw), function(name) {
    dir.create(file.path(folder, name))
    csv <- list.files(file.path(from, name), full.names = TRUE)
    types <- c(BEN_IDT = if (text) "VARCHAR" else "BIGINT", NB_JRS = "INTEGER",
               POS = "INTEGER")
    csv_to_parquet(csv, file.path(folder, name, sub("csv$", "parquet",
                                                    basename(csv))),
                   types[names(types) %in% names(raw[[name]])])
  }))
  run_duckdb(sql)
  folder
}

# ---- SQLite -----------------------------------------------------------------

# A database in memory; it has no dates: they are strings, 2024-01-31.
local_sqlite <- function(tables = list(), frame = parent.frame()) {
  testthat::skip_if_not_installed("RSQLite")
  con <- DBI::dbConnect(RSQLite::SQLite())
  withr::defer(if (DBI::dbIsValid(con)) DBI::dbDisconnect(con), envir = frame)
  for (name in names(tables)) {
    table <- tables[[name]]
    dates <- vapply(table, inherits, NA, "Date")
    table[dates] <- lapply(table[dates], format)
    DBI::dbWriteTable(con, name, table)
  }
  con
}

# ---- PostgreSQL -------------------------------------------------------------

# "host:port:user:password" of a server for tests; tools/postgres.sh starts one.
postgres_address <- function() {
  strsplit(Sys.getenv("VIGITENSOR_POSTGRES"), ":", fixed = TRUE)[[1L]]
}

# A connection until the test is over. Where an engine is required, a server is
# too.
local_postgres <- function(frame = parent.frame()) {
  reason <- if (!requireNamespace("RPostgreSQL", quietly = TRUE)) {
    "RPostgreSQL is not installed"
  } else if (length(postgres_address()) != 4L) {
    "there is no PostgreSQL server (VIGITENSOR_POSTGRES)"
  }
  if (!is.null(reason)) {
    if (engine_is_required()) {
      stop(reason, ": run it by tools/postgres.sh.", call. = FALSE)
    }
    testthat::skip(reason)
  }
  con <- connect_postgres()
  withr::defer(suppressWarnings(try(DBI::dbDisconnect(con), silent = TRUE)),
               envir = frame)
  con
}

connect_postgres <- function() {
  at <- postgres_address()
  DBI::dbConnect(RPostgreSQL::PostgreSQL(), host = at[1L],
                 port = as.integer(at[2L]), user = at[3L], password = at[4L],
                 dbname = "postgres")
}

# Tables with the types of a real database; bigint where R has integer64.
write_postgres_study <- function(con, raw, schema = "claims") {
  run <- function(sql) {
    DBI::dbClearResult(DBI::dbSendQuery(con, sql))
  }
  quote <- function(x) as.character(DBI::dbQuoteIdentifier(con, x))
  run("SET client_min_messages TO warning")
  run(sprintf("DROP SCHEMA IF EXISTS %s CASCADE", quote(schema)))
  run(sprintf("CREATE SCHEMA %s", quote(schema)))
  types <- c(Date = "date", integer64 = "bigint", character = "varchar(40)",
             integer = "integer", numeric = "numeric(10, 2)")
  for (name in names(raw)) {
    table <- raw[[name]]
    kind <- vapply(table, function(x) class(x)[1L], "")
    full <- paste0(quote(schema), ".", quote(name))
    run(sprintf("CREATE TABLE %s (%s)", full,
                paste(quote(names(table)), types[kind], collapse = ", ")))
    cells <- lapply(table, function(x) {
      text <- as.character(x)
      ifelse(is.na(text), "NULL", paste0("'", gsub("'", "''", text), "'"))
    })
    rows <- do.call(paste, c(cells, sep = ", "))
    run(paste0("INSERT INTO ", full, " VALUES ",
               paste0("(", rows, ")", collapse = ", ")))
  }
  schema
}
