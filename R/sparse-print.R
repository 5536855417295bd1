# print() and summary() of a fit of many drugs: at most 80 columns.

#' @rdname wce_sparse-methods
#' @export
print.wce_sparse <- function(x, digits = 3L, ...) {
  print_sparse_header(x)
  rows <- if (is.null(x$cv)) lambda_row(x) else
    c(min = lambda_row(x, "min"), `1se` = lambda_row(x, "1se"))
  for (k in seq_along(rows)) {
    drugs <- selected_drugs(x, x$lambda[rows[k]])
    cat_wrapped(
      if (!is.null(names(rows))) paste0("lambda.", names(rows)[k]) else
        "lambda", " ", format(x$lambda[rows[k]], digits = digits), ": ",
      count_of(length(drugs), "drug"),
      if (length(drugs)) paste0(" (", format_list(utils::head(drugs, 12L)),
                                if (length(drugs) > 12L) ", ...", ")"),
      exdent = 2L
    )
  }
  cat("Next: summary(fit), plot(fit), weight_function(fit, \"drug\").\n")
  invisible(x)
}

print_sparse_header <- function(x) {
  cat("Penalised weighted cumulative exposure Cox model of many drugs\n")
  cat_wrapped(paste(deparse(x$formula, width.cutoff = 500L), collapse = " "),
              indent = 2L, exdent = 4L)
  cat("\n")
  cat_wrapped(count_of(nrow(x$drugs), "drug"), ", ",
              count_of(x$n_subjects, "subject"), ", ",
              count_of(x$nevent, "event"), ", ",
              count_of(x$counts$records_used, "record"))
  absent <- x$counts$given_drugs - nrow(x$drugs)
  if (absent > 0) {
    cat_wrapped(count_of(absent, "drug"), " of `records` without a dose in a ",
                "window: not in the model", indent = 2L)
  }
  s <- x$settings
  cat_wrapped(
    "Window of ", count_of(s$cutoff, x$unit), ", ",
    count_of(x$n_columns, "coefficient"), " a drug; penalty: groups",
    if (s$alpha > 0) sprintf(" and, by %s, %s coefficients", format(s$alpha),
                             s$within)
  )
  cat_wrapped(
    count_of(length(x$lambda), "lambda"), " from ",
    format(max(x$lambda), digits = 3L), " to ",
    format(min(x$lambda), digits = 3L),
    if (!is.null(x$cv)) sprintf("; cross-validated by person, %d folds",
                                s$folds)
  )
  cat(tools::toTitleCase(s$ties), " ties, ",
      if (x$strata > 1L) sprintf("%s strata, ", format_count(x$strata)),
      "engine \"", x$engine, "\"\n\n", sep = "")
}

#' @rdname wce_sparse-methods
#' @export
print.summary.wce_sparse <- function(x, digits = 3L, ...) {
  print_sparse_header(x$fit)
  n <- nrow(x$table)
  cat_wrapped("At lambda ", format(x$lambda, digits = digits), " ",
              count_of(n, "drug"), if (n == 1L) " is" else " are", " selected",
              if (n) ":" else ".")
  if (n) {
    shown <- utils::head(x$table, 30L)
    ratio <- function(value) format(exp(value), digits = digits)
    print(data.frame(
      drug = shown$drug, users = format_count(shown$users),
      events = format_count(shown$events), HR = ratio(shown$estimate),
      low = ratio(shown$conf.low), high = ratio(shown$conf.high),
      penalised = ratio(shown$penalised),
      p = vapply(shown$p.value, format.pval, "", digits = 2L, eps = 1e-16),
      adjusted = vapply(shown$p.adjusted, format.pval, "", digits = 2L,
                        eps = 1e-16)
    ), row.names = FALSE)
    if (n > 30L) cat_wrapped("... and ", n - 30L, " more: tidy(fit)")
    cat("\n")
    cat_wrapped(
      sprintf(paste("HR: one unit of dose in every %s of the window, with",
                    "%s %% intervals, by one step from lambda %s in the model",
                    "with all drugs. p: of no effect at any lag; adjusted for",
                    "the %d drugs (Benjamini and Hochberg)."), x$fit$unit,
              format(100 * x$level),
              format(x$fit$one_step$lambda, digits = digits),
              nrow(x$fit$drugs))
    )
  }
  invisible(x)
}
