# Lint R/, the R tests and the R scripts with the rules of .lintr.
folders <- c("R", "tests/testthat", "tools", "bench", "data-raw", "vignettes")
files <- list.files(folders[dir.exists(folders)], full.names = TRUE,
                    pattern = "[.](R|Rmd)$")
files <- setdiff(files, "R/RcppExports.R")

found <- lapply(files, lintr::lint, cache = file.path(".cache", "lintr"))
found <- found[lengths(found) > 0L]
for (lints in found) print(lints)
n <- sum(lengths(found))
cat(length(files), "files,", n, "lints\n")
quit(status = if (n > 0L) 1L else 0L)
