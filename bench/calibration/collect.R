# The tables and the figure's data of the calibration study, from the files that
# run.R and bootstrap.R left in bench/calibration/work/.
#
#   Rscript bench/calibration/collect.R [size=500,2000,10000]
#
# Writes bench/calibration/results/<table>.csv, and copies what the vignette
# reads to vignettes/. README.md says what the columns are.

source(file.path("bench", "calibration", "common.R"))
source(file.path("bench", "calibration", "tables.R"))

# ---- reading ----------------------------------------------------------------

read_chunks <- function(case, size) {
  files <- Sys.glob(study_file("work", case, size, "[0-9]*"))
  do.call(c, lapply(sort(files), readRDS))
}

read_bootstraps <- function(case, size) {
  files <- Sys.glob(study_file("work", case, size, "boot-[0-9]*"))
  do.call(c, lapply(sort(files), readRDS))
}

read_limit <- function(case) {
  files <- Sys.glob(file.path("bench", "calibration", "work",
                              paste0(case, "-*-limit.rds")))
  # "hat" is the beginning of "hat_240" too, but not of "hat-".
  if (!length(files)) return(NULL)
  size <- as.numeric(sub(".*-([0-9]+)-limit[.]rds$", "\\1", files))
  readRDS(files[which.max(size)])
}

# ---- tables -----------------------------------------------------------------

collect_case <- function(case, size) {
  replicates <- read_chunks(case, size)
  if (!length(replicates)) return(NULL)
  cat(sprintf("%s, %d people: %d replicates\n", case, size,
              length(replicates)))
  bases <- study_bases(case)
  limit <- read_limit(case)
  truth <- true_curve(case)
  tables <- list()
  for (constraint in constraints) {
    for (method in names(methods)) {
      got <- gather(replicates, bases, constraint, methods[[method]])
      curves <- if (!is.null(limit)) {
        limit_curves(limit, bases, constraint, got$knots)
      }
      key <- data.frame(case = case, size = size, constraint = constraint,
                        method = method, interval = "wald")
      tables$summary[[length(tables$summary) + 1L]] <-
        cbind(key, summary_row(got, truth, curves))
      tables$regions[[length(tables$regions) + 1L]] <-
        cbind(key, region_rows(got, truth))
      if (is.character(methods[[method]])) {
        counts <- tabulate(got$knots, max(all_knots))
        tables$knots[[length(tables$knots) + 1L]] <-
          cbind(key, t(stats::setNames(counts, paste0("knots_", all_knots))))
      }
      if (method %in% c("bic", "fixed_5")) {
        tables$curves[[length(tables$curves) + 1L]] <-
          cbind(key, curve_rows(got, truth, curves))
      }
    }
  }
  boots <- read_bootstraps(case, size)
  for (method in if (length(boots)) c("fixed_3", "bic")) {
    key <- data.frame(case = case, size = size, constraint = "none",
                      method = method, interval = "bootstrap")
    row <- bootstrap_row(lapply(boots, `[[`, method), truth)
    tables$summary[[length(tables$summary) + 1L]] <- cbind(key, row)
  }
  converged <- vapply(replicates, function(r) {
    all(vapply(r$fits, `[[`, NA, "converged"))
  }, NA)
  tables$runs <- list(data.frame(
    case = case, size = size, replicates = length(replicates),
    mean_events = mean(vapply(replicates, `[[`, 0, "events")),
    all_converged = sum(converged), people_limit = limit$size %||% NA
  ))
  lapply(tables, function(rows) do.call(rbind, rows))
}

write_tables <- function(tables) {
  folder <- file.path("bench", "calibration", "results")
  dir.create(folder, showWarnings = FALSE, recursive = TRUE)
  for (name in names(tables)) {
    table <- tables[[name]]
    numbers <- vapply(table, is.double, NA)
    table[numbers] <- lapply(table[numbers], signif, 4)
    utils::write.csv(table, file.path(folder, paste0(name, ".csv")),
                     row.names = FALSE, quote = FALSE, na = "")
  }
  # bench/ is no part of the built package; the vignette is.
  for (name in c("summary", "knots", "curves")) {
    file.copy(file.path(folder, paste0(name, ".csv")),
              file.path("vignettes", sprintf("calibration-%s.csv", name)),
              overwrite = TRUE)
  }
}

args <- read_arguments(list(case = study_cases$case,
                            size = c(500, 2000, 10000)))
found <- list()
for (size in args$size) {
  for (case in args$case) {
    found <- c(found, list(collect_case(case, size)))
  }
}
found <- found[lengths(found) > 0L]
tables <- lapply(stats::setNames(nm = names(found[[1L]])), function(name) {
  do.call(rbind, lapply(found, `[[`, name))
})
tables$summary <- add_best(tables$summary)
write_tables(tables)
