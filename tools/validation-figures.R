# Writes into docs/validation.md, between two marks each, what a thousand random
# designs of cox() and of wce() came to. Run by `make test-full`.
#
#   Rscript tools/validation-figures.R FOLDER
#
# FOLDER has random-cox.csv and random-wce.csv, or one of them.
folder <- commandArgs(TRUE)[[1L]]
page <- "docs/validation.md"

# What is between the marks of `name` gives way to `text`.
replace_between <- function(name, text) {
  lines <- readLines(page, encoding = "UTF-8")
  at <- match(sprintf("<!-- %s: %s -->", name, c("begin", "end")), lines)
  stopifnot(!anyNA(at), at[1L] < at[2L])
  writeLines(c(lines[seq_len(at[1L])], unlist(lapply(text, strwrap, 80)),
               lines[at[2L]:length(lines)]), page, useBytes = TRUE)
}

figures <- function(file, sentence, many_digits) {
  results <- utils::read.csv(file)
  same <- results[results$outcome == "compared", ]
  count <- function(outcome) sum(results$outcome == outcome)
  # How far numbers may be apart: what is asked for, or what the condition of
  # the problem leaves of the digits.
  ill <- same$digits_lost > 10^-many_digits
  worst <- function(column, among = same) {
    sprintf("%.1e", max(among[[column]]))
  }
  c(
    sprintf(
      paste("%s, survival %s: %s designs (seeds %d to %d), of which %d were",
            "compared as they are, %s; %d were so ill-conditioned that fewer",
            "than %d digits can be asked for."),
      format(file.mtime(file), "%Y-%m-%d", tz = "UTC"),
      utils::packageVersion("survival"),
      format(nrow(results), big.mark = ","), min(results$seed),
      max(results$seed), nrow(same), sentence(count), sum(ill), many_digits
    ),
    "",
    "| largest difference | relative to the largest number |",
    "|---|---|",
    sprintf("| log-likelihoods | %s |", worst("loglik")),
    sprintf("| coefficients (absolute below 1) | %s |", worst("coefficients")),
    sprintf("| variances | %s |", worst("variances", same[!ill, ])),
    if (any(ill)) {
      sprintf("| variances where ill-conditioned | %s |",
              worst("variances", same[ill, ]))
    }
  )
}

rising <- paste("have a likelihood that rises for ever (compared by its value",
                "and the warning)")
file <- file.path(folder, "random-cox.csv")
if (file.exists(file)) {
  replace_between("random designs", figures(file, function(count) {
    sprintf(paste("%d %s, and %d are penalised fits in which `coxph` ends away",
                  "from the optimum (checked by the score)"),
            count("monotone"), rising, count("score"))
  }, 8))
}
file <- file.path(folder, "random-wce.csv")
if (file.exists(file)) {
  replace_between("random exposures", figures(file, function(count) {
    sprintf(paste("%d %s, and %d are refused by both (constraints that leave",
                  "nothing)"), count("monotone"), rising, count("refused"))
  }, 8))
}
