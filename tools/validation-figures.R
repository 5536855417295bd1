# Writes into docs/validation.md, between two marks, what a thousand random
# designs came to. Run by `make test-full`.
#
#   Rscript tools/validation-figures.R FOLDER      with random-cox.csv
file <- file.path(commandArgs(TRUE)[[1L]], "random-cox.csv")
results <- utils::read.csv(file)
page <- "docs/validation.md"
marks <- c("<!-- random designs: begin -->", "<!-- random designs: end -->")
lines <- readLines(page, encoding = "UTF-8")
at <- match(marks, lines)
stopifnot(!anyNA(at), at[1L] < at[2L])

same <- results[results$outcome == "compared", ]
# How far coefficients may be apart: 1e-8, or what the condition of the problem
# leaves of the digits.
ill <- sum(same$digits_lost > 1e-8)
worst <- function(column) sprintf("%.1e", max(same[[column]]))
text <- c(
  sprintf(
    paste("%s, survival %s: %s designs (seeds %d to %d), of which %d were",
          "compared as they are, %d have a likelihood that rises for ever",
          "(compared by its value and the warning), and %d are penalised fits",
          "in which `coxph` ends away from the optimum (checked by the score);",
          "%d were so ill-conditioned that fewer than 8 digits can be asked",
          "for."),
    format(file.mtime(file), "%Y-%m-%d", tz = "UTC"),
    utils::packageVersion("survival"), format(nrow(results), big.mark = ","),
    min(results$seed), max(results$seed), nrow(same),
    sum(results$outcome == "monotone"), sum(results$outcome == "score"), ill
  ),
  "",
  "| largest difference | relative to the largest number |",
  "|---|---|",
  sprintf("| log-likelihoods | %s |", worst("loglik")),
  sprintf("| coefficients (absolute below 1) | %s |", worst("coefficients")),
  sprintf("| variances | %s |", worst("variances"))
)
writeLines(c(lines[seq_len(at[1L])], unlist(lapply(text, strwrap, 80)),
             lines[at[2L]:length(lines)]), page, useBytes = TRUE)
