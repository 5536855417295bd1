# Going on from a file, and the pace of chunks.

study <- random_study(302, n = 50)
fit <- resampled_fit(nknots = 0)

test_that("a run in pieces gives the numbers of one without interruption", {
  whole <- bootstrap(fit, 30, seed = 4, engine = "reference")
  file <- withr::local_tempfile(fileext = ".rds")
  expect_identical(bootstrap(fit, 9, seed = 4, file = file)$coefficients,
                   whole$coefficients[1:9, ])
  # The seed of the file is taken.
  more <- bootstrap(fit, 30, file = file)
  expect_identical(more, whole)
  # Fewer are the first ones.
  expect_identical(bootstrap(fit, 5, file = file)$coefficients,
                   whole$coefficients[1:5, ])
  expect_identical(length(readRDS(file)$replicates$reason), 30L)
  expect_false(file.exists(paste0(file, ".part")))
})

test_that("a killed run loses the chunk in progress alone", {
  file <- withr::local_tempfile(fileext = ".rds")
  run <- function(first, count) {
    if (first + count > 20) stop("killed")
    list(coefficients = matrix(first - 1 + seq_len(count)),
         loglik = numeric(count), reason = rep("ok", count))
  }
  task <- list(bytes = 32e6, run = run) # chunks of at most 8
  settings <- list(seed = 1)
  expect_error(resume_replicates(task, 40, file, "p", settings, FALSE),
               "killed")
  expect_identical(length(readRDS(file)$replicates$reason), 16L)
  # A half-written chunk lies beside it.
  writeLines("half", paste0(file, ".part"))
  seen <- new.env()
  seen$first <- c()
  task$run <- function(first, count) {
    seen$first <- c(seen$first, first)
    list(coefficients = matrix(first - 1 + seq_len(count)),
         loglik = numeric(count), reason = rep("ok", count))
  }
  done <- resume_replicates(task, 40, file, "p", settings, FALSE)
  expect_identical(seen$first[1L], 17)
  expect_identical(done$coefficients[, 1], as.double(1:40))
  expect_false(file.exists(paste0(file, ".part")))
})

test_that("Ctrl-C says what is kept and stays an interrupt", {
  file <- withr::local_tempfile(fileext = ".rds")
  task <- list(bytes = 32e6, run = function(first, count) {
    if (first > 8) rlang::interrupt()
    list(coefficients = matrix(0, count, 1), loglik = numeric(count),
         reason = rep("ok", count))
  })
  stopped <- FALSE
  expect_message(
    tryCatch(resume_replicates(task, 40, file, "p", list(seed = 1), FALSE),
             interrupt = function(e) stopped <<- TRUE), # nolint
    "8 of 40 replicates are in `file`"
  )
  expect_true(stopped)
})

test_that("files of something else are refused", {
  file <- withr::local_tempfile(fileext = ".rds")
  bootstrap(fit, 3, seed = 4, file = file)
  refused <- function(...) {
    expect_error(bootstrap(..., file = file),
                 class = "vigitensor_error_bootstrap_file")
  }
  refused(fit, 3, seed = 5)
  refused(fit, 3, kind = "bayesian")
  refused(fit, 3, method = "influence")
  refused(fit, 3, strata = sex, data = study$people)
  refused(resampled_fit(nknots = 1), 3)
  refused(resampled_fit(nknots = 0, ties = "breslow"), 3)
  study$people$age[3] <- study$people$age[3] + 1
  e <- refused(resampled_fit(nknots = 0), 3)
  expect_match(conditionMessage(e), "other data or another model")
  saveRDS(1:3, file)
  refused(fit, 3)
  writeBin(as.raw(1:50), file)
  refused(fit, 3)
  file <- file.path(tempdir(), "no such folder", "b.rds")
  refused(fit, 3)
  file <- tempdir()
  refused(fit, 3)
})

test_that("a fingerprint is of values, not of how R keeps them", {
  x <- 1:5
  y <- c(1L, 2L, 3L, 4L, 5L)
  expect_identical(fingerprint(list(a = x)), fingerprint(list(a = y)))
  expect_identical(fingerprint(sort(c(3, 1, 2))), fingerprint(c(1, 2, 3)))
  different <- list(list(a = x), list(b = x), list(a = as.double(x)), x,
                    list(a = rev(x)), list(a = x, b = NULL), list(list(a = x)))
  prints <- vapply(different, fingerprint, "")
  expect_identical(anyDuplicated(prints), 0L)
})

test_that("chunks grow until they take five seconds", {
  # Seconds of the chunks, when preparing takes `fixed` and a replicate `each`.
  lengths <- function(fixed, each) {
    count <- 8L
    vapply(1:25, function(k) {
      seconds <- fixed + each * count
      count <<- next_count(count, seconds) # nolint
      seconds
    }, 0)
  }
  for (each in c(0.0001, 0.01, 0.06, 0.3)) for (fixed in c(0, 0.5, 2)) {
    seconds <- lengths(fixed, each)
    expect_true(seconds[25] >= 5 && seconds[25] < 10)
  }
  # What takes long from the start does not grow.
  expect_equal(lengths(0, 2)[25], 16)
})

test_that("a bar is shown where it is asked for, and not in tests", {
  expect_false(shows_progress(NULL))
  withr::local_options(vigitensor.progress = TRUE)
  expect_true(shows_progress(NULL))
  expect_false(shows_progress(FALSE))
  expect_error(shows_progress("yes"), class = "vigitensor_error_progress")
  bar <- progress_bar(3, "Work ", FALSE)
  expect_silent({
    bar$step(1)
    bar$done()
  })
  expect_identical(vapply(c(0.2, 89, 600, 7200), format_seconds, ""),
                   c("1 s", "89 s", "10 min", "2 h"))
  # Quick work has none.
  expect_silent({
    bar <- progress_bar(3, "Work ", TRUE)
    bar$step(1)
    bar$done()
  })
})
