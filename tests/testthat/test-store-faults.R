# What happens to a store when a process is killed.

# Begins R code in a new process and kills it as soon as `ready()`. Value: did
# it live until then?
killed_r <- function(code, ready) {
  script <- withr::local_tempfile(fileext = ".R")
  pid_file <- withr::local_tempfile()
  writeLines(c(sprintf("writeLines(as.character(Sys.getpid()), %s)",
                       deparse(pid_file)),
               load_package_code(), code,
               sprintf("unlink(%s)", deparse(pid_file))), script)
  with_variables(c(R_TESTS = ""), system2(
    file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)),
    stdout = FALSE, stderr = FALSE, wait = FALSE
  ))
  until <- Sys.time() + 120
  while (!ready() && Sys.time() < until) Sys.sleep(0.005)
  found <- ready() && file.exists(pid_file)
  if (file.exists(pid_file)) {
    tools::pskill(as.integer(readLines(pid_file)), tools::SIGKILL)
  }
  found
}

test_that("a fit that was killed goes on, to the same result", {
  skip_if_no_engine()
  skip_on_os("windows")
  cohort <- store_cohort(3000)
  store <- new_store(cohort, 200)
  fit <- function() {
    wce(Surv(entry, exit, event) ~ sex + exposure("drug"), store,
        cutoff = c(20, 30, 40, 50), nknots = 0:3, engine = "cpu")
  }
  fits <- file.path(store$path, "fits")
  ready <- function() {
    length(list.files(fits, "^state[.]json$", recursive = TRUE)) > 0L
  }
  code <- c(
    sprintf("store <- open_claims_store(%s)", deparse(store$path)),
    paste("fit <-", paste(deparse(fit), collapse = "\n")), "fit()"
  )
  expect_true(killed_r(code, ready))
  state <- readLines(list.files(fits, "^state[.]json$", recursive = TRUE,
                                full.names = TRUE), warn = FALSE)
  expect_match(state, "fits")
  expect_message(again <- fit(), class = "vigitensor_message_resumed")
  whole <- wce(Surv(entry, exit, event) ~ sex + exposure("drug"),
               cohort$people, person_id, cohort$records,
               cutoff = c(20, 30, 40, 50), nknots = 0:3, engine = "cpu")
  expect_equal(again$selection, whole$selection, tolerance = 1e-9)
  expect_same_model(again, whole)
  expect_identical(list.files(fits), character())
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
