# Writes the table "What was measured" of README.md from bench/results/*.csv,
# between the two marks. Run by `make bench`.
#
# Columns: see bench/README.md.
marks <- c("<!-- figures: begin -->", "<!-- figures: end -->")
readme <- readLines("README.md", encoding = "UTF-8")
at <- match(marks, readme)
stopifnot(!anyNA(at), at[1L] < at[2L])

files <- list.files("bench/results", "[.]csv$", full.names = TRUE)
if (!length(files)) {
  table <- "No results are in `bench/results/` yet: `make bench` makes them."
} else {
  # One file per case; its first line, after "#", says on what machine.
  tables <- lapply(files, utils::read.csv, comment.char = "#")
  # Comparisons of estimates have columns of their own, and are read elsewhere.
  timed <- vapply(tables, function(x) "seconds" %in% names(x), NA)
  files <- files[timed]
  results <- do.call(rbind, tables[timed])
  machines <- unique(vapply(files, function(file) {
    sub("^# *", "", readLines(file, 1L))
  }, ""))
  cells <- lapply(results, function(column) {
    if (is.numeric(column)) {
      ifelse(is.na(column), "", prettyNum(signif(column, 3L), big.mark = ","))
    } else {
      ifelse(is.na(column), "", as.character(column))
    }
  })
  rows <- do.call(paste, c(cells, sep = " | "))
  table <- c(
    paste("|", paste(gsub("_", " ", names(results)), collapse = " | "), "|"),
    paste0("|", strrep("---|", ncol(results))),
    paste("|", rows, "|"),
    "", sprintf("From `bench/results/`: %s.", machines)
  )
}
writeLines(c(readme[seq_len(at[1L])], table, readme[at[2L]:length(readme)]),
           "README.md", useBytes = TRUE)
