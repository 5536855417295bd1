# The rules of the house that a reader would otherwise have to trust. They need
# the source files, which an installed package does not have: `make test` says
# where they are; under load_all() they are two folders up.

source_folder <- function() {
  named <- Sys.getenv("VIGITENSOR_SOURCE")
  folder <- if (nzchar(named)) named else file.path("..", "..")
  if (!dir.exists(file.path(folder, "R")) ||
        !file.exists(file.path(folder, "Makefile"))) {
    skip("the source folder is not here")
  }
  normalizePath(folder)
}

r_files <- function() {
  list.files(file.path(source_folder(), "R"), "[.]R$", full.names = TRUE)
}

# The symbols and strings of the code, without comments: rules are about what
# runs.
code_texts <- function(file) {
  data <- utils::getParseData(parse(file, keep.source = TRUE))
  data$text[data$terminal & data$token != "COMMENT"]
}

# Names that a file defines at top level, and names that it uses.
defined_names <- function(file) {
  found <- lapply(parse(file), function(e) {
    assigns <- is.call(e) && length(e) >= 3L &&
      as.character(e[[1L]])[1L] %in% c("<-", "=") && is.name(e[[2L]])
    if (assigns) as.character(e[[2L]])
  })
  unlist(found)
}
used_names <- function(file) {
  data <- utils::getParseData(parse(file, keep.source = TRUE))
  data$text[data$token == "SYMBOL_FUNCTION_CALL"]
}

# A file may call its own floor and those below.
floors <- list(
  "^(conditions|utils|format|reexports|RcppExports)$" = 0L,
  "^(options|progress|zzz|vigitensor-package|data)$" = 1L,
  "^engine-" = 1L,
  "^(claims|simulate|unit-rows)" = 2L,
  "^symbolic-" = 2L,
  "^source" = 2L,
  "^sparse(-|$)" = 6L,
  "^wce-(basis|cases|check|clock|constraint|covariates|design)" = 2L,
  "^wce-(exposure|formula)" = 2L,
  "^wce-(penalty|profile|reference|shape)" = 2L,
  "^wce-dose-compare$" = 5L,
  "^wce-(dose-basis|dose-forms|first-use|joint|features|pieces|terms)" = 2L,
  "^wce-(case-control|index|likelihoods|person-time|riskset|rows)" = 5L,
  "^wce-(bands|fit|grid|robust|warn)" = 3L,
  "^store-again$" = 4L,
  "^store(-|$)" = 3L,
  "^wce(-again)?$" = 4L,
  "^wce-plot-bootstrap" = 6L,
  "^wce-(effects|surface|methods|plot|print|select)" = 5L,
  "^wce-(influence|wald|predict|residuals|survfit|tidiers|zph)" = 5L,
  "^wce-(cutoff|smoothness)" = 5L,
  "^(cox-|wce-)?bootstrap" = 6L,
  "^wce-(autoplot|average)" = 6L,
  "^cox-formula$" = 2L,
  "^cox(-|$)" = 5L,
  "^wce-compat" = 6L
)
floor_of <- function(file) {
  name <- sub("[.]R$", "", basename(file))
  hit <- vapply(names(floors), grepl, NA, x = name)
  if (any(hit)) floors[[which(hit)[[1L]]]] else NA_integer_
}

test_that("only the engine-* files know reticulate", {
  files <- r_files()
  files <- files[!grepl("^engine-", basename(files))]
  names <- c("reticulate", "\"reticulate\"")
  knows <- vapply(files, function(f) any(code_texts(f) %in% names), NA)
  expect_identical(basename(files[knows]), character())
})

test_that("every file of R/ has its floor, and none calls upwards", {
  files <- r_files()
  floor <- vapply(files, floor_of, 1L)
  expect_identical(basename(files[is.na(floor)]), character())

  owned <- lapply(files, defined_names)
  home <- stats::setNames(rep(seq_along(files), lengths(owned)), unlist(owned))
  upwards <- lapply(seq_along(files), function(k) {
    used <- unique(used_names(files[[k]]))
    used <- used[used %in% names(home)]
    to <- home[used]
    up <- which(floor[to] > floor[[k]])
    sprintf("%s calls %s() of %s", basename(files[[k]]), used[up],
            basename(files[to[up]]))
  })
  expect_identical(unlist(upwards), character())
})

test_that("no name is defined in two files of R/", {
  # The file that is read last would win, in silence.
  files <- r_files()
  owned <- unlist(lapply(files, function(f) unique(defined_names(f))))
  expect_identical(owned[duplicated(owned)], character())
})

test_that("no file of R/ or of the engine names a folder of one machine", {
  folder <- source_folder()
  engine <- list.files(file.path(folder, "inst", "python"), "[.]py$",
                       recursive = TRUE, full.names = TRUE)
  files <- c(r_files(), engine)
  private <- "[\"'](/(home|root|tmp|work|Users|mnt)/|[A-Za-z]:[/\\\\])"
  named <- vapply(files, function(f) any(grepl(private, readLines(f))), NA)
  expect_identical(basename(files[named]), character())
})

test_that("the package and its engine have one version", {
  file <- system.file("python", "vigitensor", "_version.py",
                      package = "vigitensor")
  expect_true(nzchar(file))
  lines <- readLines(file)
  line <- grep("^__version__", lines, value = TRUE)
  expect_length(line, 1L)
  version <- sub("^__version__[^\"']*[\"']([^\"']+)[\"'].*$", "\\1", line)
  expect_identical(version,
                   as.character(utils::packageVersion("vigitensor")))
})

test_that("developers and users have the optional parts in one version", {
  pins <- file.path(source_folder(), "tools", "requirements", "dev.txt")
  parts <- getFromNamespace("engine_parts", "vigitensor")
  expect_identical(setdiff(unlist(parts, use.names = FALSE), readLines(pins)),
                   character())
})

test_that("everything exported is documented, and no help page is empty", {
  folder <- source_folder()
  exports <- sub("^export\\((.*)\\)$", "\\1",
                 grep("^export\\(", readLines(file.path(folder, "NAMESPACE")),
                      value = TRUE))
  exports <- gsub("\"", "", exports)
  pages <- list.files(file.path(folder, "man"), "[.]Rd$", full.names = TRUE)
  aliases <- unlist(lapply(pages, function(page) {
    found <- grep("^\\\\alias\\{", readLines(page), value = TRUE)
    sub("^\\\\alias\\{(.*)\\}$", "\\1", found)
  }))
  expect_identical(setdiff(exports, aliases), character())
  without_value <- pages[!vapply(pages, function(page) {
    text <- readLines(page)
    any(grepl("^\\\\value|^\\\\keyword\\{(internal|datasets)\\}|docType", text))
  }, NA)]
  expect_identical(basename(without_value), character())
})
