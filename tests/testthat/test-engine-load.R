# ---- loading ----------------------------------------------------------------

test_that("loading is silent and loads neither reticulate nor Python", {
  fresh <- in_fresh_r(loadedNamespaces())
  expect_identical(fresh$status, 0L)
  expect_identical(as.vector(fresh$output), character())
  # pkgload, unlike library(), loads every import.
  if (!loaded_from_source()) expect_false("reticulate" %in% fresh$value)
})

test_that("loading sets options, and keeps those that are set", {
  fresh <- in_fresh_r({
    list(getOption("vigitensor.engine"), getOption("vigitensor.precision"))
  })
  expect_identical(fresh$value, list("auto", "double"))
  old <- options(vigitensor.engine = "reference")
  on.exit(options(old))
  set_default_options()
  expect_identical(getOption("vigitensor.engine"), "reference")
})

# ---- which Python -----------------------------------------------------------

test_that("VIGITENSOR_PYTHON wins over RETICULATE_PYTHON", {
  home <- withr::local_tempdir()
  withr::local_envvar(VIGITENSOR_HOME = home, VIGITENSOR_PYTHON = NA,
                      RETICULATE_PYTHON = NA)
  own <- environment_python(file.path(home, "engine"))
  expect_identical(wanted_python(),
                   list(path = own, source = "install_engine()"))
  Sys.setenv(RETICULATE_PYTHON = "/a/python")
  expect_identical(wanted_python(),
                   list(path = "/a/python", source = "RETICULATE_PYTHON"))
  Sys.setenv(VIGITENSOR_PYTHON = "/b/python")
  expect_identical(wanted_python(),
                   list(path = "/b/python", source = "VIGITENSOR_PYTHON"))
  # The folder of an environment will do.
  Sys.setenv(VIGITENSOR_PYTHON = home)
  expect_identical(wanted_python()$path, environment_python(home))
})

test_that("a plain Rscript finds the engine from any folder", {
  skip_if_no_engine()
  fresh <- in_fresh_r(
    {
      info <- engine_info()
      list(available = info$available, python = info$python,
           restored = Sys.getenv("RETICULATE_MINICONDA_ENABLED", "unset"))
    },
    folder = withr::local_tempdir()
  )
  expect_true(fresh$value$available)
  expect_identical(dirname(fresh$value$python),
                   dirname(engine_info()$python))
  expect_identical(fresh$value$restored, "unset")
})

test_that("who starts reticulate himself gets the engine's environment", {
  skip_if_no_engine()
  before <- in_fresh_r({
    list(python = reticulate::py_config()$python, engine = engine_available())
  })
  expect_true(before$value$engine, info = before$output)
  expect_identical(dirname(before$value$python), dirname(engine_info()$python))
  # Also when reticulate was loaded first.
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(c("loadNamespace('reticulate')", load_package_code(),
               "cat('ENGINE', engine_available())"), script)
  output <- system2(file.path(R.home("bin"), "Rscript"),
                    c("--vanilla", shQuote(script)), stdout = TRUE)
  expect_true("ENGINE TRUE" %in% output)
})

test_that("another Python that runs already is named with what it lacks", {
  skip_if_no_engine()
  skip_on_os("windows")
  bare <- withr::local_tempdir()
  base <- engine_info()$python
  made <- run_program(base, c("-m", "venv", "--without-pip", bare))
  expect_identical(made$status, 0L)
  fresh <- in_fresh_r(
    {
      invisible(reticulate::py_config())
      list(engine = engine_available(), chosen = choose_engine("auto"),
           error = tryCatch(engine_call("engine_report"), error = identity))
    },
    c(RETICULATE_PYTHON = environment_python(bare), VIGITENSOR_PYTHON = NA)
  )
  expect_false(fresh$value$engine)
  expect_identical(fresh$value$chosen, "reference")
  expect_s3_class(fresh$value$error, "vigitensor_error_no_engine")
  expect_match(conditionMessage(fresh$value$error), "lacks numpy, numba")
  expect_match(conditionMessage(fresh$value$error), "Restart R")
})

# ---- no Python at all -------------------------------------------------------

