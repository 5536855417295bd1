test_that("an engine is chosen by name, and refused with the list of names", {
  expect_identical(choose_engine("reference"), "reference")
  for (bad in list("gpu", NA_character_, c("cpu", "reference"), 1, NULL)) {
    error <- expect_error(choose_engine(bad),
                          class = "vigitensor_error_engine_name")
    expect_match(conditionMessage(error),
                 "\"auto\", \"reference\", \"cpu\", \"torch\"", fixed = TRUE)
  }
  expect_error(choose_engine("keops"), "not in this version",
               class = "vigitensor_error_engine_not_included")
})

test_that("the option is the default", {
  withr::local_options(vigitensor.engine = "reference")
  expect_identical(choose_engine(), "reference")
})

test_that("\"auto\" takes the engine that is there", {
  skip_if_no_engine()
  expect_silent(chosen <- choose_engine("auto"))
  expect_identical(chosen, "cpu")
  expect_identical(choose_engine("cpu"), "cpu")
})

test_that("falling back to the reference engine is said once per session", {
  fresh <- in_fresh_r(
    {
      heard <- new.env()
      chosen <- withCallingHandlers(
        c(choose_engine("auto"), choose_engine("auto")),
        vigitensor_message_reference = function(m) {
          heard$all <- c(heard$all, conditionMessage(m))
          invokeRestart("muffleMessage")
        }
      )
      list(chosen = chosen, heard = heard$all)
    },
    c(VIGITENSOR_PYTHON = "/nowhere/python")
  )
  expect_identical(fresh$value$chosen, c("reference", "reference"))
  expect_length(fresh$value$heard, 1L)
  expect_match(fresh$value$heard, "install_engine()", fixed = TRUE)
  expect_match(fresh$value$heard, "VIGITENSOR_PYTHON names")
})

example_info <- function(available) {
  structure(list(
    available = available,
    reason = if (!available) "The engine is not installed: no /x/python.",
    versions = list(vigitensor = "0.1.0", R = "4.2.2", reticulate = "1.28",
                    python = "3.11.2", numpy = "1.26.4", numba = "0.68.1",
                    llvmlite = "0.50.0", threadpoolctl = "3.8.0"),
    python = "/opt/some/where/engine/bin/python", device = "cpu",
    processor = "Some Processor(R) 9000 @ 2.50GHz", threads = 2L,
    memory = 6.24e9, cache = "/opt/some/where/cache", cache_is_warm = FALSE
  ), class = "vigitensor_engine_info")
}

test_that("the print fits 80 columns and says what is there", {
  withr::local_options(cli.unicode = FALSE, cli.num_colors = 1L)
  lines <- format_engine_info(example_info(TRUE))
  expect_lte(max(nchar(lines)), 80L)
  expect_match(lines[1L], "is ready")
  expect_match(lines, "threads +2$", all = FALSE)
  expect_match(lines, "memory +6.2 GB free$", all = FALSE)
  expect_match(lines, "not all compiled yet", all = FALSE)
})

test_that("without an engine the print says why and what to do", {
  withr::local_options(cli.unicode = FALSE, cli.num_colors = 1L)
  info <- example_info(FALSE)
  lines <- format_engine_info(info)
  expect_lte(max(nchar(lines)), 80L)
  expect_match(lines, "is not here", all = FALSE)
  expect_match(lines, "not installed", all = FALSE)
  expect_match(lines, "install_engine()", fixed = TRUE, all = FALSE)
  expect_output(returned <- print(info), "is not here")
  expect_identical(returned, info)
})

test_that("engine_info() knows the engine", {
  skip_if_no_engine()
  info <- engine_info()
  expect_s3_class(info, "vigitensor_engine_info")
  expect_true(info$available)
  expect_true(all(c("vigitensor", "R", "reticulate", "python", "numpy",
                    "numba") %in% names(info$versions)))
  expect_gte(info$threads, 1L)
  expect_gt(info$memory, 0)
  expect_true(dir.exists(info$cache))
  expect_type(info$cache_is_warm, "logical")
  expect_identical(engine_versions()$numpy, info$versions$numpy)
  # Nothing of Python is inside: it survives a round trip.
  file <- withr::local_tempfile()
  saveRDS(info, file)
  expect_identical(readRDS(file), info)
})
