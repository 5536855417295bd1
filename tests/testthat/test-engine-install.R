# A program that answers as a Python would and writes down what it was asked:
# the steps of an installation without network and in no time.
fake_python <- function(version = "3.11", venv = "True", shared = "True",
                        pip_fails = FALSE, frame = parent.frame()) {
  folder <- withr::local_tempdir(.local_envir = frame)
  path <- file.path(folder, "python")
  writeLines(c(
    "#!/bin/sh",
    sprintf("folder='%s'", folder),
    "echo \"$@\" | head -1 >> \"$folder/log\"",
    "case \"$*\" in",
    sprintf("*sysconfig*) printf 'version %s\\nvenv %s\\nshared %s\\n' ;;",
            version, venv, shared),
    "'-m venv'*) mkdir -p \"$4/bin\"; cp \"$0\" \"$4/bin/python\" ;;",
    "*'-m pip install'*)",
    if (pip_fails) "echo 'no network here'; exit 1 ;;" else
      "touch \"$folder/packages\" ;;",
    "*metadata*) shift 2; for p in \"$@\"; do",
    "  if [ -e \"$folder/packages\" ]; then echo 1.26.4; else echo none; fi",
    "  done ;;",
    "esac"
  ), path)
  Sys.chmod(path, "0755")
  path
}

asked <- function(python) {
  log <- readLines(file.path(dirname(python), "log"))
  grep("^-m", log, value = TRUE)
}

test_that("arguments are checked", {
  expect_error(install_engine(from = "/nowhere"),
               class = "vigitensor_error_install_from")
  expect_error(install_engine(python = 3),
               class = "vigitensor_error_install_python")
  expect_error(install_engine(packages = 1),
               class = "vigitensor_error_install_packages")
  expect_error(install_engine(gpu = NA),
               class = "vigitensor_error_install_flag")
  expect_error(install_engine(parts = "arrow"),
               class = "vigitensor_error_install_parts")
  expect_error(install_engine(quiet = "yes"),
               class = "vigitensor_error_install_flag")
})

test_that("NumPy 2 is asked for only where reticulate can use it", {
  old <- utils::packageVersion("reticulate") < "1.38"
  expect_identical(engine_requirements()[1L], if (old) "numpy<2" else "numpy")
  expect_identical(engine_requirements()[-1L], c("numba", "threadpoolctl"))
  expect_identical(numpy_is_too_new("2.1.3"), old)
  expect_false(numpy_is_too_new("1.26.4"))
})

test_that("a Python that will not do is listed with what it lacks", {
  skip_on_os("windows")
  expect_identical(unname(python_lacks(unname(Sys.which("false")))),
                   "does not run")
  error <- expect_error(find_python("/nowhere/python"),
                        class = "vigitensor_error_no_python")
  expect_match(conditionMessage(error), "/nowhere/python does not run")
  old <- fake_python(version = "3.8")
  error <- expect_error(find_python(old), class = "vigitensor_error_no_python")
  expect_match(conditionMessage(error), "is version 3.8")
  bare <- fake_python(venv = "False", shared = "False")
  error <- expect_error(find_python(bare), class = "vigitensor_error_no_python")
  expect_match(conditionMessage(error),
               "lacks modules venv and ensurepip and the shared library")
  if (file.exists("/etc/debian_version")) {
    expect_match(conditionMessage(error),
                 "apt-get install python3 python3-venv libpython3.11",
                 fixed = TRUE)
  }
  good <- fake_python()
  expect_identical(find_python(good), good)
})

test_that("installing makes the environment once and asks pip once", {
  skip_on_os("windows")
  home <- withr::local_tempdir()
  withr::local_envvar(VIGITENSOR_HOME = home, VIGITENSOR_PYTHON = NA,
                      RETICULATE_PYTHON = NA, VIGITENSOR_CACHE_DIR = home)
  python <- fake_python()
  said <- testthat::capture_messages(made <- install_engine(python = python))
  expect_identical(made, file.path(home, "engine", "bin", "python"))
  expect_match(said, "Making a virtual environment", all = FALSE)
  expect_match(said, "Installing numpy", all = FALSE)
  log <- asked(python)
  expect_length(grep("venv", log), 1L)
  expect_length(grep("pip install", log), 1L)
  expect_match(grep("pip install", log, value = TRUE), "numba threadpoolctl$")

  # The second time nothing is made and pip is not asked.
  said <- testthat::capture_messages(install_engine(python = python))
  expect_match(said, "installed already", all = FALSE)
  expect_length(asked(python), 2L)
  # Quiet means quiet.
  expect_silent(install_engine(python = python, quiet = TRUE))
})

test_that("from a folder, pip looks nowhere else", {
  skip_on_os("windows")
  home <- withr::local_tempdir()
  withr::local_envvar(VIGITENSOR_HOME = home, VIGITENSOR_PYTHON = NA,
                      RETICULATE_PYTHON = NA, VIGITENSOR_CACHE_DIR = home)
  python <- fake_python()
  wheels <- withr::local_tempdir()
  install_engine(from = wheels, python = python, packages = "scipy",
                 gpu = TRUE, quiet = TRUE)
  log <- readLines(file.path(dirname(python), "log"))
  pip <- grep("pip install", log, value = TRUE)
  expect_match(pip, paste("--no-index --find-links", normalizePath(wheels)),
               fixed = TRUE)
  expect_match(pip, "threadpoolctl torch scipy$")
})

test_that("optional parts are asked for by name, at fixed versions", {
  skip_on_os("windows")
  home <- withr::local_tempdir()
  withr::local_envvar(VIGITENSOR_HOME = home, VIGITENSOR_PYTHON = NA,
                      RETICULATE_PYTHON = NA, VIGITENSOR_CACHE_DIR = home)
  python <- fake_python()
  install_engine(python = python, parts = c("dask", "duckdb"), quiet = TRUE)
  log <- readLines(file.path(dirname(python), "log"))
  pip <- grep("pip install", log, value = TRUE)
  expect_match(pip, paste("threadpoolctl dask==[0-9.]+ distributed==[0-9.]+",
                          "duckdb==[0-9.]+$"))
})

test_that("a part that is not there is an error that says how to get it", {
  skip_if_no_engine()
  for (part in names(engine_parts)) {
    expect_true(engine_has(part) || !engine_is_required(), info = part)
  }
  if (engine_has("duckdb")) expect_silent(need_part("duckdb"))
  error <- expect_error(abort_no_part("dask"),
                        class = "vigitensor_error_no_dask")
  expect_match(conditionMessage(error), "install_engine(parts = \"dask\")",
               fixed = TRUE)
})

test_that("when pip fails its words are shown", {
  skip_on_os("windows")
  home <- withr::local_tempdir()
  withr::local_envvar(VIGITENSOR_HOME = home, VIGITENSOR_PYTHON = NA,
                      RETICULATE_PYTHON = NA, VIGITENSOR_CACHE_DIR = home)
  error <- expect_error(
    install_engine(python = fake_python(pip_fails = TRUE), quiet = TRUE),
    class = "vigitensor_error_install"
  )
  expect_match(conditionMessage(error), "no network here")
})

test_that("an engine that is there needs no installation", {
  skip_if_no_engine()
  python <- engine_info()$python
  expect_identical(
    has_packages(python, c(engine_requirements(), "no-such-package")),
    c(TRUE, TRUE, TRUE, FALSE)
  )
  expect_false(has_packages(python, "numpy==0.1"))
})

test_that("kernels that cannot be compiled ahead are a warning", {
  expect_warning(warm_kernels(unname(Sys.which("false"))),
                 class = "vigitensor_warning_warm_up")
})
