# Writes the table "What was measured" of README.md from bench/results/*.csv,
# between the two marks. Run by `make bench`.
#
# Columns used, if there: case, what, size, engine (or peer), seconds, memory_gb.
marks <- c("<!-- figures: begin -->", "<!-- figures: end -->")
readme <- readLines("README.md", encoding = "UTF-8")
at <- match(marks, readme)
stopifnot(!anyNA(at), at[1L] < at[2L])

files <- list.files("bench/results", "[.]csv$", full.names = TRUE)
if (!length(files)) {
  table <- "No results are in `bench/results/` yet: `make bench` makes them."
} else {
  # The newest file of each machine speaks; names begin with the date.
  results <- utils::read.csv(max(files), check.names = FALSE)
  cells <- lapply(results, function(column) {
    if (is.numeric(column)) {
      ifelse(is.na(column), "", format(signif(column, 3L), trim = TRUE,
                                       big.mark = ",", drop0trailing = TRUE,
                                       scientific = FALSE))
    } else {
      ifelse(is.na(column), "", as.character(column))
    }
  })
  rows <- do.call(paste, c(cells, sep = " | "))
  table <- c(
    paste("|", paste(gsub("_", " ", names(results)), collapse = " | "), "|"),
    paste0("|", strrep("---|", ncol(results))),
    paste("|", rows, "|"),
    "", sprintf("From `%s`.", max(files))
  )
}
writeLines(c(readme[seq_len(at[1L])], table, readme[at[2L]:length(readme)]),
           "README.md", useBytes = TRUE)
