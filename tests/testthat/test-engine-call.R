test_that("an EngineError becomes an error of its own class", {
  skip_if_no_engine()
  local_engine_function("refuse", "
from vigitensor.errors import EngineError
def refuse():
    raise EngineError('x must be {n, d}', code='bad_shape', arg='x')
")
  error <- expect_error(engine_call("refuse"),
                        class = "vigitensor_error_engine")
  expect_s3_class(error, "vigitensor_error_bad_shape")
  expect_s3_class(error, "vigitensor_error")
  expect_identical(error$arg, "x")
  expect_match(conditionMessage(error), "x must be {n, d}", fixed = TRUE)
  expect_match(error$trace_python, "in refuse")
  expect_false(inherits(error, "vigitensor_error_bug"))
})

test_that("any other error of Python is called our bug, with versions", {
  skip_if_no_engine()
  local_engine_function("fail", "def fail(): raise KeyError('lags')")
  error <- expect_error(engine_call("fail"), class = "vigitensor_error_bug")
  expect_match(conditionMessage(error), "KeyError in `fail`", fixed = TRUE)
  expect_match(conditionMessage(error), "bug of ours")
  expect_match(conditionMessage(error), "vigitensor [0-9.]+, R [0-9.]+")
  expect_match(gsub("\\s+", " ", conditionMessage(error)), "numba [0-9.]+")
  expect_match(error$trace_python, "KeyError")
})

test_that("lack of memory has its own class", {
  skip_if_no_engine()
  local_engine_function("grab", "def grab(): raise MemoryError('too large')")
  expect_error(engine_call("grab"), class = "vigitensor_error_memory")
})

test_that("even a Python that wants to leave does not end R", {
  skip_if_no_engine()
  local_engine_function("leave", "def leave(): raise SystemExit(3)")
  expect_error(engine_call("leave"), class = "vigitensor_error_bug")
})

# ---- threads ----------------------------------------------------------------

test_that("the thread option reaches the engine when it changes", {
  skip_if_no_engine()
  withr::local_options(vigitensor.threads = 1)
  expect_identical(engine_info()$threads, 1L)
  options(vigitensor.threads = 2)
  expect_identical(engine_info()$threads, 2L)
})

test_that("a thread option that is no number is refused", {
  for (bad in list(0, 1.5, "two", NA, c(1, 2))) {
    withr::local_options(vigitensor.threads = bad)
    expect_error(wanted_threads(), class = "vigitensor_error_option")
  }
})

test_that("a check uses two threads at most and the temporary directory", {
  withr::local_envvar(`_R_CHECK_PACKAGE_NAME_` = "vigitensor",
                      VIGITENSOR_CACHE_DIR = NA)
  withr::local_options(vigitensor.threads = NULL)
  expect_identical(wanted_threads(), 2L)
  options(vigitensor.threads = 64)
  expect_identical(wanted_threads(), 2L)
  options(vigitensor.threads = 1)
  expect_identical(wanted_threads(), 1L)
  expect_identical(dirname(engine_cache()), tempdir())
})

test_that("Debian's R, outside a check, keeps its kernels between sessions", {
  withr::local_envvar(`_R_CHECK_PACKAGE_NAME_` = NA, VIGITENSOR_CACHE_DIR = NA,
                      `_R_CHECK_COMPILATION_FLAGS_KNOWN_` = "-Wformat")
  expect_identical(engine_cache(), tools::R_user_dir("vigitensor", "cache"))
  withr::local_options(vigitensor.threads = 64)
  expect_identical(wanted_threads(), 64L)
})

# ---- interrupts and forks ---------------------------------------------------

test_that("Ctrl-C in the engine returns at once, and the engine lives on", {
  skip_if_no_engine()
  skip_on_os("windows")
  # A kernel's way of waiting: short turns on the calling thread.
  fresh <- in_fresh_r({
    invisible(engine_available())
    add_engine_function("wait", "
def wait(seconds: float):
    import time
    end = time.time() + seconds
    while time.time() < end:
        time.sleep(0.02)
    return seconds
")
    add_engine_function("fail", "
def fail():
    raise ValueError('after the interrupt')
")
    interrupted <- function() {
      system(sprintf("(sleep 0.5; kill -INT %d) &", Sys.getpid()))
      begun <- Sys.time()
      how <- tryCatch(
        {
          engine_call("wait", seconds = 20)
          "finished"
        },
        interrupt = function(e) "interrupt", error = function(e) "error"
      )
      list(how = how, seconds = as.numeric(Sys.time() - begun, units = "secs"))
    }
    first <- interrupted()
    # An error after it is an error, not a second interrupt.
    error <- tryCatch(engine_call("fail"), error = class, interrupt = class)
    again <- interrupted()
    list(first = first, error = error[1L], again = again,
         usable = engine_call("wait", seconds = 0.01))
  })
  expect_identical(fresh$value$first$how, "interrupt", info = fresh$output)
  expect_lt(fresh$value$first$seconds, 1.5)
  expect_identical(fresh$value$error, "vigitensor_error_bug")
  expect_identical(fresh$value$again$how, "interrupt")
  expect_lt(fresh$value$again$seconds, 1.5)
  expect_identical(fresh$value$usable, 0.01)
})

test_that("Ctrl-C at any moment leaves the pool of threads in order", {
  skip_if_no_engine()
  skip_on_os("windows")
  # An interrupt between two instructions of the waiting thread once made it
  # wait for ever; one inside reticulate's own handler ended R altogether.
  fresh <- in_fresh_r({
    options(vigitensor.threads = 2)
    invisible(engine_available())
    add_engine_function("busy", "
def busy(n: int):
    import time
    from vigitensor import pool
    found = []
    pool.run_slices(lambda k: time.sleep(0.0005), range(int(n)), found.append,
                    threads=2)
    return len(found)
")
    outcome <- function(k) {
      system(sprintf("(sleep %.3f; kill -INT %d) &", 0.1 + k / 97,
                     Sys.getpid()))
      begun <- Sys.time()
      how <- tryCatch(
        {
          engine_call("busy", n = 1e5)
          "finished"
        },
        interrupt = function(e) "interrupt", error = conditionMessage
      )
      c(how, as.numeric(Sys.time() - begun, units = "secs") < 3)
    }
    list(outcomes = vapply(1:20, outcome, c("", "")),
         usable = engine_call("busy", n = 10))
  })
  expect_identical(unique(fresh$value$outcomes[1L, ]), "interrupt",
                   info = fresh$output)
  expect_identical(unique(fresh$value$outcomes[2L, ]), "TRUE")
  expect_identical(fresh$value$usable, 10L)
})

test_that("forked children can use an engine that their parent has started", {
  skip_if_no_engine()
  skip_on_os("windows")
  fresh <- in_fresh_r({
    options(vigitensor.threads = 2)
    invisible(engine_available())
    add_engine_function("pooled", "
def pooled(n):
    import numpy as np
    from vigitensor import pool
    found = []
    pool.run_slices(lambda k: float(np.sum(np.arange(1000.0)) + k), range(8),
                    found.append, threads=2)
    return found
")
    here <- engine_call("pooled", 1)
    there <- parallel::mclapply(1:2, function(k) engine_call("pooled", 1),
                                mc.cores = 2L)
    list(here = here, there = there)
  })
  expect_identical(fresh$value$here, 499500 + 0:7, info = fresh$output)
  expect_identical(fresh$value$there,
                   list(fresh$value$here, fresh$value$here))
})

# ---- with the engine's own kernels ------------------------------------------

# Two groups of people, one dispensing each; plain enough to be sent as it is.
small_problem <- function(n = 40L) {
  basis <- rbind(0, apply(splines::bs(1:10, df = 5), 2L, cumsum))
  people <- seq_len(n)
  list(
    start = numeric(n), stop = 20 + (people * 7) %% 30,
    event = as.integer(people %% 3 == 0), stratum = rep(1L, n),
    subject = people, offset = numeric(n), weight = rep(1, n),
    x = matrix(sin(people), n), n_subjects = n,
    terms = list(list(subject = people, start = people %% 30,
                      stop = people %% 30 + 5, dose = rep(1, n))),
    designs = list(list(matrix(basis, 11L))), ties = "efron", control = list()
  )
}

test_that("an empty cache is announced once, a filled one never", {
  skip_if_no_engine()
  cold <- withr::local_tempdir()
  problem <- withr::local_tempfile()
  saveRDS(small_problem(), problem)
  two_fits <- function() {
    in_fresh_r({
      problem <- readRDS(Sys.getenv("TEST_PROBLEM"))
      heard <- new.env()
      heard$n <- 0L
      fits <- withCallingHandlers(
        lapply(1:2, function(k) do.call(engine_call, c("fit_wce", problem))),
        vigitensor_message_compiling = function(m) {
          heard$n <- heard$n + 1L
          invokeRestart("muffleMessage")
        }
      )
      list(heard = heard$n, same = identical(fits[[1L]], fits[[2L]]),
           warm = engine_info()$cache_is_warm)
    }, c(VIGITENSOR_CACHE_DIR = cold, TEST_PROBLEM = problem))
  }
  first <- two_fits()
  expect_identical(first$value, list(heard = 1L, same = TRUE, warm = FALSE),
                   info = first$output)
  expect_identical(two_fits()$value$heard, 0L)
})

test_that("a fit in forked children is the fit of their parent", {
  skip_if_no_engine()
  skip_on_os("windows")
  problem <- withr::local_tempfile()
  saveRDS(small_problem(), problem)
  fresh <- in_fresh_r({
    options(vigitensor.threads = 2)
    problem <- readRDS(Sys.getenv("TEST_PROBLEM"))
    fit <- function(...) do.call(engine_call, c("fit_wce", problem))
    here <- fit()
    there <- parallel::mclapply(1:2, fit, mc.cores = 2L)
    list(here = here, there = there)
  }, c(TEST_PROBLEM = problem))
  expect_true(fresh$value$here$fits[[1L]]$converged, info = fresh$output)
  expect_identical(fresh$value$there,
                   list(fresh$value$here, fresh$value$here))
})
