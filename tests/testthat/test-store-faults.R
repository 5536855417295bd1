# What happens to a store when a process is killed.

# Begins R code in a new process. Value: the file that has its number as long as
# it lives.
begin_r <- function(code, env = parent.frame()) {
  script <- withr::local_tempfile(fileext = ".R", .local_envir = env)
  pid_file <- withr::local_tempfile(.local_envir = env)
  # A background process of sh ignores SIGINT, and so do its children, but R
  # sets its own handler.
  writeLines(c(sprintf("writeLines(as.character(Sys.getpid()), %s)",
                       deparse(pid_file)),
               load_package_code(), code,
               sprintf("unlink(%s)", deparse(pid_file))), script)
  with_variables(c(R_TESTS = ""), system2(
    file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)),
    stdout = FALSE, stderr = FALSE, wait = FALSE
  ))
  pid_file
}

wait_for <- function(ready, seconds = 120) {
  until <- Sys.time() + seconds
  while (!ready() && Sys.time() < until) Sys.sleep(0.005)
  ready()
}

# Begins R code and kills it as soon as `ready()`. Value: did it live so long?
killed_r <- function(code, ready) {
  pid_file <- begin_r(code)
  found <- wait_for(ready) && file.exists(pid_file)
  if (file.exists(pid_file)) {
    pid <- as.integer(readLines(pid_file))
    tools::pskill(pid, tools::SIGKILL)
    # Until it is gone its files are locked.
    wait_for(function() !tools::pskill(pid, 0L), 5)
  }
  found
}

# A fit of many models, which takes a second or two, and the code of the same.
long_fit <- function(store) {
  wce(Surv(entry, exit, event) ~ sex + exposure("drug"), store,
      cutoff = c(20, 30, 40, 50), nknots = 0:3, engine = "cpu")
}
long_fit_code <- function(store) {
  c(sprintf("store <- open_claims_store(%s)", deparse(store$path)),
    paste("long_fit <-", paste(deparse(long_fit), collapse = "\n")))
}
has_state <- function(store) {
  function() {
    length(list.files(file.path(store$path, "fits"), "^state[.]json$",
                      recursive = TRUE)) > 0L
  }
}

test_that("a fit that was killed goes on, to the same result", {
  skip_if_no_engine()
  skip_on_os("windows")
  cohort <- store_cohort(3000)
  store <- new_store(cohort, 200)
  expect_true(killed_r(c(long_fit_code(store), "long_fit(store)"),
                       has_state(store)))
  fits <- file.path(store$path, "fits")
  state <- readLines(list.files(fits, "^state[.]json$", recursive = TRUE,
                                full.names = TRUE), warn = FALSE)
  expect_match(state, "fits")
  expect_message(again <- long_fit(store),
                 class = "vigitensor_message_resumed")
  whole <- wce(Surv(entry, exit, event) ~ sex + exposure("drug"),
               cohort$people, person_id, cohort$records,
               cutoff = c(20, 30, 40, 50), nknots = 0:3, engine = "cpu")
  expect_equal(again$selection, whole$selection, tolerance = 1e-9)
  expect_stored_model(again, whole)
  expect_identical(list.files(fits), character())
})

test_that("two processes fit the same model of a store at the same time", {
  skip_if_no_engine()
  skip_on_os("windows")
  store <- new_store(store_cohort(3000), 200)
  result <- withr::local_tempfile()
  begin_r(c(long_fit_code(store), "fit <- long_fit(store)",
            sprintf("saveRDS(coef(fit), %s)", deparse(paste0(result, "-"))),
            sprintf("file.rename(%s, %s)", deparse(paste0(result, "-")),
                    deparse(result))))
  expect_true(wait_for(has_state(store)))
  # Not gone on with: the other process is at work there.
  expect_no_message(here <- long_fit(store),
                    class = "vigitensor_message_resumed")
  expect_true(wait_for(function() file.exists(result)))
  expect_identical(readRDS(result), coef(here))
  gone <- function() length(list.files(file.path(store$path, "fits"))) == 0L
  expect_true(wait_for(gone))
})

test_that("Ctrl-C ends a fit within a second, and the same call goes on", {
  skip_if_no_engine()
  skip_on_os("windows")
  store <- new_store(store_cohort(3000), 200)
  log <- withr::local_tempfile()
  said <- function() if (file.exists(log)) readLines(log) else character()
  pid_file <- begin_r(c(
    long_fit_code(store),
    sprintf("say <- function(...) cat(..., '\\n', file = %s, append = TRUE)",
            deparse(log)),
    "attempt <- function() tryCatch(long_fit(store), interrupt = function(e) {",
    "  say('interrupted', format(as.double(Sys.time()), digits = 15))",
    "}, vigitensor_message_resumed = function(m) {",
    "  say('resumed'); suppressMessages(long_fit(store))",
    "})",
    "attempt(); say('again'); fit <- attempt(); say(coef(fit))"
  ))
  expect_true(wait_for(has_state(store)))
  sent <- as.double(Sys.time())
  tools::pskill(as.integer(readLines(pid_file)), tools::SIGINT)
  expect_true(wait_for(function() length(said()) >= 4L))
  words <- strsplit(trimws(said()), " +")
  expect_identical(vapply(words[1:3], `[[`, "", 1L),
                   c("interrupted", "again", "resumed"))
  expect_lt(as.double(words[[1L]][2L]) - sent, 1)
  expect_equal(as.double(words[[4L]]), unname(coef(long_fit(store))),
               tolerance = 1e-6)
})

test_that("a file of a store that was cut short stops a fit", {
  skip_if_no_engine()
  cohort <- store_cohort(100)
  store <- new_store(cohort, 50)
  file <- file.path(store$path, "block-000002", "records.subject.npy")
  bytes <- readBin(file, "raw", file.size(file))
  writeBin(bytes[seq_len(length(bytes) - 1L)], file)
  expect_error(
    wce(Surv(exit, event) ~ exposure("drug"), store, cutoff = 30, nknots = 0,
        engine = "cpu"),
    "cut short", class = "vigitensor_error_store_damaged"
  )
  # The block is written again by the call that built the store.
  unlink(dirname(file), recursive = TRUE)
  again <- claims_store(cohort$people, cohort$records, store$path,
                        id = person_id)
  expect_identical(again$n_people, store$n_people)
  # Its design of the first block is still there.
  expect_message(
    wce(Surv(exit, event) ~ exposure("drug"), again, cutoff = 30, nknots = 0,
        engine = "cpu"), class = "vigitensor_message_resumed"
  )
})

test_that("a person who comes again in a later block is found by strings too", {
  skip_if_no_engine()
  cohort <- store_cohort(40)
  people <- cohort$people
  people$person_id <- paste0("p", people$person_id)
  blocks <- function(k) {
    if (k < 3) list(people = people[c(5, 20 * (k - 1) + 6:20), ])
  }
  expect_error(claims_store(blocks, path = withr::local_tempfile(),
                            id = "person_id"),
               class = "vigitensor_error_repeated_people")
})
