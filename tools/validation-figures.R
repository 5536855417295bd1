# Writes into docs/validation.md, between two marks each, what the full run of
# the tests came to. Run by `make test-full`.
#
#   Rscript tools/validation-figures.R FOLDER
#
# FOLDER has what the tests recorded: random-cox.csv, random-wce.csv,
# random-histories.csv, symbolic-operations.csv, or some of them.
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

day_of <- function(file) format(file.mtime(file), "%Y-%m-%d", tz = "UTC")

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
      day_of(file),
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

file <- file.path(folder, "random-histories.csv")
if (file.exists(file)) {
  found <- utils::read.csv(file)
  replace_between("random histories", sprintf(
    "%s: %s random histories under %s sets of rules, of which %s differ.",
    day_of(file), format(found$histories, big.mark = ","), found$rules,
    if (found$differ == 0) "none" else found$differ
  ))
}
file <- file.path(folder, "symbolic-operations.csv")
if (file.exists(file)) {
  found <- utils::read.csv(file)
  of <- function(what) found[found$what == what, ]
  said <- function(what) {
    sprintf("%d components of %s (largest difference %.1e)",
            sum(of(what)$components), what, max(of(what)$difference))
  }
  replace_between("symbolic operations", sprintf(
    "%s: every operation of the table, compiled, and the dense evaluator: %s.",
    day_of(file), paste(vapply(unique(found$what), said, ""),
                        collapse = " and ")
  ))
}