test_that("with no Python everything is calm and says how to install", {
  skip_on_os("windows")
  fresh <- in_fresh_r(
    {
      quick <- system.time(there <- engine_available())[["elapsed"]]
      list(there = there, quick = quick, info = engine_info(),
           chosen = choose_engine("auto"),
           error = tryCatch(engine_call("fit_wce"), error = identity),
           cpu = tryCatch(choose_engine("cpu"), error = class),
           started = "reticulate" %in% loadedNamespaces() &&
             reticulate::py_available())
    },
    no_python_variables()
  )
  expect_identical(fresh$status, 0L, info = fresh$output)
  expect_false(fresh$value$there)
  expect_lt(fresh$value$quick, 0.5)
  expect_false(fresh$value$started)
  expect_identical(fresh$value$chosen, "reference")
  expect_match(fresh$output, "reference engine", all = FALSE)
  expect_match(fresh$output, "install_engine()", fixed = TRUE, all = FALSE)
  expect_s3_class(fresh$value$error, "vigitensor_error_no_engine")
  expect_match(conditionMessage(fresh$value$error), "install_engine()",
               fixed = TRUE)
  expect_true("vigitensor_error_no_engine" %in% fresh$value$cpu)
  expect_false(fresh$value$info$available)
  expect_match(fresh$value$info$reason, "not installed")
})

test_that("RETICULATE_PYTHON that names nothing is said so", {
  fresh <- in_fresh_r(
    {
      list(there = engine_available(),
           error = tryCatch(engine_call("fit_wce"), error = conditionMessage))
    },
    c(RETICULATE_PYTHON = "/nowhere/python", VIGITENSOR_PYTHON = NA)
  )
  expect_false(fresh$value$there)
  expect_match(fresh$value$error, "RETICULATE_PYTHON names /nowhere/python")
  expect_match(fresh$value$error, "unset RETICULATE_PYTHON")
})

test_that("a program that is no Python is no engine, not an error", {
  skip_on_os("windows")
  fresh <- in_fresh_r(
    list(there = engine_available(), reason = engine_info()$reason),
    c(VIGITENSOR_PYTHON = unname(Sys.which("false")), RETICULATE_PYTHON = NA)
  )
  expect_false(fresh$value$there, info = fresh$output)
  expect_match(fresh$value$reason, "does not run as a Python")
})

# ---- what is written where --------------------------------------------------

test_that("compiled files go to the cache, never into the package", {
  skip_if_no_engine()
  cache <- withr::local_tempdir()
  fresh <- in_fresh_r(engine_available(), c(
    VIGITENSOR_CACHE_DIR = cache, PYTHONDONTWRITEBYTECODE = NA
  ))
  expect_true(fresh$value)
  compiled <- list.files(cache, pattern = "^api[.].*pyc$", recursive = TRUE)
  expect_length(compiled, 1L)
  inside <- list.files(engine_path(), pattern = "pyc|__pycache__",
                       recursive = TRUE, include.dirs = TRUE)
  # The engine's own tests write into the source tree.
  if (!loaded_from_source()) expect_identical(inside, character())
})

test_that("a cache that cannot be written gives way to a temporary one", {
  file <- withr::local_tempfile()
  file.create(file)
  expect_identical(dirname(make_cache(file.path(file, "below"))), tempdir())
})

test_that("environment variables are put back", {
  withr::local_envvar(VIGITENSOR_A = "1", VIGITENSOR_B = NA)
  seen <- with_variables(c(VIGITENSOR_A = NA, VIGITENSOR_B = "2"),
                         Sys.getenv(c("VIGITENSOR_A", "VIGITENSOR_B")))
  expect_identical(unname(seen), c("", "2"))
  expect_identical(Sys.getenv("VIGITENSOR_A"), "1")
  expect_identical(Sys.getenv("VIGITENSOR_B", NA), NA_character_)
})

test_that("paths below the home folder are shortened", {
  home <- path.expand("~")
  skip_if(home == "/")
  expect_identical(short_path(file.path(home, "a")), "~/a")
  expect_identical(short_path(paste0(home, "less/a")), paste0(home, "less/a"))
})
